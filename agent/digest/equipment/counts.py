"""Pieces: from counters, from pulses, or from a state that comes round once a piece. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.digest.counters import fall
from agent.digest.equipment.states import UNKNOWN
from agent.digest.equipment.steps import Steps

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


def from_counter(
    time: Times, value: Floats, good: NDArray[np.bool_], start: int, *, tops: Sequence[float], declared: bool
) -> Counted:
    """Samples in the order of time; those before ``start`` only say from where the counting begins."""
    kept = good & np.isfinite(value)
    time, value = time[kept], value[kept]
    if not len(value):
        return Counted()
    step = np.where(time[1:] >= start, np.diff(value), 0.0)
    what = {"reset": 0, "rollover": 0, "decrement": 0}
    for row in np.flatnonzero(step < 0).tolist():  # rare
        kind, step[row] = fall(float(value[row]), float(value[row + 1]), tops, declared=declared)
        what[kind] += 1
    return Counted(
        count=float(step.sum()),
        known=True,
        resets=what["reset"],
        rollovers=what["rollover"],
        decrements=what["decrement"],
        stuck=not step.any(),
    )


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
    return Counted(count=float(rising.sum()), known=True)
