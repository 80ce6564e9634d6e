"""The whole plant, moved along by a clock, with a record of what really happened in it."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from scripts.sandbox.plant.cnc import Cnc
from scripts.sandbox.plant.compressor import STEP_S, Compressor
from scripts.sandbox.plant.maps import energy_kwh, put_compressor, put_meter, put_press
from scripts.sandbox.plant.press import Behaviour, Press, State
from scripts.sandbox.plant.registers import Registers

Truth = Callable[[dict[str, Any]], None]

PRESS_UNIT, METER_UNIT, COMPRESSOR_UNIT = 1, 2, 3


def system_us() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


class Plant:
    """A press, its meter, a compressor and a machining centre. ``advance`` brings them up to now; so does each read.

    ``net_units`` and ``serial_units`` are the tables to serve, by unit id. ``truth`` receives what
    really happened as JSON-able records: ``time`` (UTC, ISO 8601), ``time_us``, ``equipment``, ``event``
    and what belongs to the event.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        speed: float = 1.0,
        behaviour: Behaviour | None = None,
        now_us: Callable[[], int] = system_us,
        truth: Truth = lambda record: None,
    ) -> None:
        self.press = Press(seed, behaviour or Behaviour())
        self.compressor = Compressor()
        self.cnc = Cnc(seed)
        self.start_us = now_us()
        self._speed = speed
        self._now_us = now_us
        self._truth = truth
        self._written_at = -1.0
        self._press_table = Registers(self.advance)
        self._meter_table = Registers(self.advance)
        self._compressor_table = Registers(self.advance)
        self.net_units = {PRESS_UNIT: self._press_table, METER_UNIT: self._meter_table}
        self.serial_units = {COMPRESSOR_UNIT: self._compressor_table}
        self._tell(0.0, "plant", "start", {"seed": seed, "speed": speed, **self.totals()})
        self.advance()

    @property
    def refused_functions(self) -> list[int]:
        """Function codes other than reads that anybody asked any unit for."""
        tables = (*self.net_units.values(), *self.serial_units.values())
        return [function for table in tables for function in table.refused]

    def advance(self) -> None:
        """Bring the plant and its registers up to now."""
        to = max((self._now_us() - self.start_us) / 1e6 * self._speed, self.press.now)
        while self.compressor.now + STEP_S <= to:
            self._advance_machines(self.compressor.now + STEP_S)
            if self.compressor.step(self.press.air):
                self._tell(self.compressor.now, "compressor-1", "load", {"loaded": self.compressor.loaded})
        self._advance_machines(to)
        if to != self._written_at:
            put_press(self._press_table, self.press)
            put_meter(self._meter_table, self.press)
            put_compressor(self._compressor_table, self.compressor)
            self._written_at = to

    def finish(self) -> None:
        """Bring the plant up to now and tell its totals."""
        self.advance()
        self._tell(self.press.now, "plant", "end", self.totals())

    def totals(self) -> dict[str, Any]:
        """Counters, seconds in each state and energy, as they are."""
        press = self.press
        return {
            "total": press.total,
            "good": press.good,
            "scrap": press.scrap,
            "seconds": {state.name.lower(): round(press.time_in(state), 3) for state in State},
            "energy_kwh": round(energy_kwh(press), 6),
            "cnc": {"produced": self.cnc.produced, "good": self.cnc.good, "energy_kwh": round(self.cnc.energy, 6)},
        }

    def _advance_machines(self, to: float) -> None:
        press = ((event.at, "press-1", event) for event in self.press.advance(to))
        cnc = ((event.at, "cnc-1", event) for event in self.cnc.advance(to))
        for at, equipment, event in heapq.merge(press, cnc, key=itemgetter(0)):
            self._tell(at, equipment, event.what, event.detail)

    def _tell(self, at: float, equipment: str, what: str, detail: dict[str, Any]) -> None:
        us = self.start_us + round(at / self._speed * 1e6)
        stamp = datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._truth({"time": stamp, "time_us": us, "equipment": equipment, "event": what, **detail})
