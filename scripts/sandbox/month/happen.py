"""What happens on a machine: states, pieces and power, from random times. Seeded; knows nothing of the agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from scripts.sandbox.month.shifts import HOUR, MINUTE, SECOND, Span, joined

STATES = ("executing", "standby", "setup", "maintenance", "fault", "off")
EXECUTING, STANDBY, SETUP, MAINTENANCE, FAULT, OFF = range(6)
Chance = np.random.Generator
Times = NDArray[np.int64]
Draw = Callable[[Chance], float]
"""Seconds."""

LEVEL_S = 600.0
"""Mean seconds for which a machine that executes draws the same power."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How a machine behaves. Seconds, and kW by state. ``every``: executing time between two of what interrupts it;
    0: never. ``cycle``: of a piece. ``rest``: its state while nobody is there."""

    cycle: float = 10.0
    scrap: float = 0.01
    rework: float = 0.0
    micro_every: float = 9_000.0
    stop_every: float = 10_000.0
    stop: tuple[float, float] = (360.0, 1200.0)
    fail_every: float = 250_000.0
    repair: float = 1200.0
    setup_every: float = 40_000.0
    setup: tuple[float, float] = (600.0, 1500.0)
    load: float = 0.0
    """Setup after each piece, with which the piece is counted."""
    service_every: float = 0.0
    rest: int = OFF
    kw: tuple[float, ...] = (20.0, 2.0, 8.0, 0.5, 1.8, 0.2)
    dip: float = 0.97
    """The lowest level of power while executing, as a share."""


@dataclass(slots=True, eq=False)
class History:
    """``states``: (start, end, state), without gaps. ``pieces``: when each was made; ``good``, ``rework``: of them.
    ``power``: kW from each of ``power_at`` on."""

    start: int
    end: int
    states: list[tuple[int, int, int]]
    pieces: Times = field(default_factory=lambda: np.empty(0, np.int64))
    good: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    rework: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    power_at: Times = field(default_factory=lambda: np.empty(0, np.int64))
    power: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    used: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """kWh up to each of ``power_at``, and in all."""

    def kwh(self, time: Times) -> NDArray[np.float64]:
        """Energy used since the start."""
        return np.interp(time, np.append(self.power_at, self.end), self.used)


def happen(name: str, start: int, end: int, staffed: Sequence[Span], habits: Mapping[int, Habit], seed: int) -> History:
    """``habits``: from which time on which habit; the first one from the start on."""
    chance = np.random.default_rng([seed, crc32(name.encode())])
    life = _Life(chance, sorted(habits.items()))
    # People come a little early and leave a little late.
    there = [(begin - _ms(chance.uniform(60, 180)), stop + _ms(chance.uniform(20, 90))) for begin, stop in staffed]
    states = [each for each in life.lived(start, end, joined(there)) if each[1] > each[0]]
    history = History(start, end, _merged(states))
    _make_pieces(history, life, chance)
    _draw_power(history, life, chance)
    return history


class _Life:
    def __init__(self, chance: Chance, habits: list[tuple[int, Habit]]) -> None:
        self._chance = chance
        self._habits = habits
        self._left: dict[str, float] = {}
        self._of: Habit | None = None

    def habit(self, time: int) -> Habit:
        """The one in force."""
        return next((each for since, each in reversed(self._habits) if since <= time), self._habits[0][1])

    def of_pieces(self, times: Times) -> NDArray[np.float64]:
        """Shares of scrap and rework, a row a piece."""
        place = np.searchsorted([since for since, _ in self._habits], times, side="right") - 1
        rates = np.array([(each.scrap, each.rework) for _, each in self._habits])
        return rates[np.maximum(place, 0)]

    def lived(self, start: int, end: int, staffed: list[Span]) -> Iterator[tuple[int, int, int]]:
        """State by state."""
        spans = iter([*staffed, (end, end)])
        begin, until = next(spans)
        time, busy = start, (OFF, 0)  # busy: what goes on whoever is there, and until when
        while time < end:
            if time >= until:
                begin, until = next(spans)
            if busy[1] > time:
                stop = min(busy[1], end if busy[0] == FAULT else max(until, time))
                if stop <= time:
                    busy = (OFF, 0)
                    continue
                yield time, min(stop, end), busy[0]
                time = stop
            elif time < begin:  # nobody there; a short while it waits
                yield time, min(begin, end), STANDBY if begin - time < 2 * HOUR else self.habit(time).rest
                time = begin
                if self.habit(time).stop_every and self.habit(time).rest == OFF:
                    busy = (STANDBY, time + _ms(self._chance.uniform(60, 240)))
            else:
                stop, busy = self._work(time, until)
                yield time, min(stop, end), EXECUTING
                time = stop

    def _work(self, time: int, until: int) -> tuple[int, tuple[int, int]]:
        """Until when it executes, and what comes then."""
        habit = self.habit(time)
        if habit is not self._of:
            self._of, self._left = habit, {}
            for what in ("micro", "stop", "fail", "setup", "load", "service"):
                self._again(what, habit)
        what = min(self._left, key=lambda each: self._left[each])
        run = max(_ms(self._left[what]), 20 * SECOND)  # what is shorter, no scan would see
        stop = min(time + run, until)
        for each in self._left:
            self._left[each] -= (stop - time) / SECOND
        if stop < time + run:
            return stop, (OFF, 0)
        self._again(what, habit)
        state, seconds = self._interruption(what, habit)
        return stop, (state, stop + _ms(seconds))

    def _again(self, what: str, habit: Habit) -> None:
        chance = self._chance
        every = {
            "micro": habit.micro_every and chance.exponential(habit.micro_every),
            "stop": habit.stop_every and chance.exponential(habit.stop_every),
            "fail": habit.fail_every and habit.fail_every * chance.weibull(1.5) / 0.9027,
            "setup": habit.setup_every and habit.setup_every * chance.uniform(0.8, 1.2),
            "load": habit.load and habit.cycle * chance.uniform(0.97, 1.03),
            "service": habit.service_every,
        }[what]
        self._left[what] = max(every, 30.0) if every else float("inf")

    def _interruption(self, what: str, habit: Habit) -> tuple[int, float]:
        chance = self._chance
        if what == "micro":
            return STANDBY, chance.uniform(25, 220)  # well away from the five minutes
        if what == "stop":
            return STANDBY, chance.uniform(*habit.stop)
        if what == "fail":
            return FAULT, max(habit.repair * chance.lognormal(-0.08, 0.4), 60.0)
        if what == "setup":
            return SETUP, chance.uniform(*habit.setup)
        return (SETUP, habit.load) if what == "load" else (MAINTENANCE, 5400.0)


def _ms(seconds: float) -> int:
    return round(seconds * 1000) * 1000


def _merged(states: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    result: list[tuple[int, int, int]] = []
    for start, end, state in states:
        if result and result[-1][2] == state:
            result[-1] = (result[-1][0], end, state)
        else:
            result.append((start, end, state))
    return result


def _make_pieces(history: History, life: _Life, chance: Chance) -> None:
    runs = [each for each in history.states if each[2] == EXECUTING]
    if any(life.habit(start).load for start, _, _ in runs):
        pieces = [end for _, end, _ in runs if end < history.end]
    else:
        pieces = _by_progress(runs, life, chance)
    history.pieces = np.array(pieces, np.int64)
    rates = life.of_pieces(history.pieces)
    lot = chance.random(len(pieces))
    history.good = lot >= rates.sum(axis=1)
    history.rework = ~history.good & (lot >= rates[:, 0])


def _by_progress(runs: list[tuple[int, int, int]], life: _Life, chance: Chance) -> list[int]:
    # Progress grows only while the machine executes; a piece is made when it passes about a whole number.
    edges, progress = [runs[0][0] if runs else 0], [0.0]
    for start, end, _ in runs:
        edges += [start, end]
        progress += [progress[-1], progress[-1] + (end - start) / SECOND / life.habit(start).cycle]
    whole = np.arange(1, int(progress[-1]), dtype=np.float64)
    marks = whole + chance.uniform(-0.2, 0.2, len(whole))
    made: list[int] = np.interp(marks, np.array(progress), np.array(edges, np.float64)).astype(np.int64).tolist()
    return made


def _draw_power(history: History, life: _Life, chance: Chance) -> None:
    at: list[int] = []
    level: list[float] = []
    for start, end, state in history.states:
        habit = life.habit(start)
        nominal, time, first = habit.kw[state], start, True
        while time < end:
            low, high = (habit.dip, 1.03) if state == EXECUTING and not first else (0.99, 1.01)
            at.append(time)
            level.append(round(nominal * chance.uniform(low, high), 2))
            time += max(_ms(chance.exponential(LEVEL_S)), MINUTE) if state == EXECUTING else 2 * HOUR
            first = False
    history.power_at, history.power = np.array(at, np.int64), np.array(level)
    history.used = np.append(0.0, np.cumsum(history.power * np.diff([*at, history.end]))) / HOUR
