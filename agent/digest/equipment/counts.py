"""Pieces: from counters, from pulses, or from a state that comes round once a piece. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.digest.counters import fall
from agent.digest.equipment.states import EXECUTING, UNKNOWN
from agent.digest.equipment.steps import Intervals, Steps

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was counted in a period, and what a reader must know of it.

    ``known``: at least one good sample; ``stuck``: the counter did not move at all. What was counted during
    a gap belongs to the period in which the counter was seen again.
    """

    count: float = 0.0
    known: bool = False
    resets: int = 0
    rollovers: int = 0
    decrements: int = 0
    stuck: bool = False
    since: Times = field(default_factory=lambda: np.empty(0, np.int64))
    """Steps of the count: from when on each may have been made, when it was seen, and how many it was."""
    seen: Times = field(default_factory=lambda: np.empty(0, np.int64))
    step: Floats = field(default_factory=lambda: np.empty(0))


def from_counter(
    time: Times,
    value: Floats,
    good: NDArray[np.bool_],
    start: int,
    *,
    tops: Sequence[float],
    declared: bool,
    known: Intervals | None = None,
) -> Counted:
    """Samples in the order of time; those before ``start`` only say from where the counting begins. ``known``: when
    the counter was looked at."""
    kept = good & np.isfinite(value)
    time, value = time[kept], value[kept]
    if not len(value):
        return Counted()
    step = np.where(time[1:] >= start, np.diff(value), 0.0)
    what = {"reset": 0, "rollover": 0, "decrement": 0}
    for row in np.flatnonzero(step < 0).tolist():  # rare
        kind, step[row] = fall(float(value[row]), float(value[row + 1]), tops, declared=declared)
        what[kind] += 1
    counted = np.flatnonzero(step)
    since, seen = time[counted], time[counted + 1]
    return Counted(
        count=float(step.sum()),
        known=True,
        resets=what["reset"],
        rollovers=what["rollover"],
        decrements=what["decrement"],
        stuck=not step.any(),
        since=seen if known is None else _unseen_since(since, seen, known),
        seen=seen,
        step=step[counted],
    )


def _unseen_since(before: Times, seen: Times, known: Intervals) -> Times:
    """From when on a counter was not looked at before it was seen higher; the same moment where it always was."""
    place = np.searchsorted(known.start, seen, side="right") - 1
    gap = (place >= 0) & (known.start[np.maximum(place, 0)] > before) if len(known) else np.zeros(len(seen), np.bool_)
    last = known.end[np.maximum(place - 1, 0)] if len(known) else seen
    return np.where(gap, np.maximum(before, np.where(place > 0, last, before)), seen)


def in_planned_time(counted: Counted, states: Steps, planned: Intervals | None) -> float:
    """How many of the pieces were made in planned time in which the state is known, as APT is measured.

    What was counted while the counter was not looked at is shared out by the time that the machine executed, or may
    have executed, meanwhile.
    """
    known = states.where_not(UNKNOWN)
    inside = known if planned is None else known.within(planned)
    at_once = counted.since == counted.seen
    total = float(counted.step[at_once & inside.holds(counted.seen)].sum())
    for row in np.flatnonzero(~at_once).tolist():  # rare
        since, seen = int(counted.since[row]), int(counted.seen[row])
        known_to_run = states.where(EXECUTING).clipped(since, seen)
        may_run = known_to_run.total + (seen - since) - known.clipped(since, seen).total
        mine = known_to_run if planned is None else known_to_run.within(planned)
        total += float(counted.step[row]) * (mine.total / may_run if may_run else 0.0)
    return total


def from_pulses(signal: Steps, start: int) -> Counted:
    """One piece each time the signal leaves 0, as far as both sides of the edge are known."""
    return _edges(signal, signal.value != 0, start)


def from_state(states: Steps, state: int, start: int) -> Counted:
    """One piece each time the machine leaves ``state`` for another known one."""
    known = Steps(*(column[states.value != UNKNOWN] for column in (states.start, states.end, states.value)))
    return _edges(known, known.value != state, start)


def _edges(steps: Steps, on: NDArray[np.bool_], start: int) -> Counted:
    if not len(steps):
        return Counted()
    adjoining = steps.start[1:] == steps.end[:-1]
    rising = adjoining & on[1:] & ~on[:-1] & (steps.start[1:] >= start)
    at = steps.start[1:][rising]
    return Counted(count=float(len(at)), known=True, since=at, seen=at, step=np.ones(len(at)))
