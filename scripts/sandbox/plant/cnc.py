"""A machining centre with OPC UA: parts, spindle load, waits and faults. Pure; time is simulated seconds.

Made like the press: segments are drawn from a seeded generator of its own, and what lies within one is
computed exactly, so the history depends on the seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random

from scripts.sandbox.plant.press import Event

PROGRAM = "O1021 BRACKET-LH"
MACHINING_S, _SPREAD_S = 18.0, 0.4
_LOADING_S = (3.0, 5.0)
_WAITING_S = (20.0, 90.0)
_FAULT_S = (15.0, 60.0)
_REJECT, _WAIT, _FAULT = 0.02, 1 / 20, 1 / 30
ALARMS = ("1012 Tool 7 worn 刀具磨损", "2030 Coolant low 冷却液位低", "3101 Door open 门未关")
_IDLE_KW, _FULL_KW = 1.8, 11.0
_LOAD_IDLE, _LOAD_CUT = 22.0, 58.0
_TRAVEL_MM = (600.0, 400.0, 350.0)


class ItemState(IntEnum):
    """OPC UA Machinery's MachineryItemState."""

    NOT_AVAILABLE = 0
    OUT_OF_SERVICE = 1
    NOT_EXECUTING = 2
    EXECUTING = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """A span in which one thing happens: ``kind`` is loading, machining, waiting or fault."""

    kind: str
    state: ItemState
    start: float
    duration: float
    alarm: str = ""

    @property
    def end(self) -> float:
        """Simulated second at which the next segment starts."""
        return self.start + self.duration


@dataclass(slots=True)
class Cnc:
    """The machine at the simulated second ``now``; :meth:`advance` moves it on."""

    seed: int = 1
    produced: int = 9_204
    good: int = 9_120
    now: float = 0.0
    _random: Random = field(init=False)
    _segment: Segment = field(init=False)
    _kws: float = 0.0

    def __post_init__(self) -> None:
        self._random = Random(f"cnc {self.seed}")
        self._segment = self._make("loading", 0.0)

    def advance(self, to: float) -> Iterator[Event]:
        """Move on to a simulated second; what happened on the way, in order. Consume it."""
        while self._segment.end <= to:
            done = self._segment
            self._kws += self._energy_of(done, done.duration)
            if done.kind == "machining":
                ok = self._random.random() >= _REJECT
                self.produced += 1
                self.good += ok
                yield Event(done.end, "part", {"ok": ok, "produced": self.produced, "good": self.good})
            self._segment = self._make(self._kind_after(done), done.end)
            if self._segment.kind in ("fault", "waiting") or done.kind in ("fault", "waiting"):
                why = self._segment.alarm or self._segment.kind
                yield Event(done.end, "state", {"state": int(self.state), "from": int(done.state), "why": why})
        self.now = max(self.now, to)

    def _kind_after(self, done: Segment) -> str:
        if done.kind != "machining":
            return "machining" if done.kind == "loading" else "loading"
        chance = self._random.random()
        return "fault" if chance < _FAULT else "waiting" if chance < _FAULT + _WAIT else "loading"

    def _make(self, kind: str, start: float) -> Segment:
        match kind:
            case "machining":
                seconds = max(self._random.gauss(MACHINING_S, _SPREAD_S), MACHINING_S / 2)
                return Segment(kind, ItemState.EXECUTING, start, seconds)
            case "fault":
                alarm = self._random.choice(ALARMS)
                return Segment(kind, ItemState.OUT_OF_SERVICE, start, self._random.uniform(*_FAULT_S), alarm)
            case _:
                span = _LOADING_S if kind == "loading" else _WAITING_S
                return Segment(kind, ItemState.NOT_EXECUTING, start, self._random.uniform(*span))

    @property
    def state(self) -> ItemState:
        """State now."""
        return self._segment.state

    @property
    def alarm(self) -> str:
        """Text of the alarm now; empty when there is none."""
        return self._segment.alarm

    @property
    def spindle_load(self) -> float:
        """Percent of the spindle's rated power now; 0 when it stands."""
        if self._segment.kind != "machining":
            return 0.0
        return _LOAD_IDLE + _LOAD_CUT * math.sin(3 * math.pi * self._phase()) ** 2

    @property
    def power(self) -> float:
        """kW drawn now."""
        return _IDLE_KW + _FULL_KW * self.spindle_load / 100

    @property
    def energy(self) -> float:
        """kWh drawn since the start: the integral of :attr:`power`."""
        return (self._kws + self._energy_of(self._segment, self.now - self._segment.start)) / 3600

    @property
    def axes(self) -> tuple[float, ...]:
        """Positions of X, Y and Z, mm."""
        if self._segment.kind != "machining":
            return (0.0, 0.0, _TRAVEL_MM[2])
        turn = 2 * math.pi * self._phase()
        return tuple(travel / 2 * (1 + math.sin(n * turn)) for n, travel in enumerate(_TRAVEL_MM, 1))

    def _phase(self) -> float:
        return (self.now - self._segment.start) / self._segment.duration

    @staticmethod
    def _energy_of(segment: Segment, elapsed: float) -> float:
        """kWs drawn in the first seconds of a segment."""
        kws = _IDLE_KW * elapsed
        if segment.kind == "machining":
            turn = 6 * math.pi / segment.duration
            cut = elapsed / 2 - math.sin(turn * elapsed) / (2 * turn)  # integral of sin² of half that angle
            kws += _FULL_KW / 100 * (_LOAD_IDLE * elapsed + _LOAD_CUT * cut)
        return kws
