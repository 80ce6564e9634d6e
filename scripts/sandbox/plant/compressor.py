"""A screw compressor that holds the pressure of a tank between two limits. Pure; simulated seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

LOW_BAR, HIGH_BAR = 6.8, 7.5
_TANK_L = 500.0
_SUPPLY_L_S = 25.0
STEP_S = 0.25


@dataclass(slots=True)
class Compressor:
    """The compressor at the simulated second ``now``; moves in steps of :data:`STEP_S`."""

    now: float = 0.0
    pressure: float = 7.1
    """bar"""
    temperature: float = 62.0
    """Outlet, °C."""
    loaded: bool = True
    running_s: float = 4_311.4 * 3600
    loaded_s: float = 2_977.0 * 3600

    def step(self, demand: float) -> bool:
        """Move on by one step under a demand in litres a second; whether it switched load or idle."""
        self.now += STEP_S
        flow = (_SUPPLY_L_S if self.loaded else 0.0) - demand
        self.pressure += flow / _TANK_L * STEP_S
        target = 84.0 if self.loaded else 66.0
        self.temperature += (target - self.temperature) * (1 - math.exp(-STEP_S / 120.0))
        self.running_s += STEP_S
        self.loaded_s += STEP_S if self.loaded else 0.0
        was = self.loaded
        if self.pressure >= HIGH_BAR:
            self.loaded = False
        elif self.pressure <= LOW_BAR:
            self.loaded = True
        return self.loaded is not was

    @property
    def load(self) -> float:
        """Percent of full load now."""
        return 100.0 if self.loaded else 22.0
