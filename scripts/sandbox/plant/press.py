"""A mechanical press: cycles, stops, micro-stops, faults and rejects. Pure; time is simulated seconds.

What happens is drawn from a seeded generator, segment by segment (a cycle, a stop, a fault), and what
lies within a segment is computed exactly. So the history depends on the seed alone, not on when or how
often anybody looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random

NOMINAL_CYCLE_S = 4.2
SERIAL = "GF-P160-00017"


Detail = dict[str, str | int | float | bool]


class State(IntEnum):
    """What the state register says."""

    OFF = 0
    STANDBY = 1
    EXECUTING = 2
    FAULT = 3


class Alarm(IntEnum):
    """Bits of the alarm register."""

    OIL_HOT = 0
    GUARD_OPEN = 1
    LUBRICATION = 2
    OVERLOAD = 3


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How often things happen; chances are per cycle, durations are ranges in seconds."""

    cycle_spread_s: float = 0.12
    reject: float = 0.03
    micro_stop: float = 1 / 25
    micro_stop_s: tuple[float, float] = (3.0, 20.0)
    stop: float = 1 / 150
    stop_s: tuple[float, float] = (300.0, 900.0)
    fault: float = 1 / 120
    fault_s: tuple[float, float] = (20.0, 240.0)


@dataclass(frozen=True, slots=True)
class Segment:
    """A span in which one thing happens: ``kind`` is cycle, warm-up, micro-stop, stop or fault."""

    kind: str
    state: State
    start: float
    duration: float
    good: bool = True
    alarm: Alarm | None = None

    @property
    def end(self) -> float:
        """Simulated second at which the next segment starts."""
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Event:
    """Something that really happened, at a simulated second."""

    at: float
    what: str
    detail: Detail


_POWER_W = {State.OFF: 300.0, State.STANDBY: 3_500.0, State.EXECUTING: 18_000.0, State.FAULT: 2_200.0}
_STROKE_W = 9_000.0
"""Amplitude of the power within a cycle; its mean over the cycle is 0."""
_OIL_C = {State.OFF: 22.0, State.STANDBY: 41.0, State.EXECUTING: 63.0, State.FAULT: 38.0}
_OIL_TAU_S = 600.0
_AIR_L_S = {State.OFF: 0.5, State.STANDBY: 2.0, State.EXECUTING: 14.0, State.FAULT: 1.0}


@dataclass(slots=True)
class Press:
    """The press at the simulated second ``now``; :meth:`advance` moves it on."""

    seed: int = 1
    behaviour: Behaviour = field(default_factory=Behaviour)
    total: int = 184_320
    good: int = 179_011
    strokes: int = 65_500
    """Counts like ``total``; shown in 16 bits, so it rolls over soon after the start."""
    now: float = 0.0
    seconds: dict[State, float] = field(default_factory=lambda: dict.fromkeys(State, 0.0))
    """Time spent in each state, completed segments only."""
    _random: Random = field(init=False)
    _segment: Segment = field(init=False)
    _oil: float = 35.0
    _joules: float = 0.0

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._segment = Segment("warm-up", State.STANDBY, 0.0, self._random.uniform(2.0, 4.0))

    def advance(self, to: float) -> Iterator[Event]:
        """Move on to a simulated second; what happened on the way, in order. Consume it."""
        while self._segment.end <= to:
            done = self._segment
            yield from self._finish(done)
            self._segment = self._next(done)
            if self._segment.state is not done.state or self._segment.kind != done.kind:
                yield Event(done.end, "state", self._change_from(done))
        self.now = max(self.now, to)

    def _change_from(self, done: Segment) -> Detail:
        now = self._segment
        return {"state": int(now.state), "from": int(done.state), "why": now.kind, "alarms": self.alarms}

    def _finish(self, done: Segment) -> Iterator[Event]:
        self._oil = self._oil_at(done.end)
        self._joules += self._energy_of(done, done.duration)
        self.seconds[done.state] += done.duration
        if done.kind == "cycle":
            self.total += 1
            self.strokes += 1
            self.good += done.good
            seconds = round(done.duration, 3)
            counts = {"total": self.total, "good": self.good, "scrap": self.scrap}
            yield Event(done.end, "cycle", {"ok": done.good, "seconds": seconds, **counts})

    def _next(self, done: Segment) -> Segment:
        chance, b = self._random.random(), self.behaviour
        start = done.end
        if done.kind == "cycle":
            if chance < b.fault:
                alarm = self._random.choice(list(Alarm))
                return Segment("fault", State.FAULT, start, self._random.uniform(*b.fault_s), alarm=alarm)
            if chance < b.fault + b.stop:
                return Segment("stop", State.STANDBY, start, self._random.uniform(*b.stop_s))
            if chance < b.fault + b.stop + b.micro_stop:
                return Segment("micro-stop", State.STANDBY, start, self._random.uniform(*b.micro_stop_s))
        duration = max(self._random.gauss(NOMINAL_CYCLE_S, b.cycle_spread_s), NOMINAL_CYCLE_S * 0.8)
        return Segment("cycle", State.EXECUTING, start, duration, good=self._random.random() >= b.reject)

    @property
    def state(self) -> State:
        """State now."""
        return self._segment.state

    @property
    def scrap(self) -> int:
        """Parts produced and not good."""
        return self.total - self.good

    @property
    def alarms(self) -> int:
        """Alarm bits now."""
        return 0 if self._segment.alarm is None else 1 << self._segment.alarm

    @property
    def spm(self) -> float:
        """Strokes a minute now; 0 when it stands."""
        return 60.0 / self._segment.duration if self._segment.kind == "cycle" else 0.0

    @property
    def oil_temp(self) -> float:
        """°C."""
        return self._oil_at(self.now)

    @property
    def pressure(self) -> float:
        """Hydraulic pressure in bar: rises with each stroke."""
        idle = 12.0 if self.state in (State.STANDBY, State.FAULT) else 0.0
        return 80.0 + 120.0 * math.sin(math.pi * self._phase()) if self._segment.kind == "cycle" else idle

    @property
    def power(self) -> float:
        """Watts drawn now."""
        stroke = _STROKE_W * math.sin(2 * math.pi * self._phase()) if self._segment.kind == "cycle" else 0.0
        return _POWER_W[self.state] + stroke

    @property
    def energy(self) -> float:
        """Joules drawn since the start: the integral of :attr:`power`."""
        return self._joules + self._energy_of(self._segment, self.now - self._segment.start)

    @property
    def air(self) -> float:
        """Compressed air drawn now, litres (normal) a second."""
        return _AIR_L_S[self.state]

    def time_in(self, state: State) -> float:
        """Seconds spent in a state until now."""
        running = self.now - self._segment.start if state is self.state else 0.0
        return self.seconds[state] + running

    def _phase(self) -> float:
        return (self.now - self._segment.start) / self._segment.duration

    def _oil_at(self, at: float) -> float:
        target = _OIL_C[self._segment.state]
        return target + (self._oil - target) * math.exp(-(at - self._segment.start) / _OIL_TAU_S)

    @staticmethod
    def _energy_of(segment: Segment, elapsed: float) -> float:
        joules = _POWER_W[segment.state] * elapsed
        if segment.kind == "cycle":
            turn = 2 * math.pi
            joules += _STROKE_W * segment.duration / turn * (1 - math.cos(turn * elapsed / segment.duration))
        return joules
