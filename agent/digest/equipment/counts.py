"""Pieces: from counters, from pulses, or from a state that comes round once a piece. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.digest.counters import Follower, Path, Rules
from agent.digest.equipment.states import EXECUTING, UNKNOWN
from agent.digest.equipment.steps import Intervals, Steps
from agent.digest.equipment.tracks import Track
from agent.digest.windows import Period

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


def _nothing() -> Times:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """What was counted in a period, and what a reader must know of it.

    ``known``: there was a good sample, now or before; ``certain``: all that was counted is known. ``told``: what
    happened to the counter, by kind. ``stuck``: it did not move at all. What was counted during a gap belongs to the
    period in which the counter was seen again.
    """

    count: float = 0.0
    known: bool = False
    certain: bool = True
    told: Mapping[str, int] = field(default_factory=dict)
    stuck: bool = False
    since: Times = field(default_factory=_nothing)
    """Steps of the count: from when on each may have been made, when it was seen, and how many it was."""
    seen: Times = field(default_factory=_nothing)
    step: Floats = field(default_factory=lambda: np.empty(0))
    time: Times = field(default_factory=_nothing)
    """Of the samples, the last one before the period included; and what had been counted by each."""
    total: Floats = field(default_factory=lambda: np.empty(0))
    good: Intervals = field(default_factory=lambda: Intervals.of([]))
    """When a good value was known."""
    path: Path | None = None
    """For the period that follows."""


def from_counter(rules: Rules, track: Track, period: Period, before: Path | None = None) -> Counted:
    """``before``: as the period before handed it on; without it the last sample before the period says from where the
    counting begins."""
    kept = track.good & np.isfinite(track.value)
    read = Steps.of_samples(track.time, track.value, kept, track.known)
    inside = read.clipped(period.start, period.end)
    time, value = track.time[kept], track.value[kept]
    now = time >= period.start
    earlier = np.flatnonzero(~now)[-1:]
    if before is None and len(earlier):
        before = Path.at(float(value[earlier[0]]), int(time[earlier[0]]))
    begin = int(time[earlier[0]]) if len(earlier) else min([period.start - 1, *time[:1].tolist()])
    time, value = time[now], value[now]
    follower = Follower(rules, before)
    total = follower.add(time, value, _known_by(inside, time))
    known = int(inside.length.sum())
    follower.close(known)
    if follower.path is None:
        return Counted()
    if before is not None:
        time, total = np.append(begin, time), np.append(0.0, total)
    if follower.count != total[-1]:  # decided at the very end
        time, total = np.append(time, max(period.end - 1, time[-1])), np.append(total, follower.count)
    step = np.diff(total)
    counted = np.flatnonzero(step)
    since, seen = time[counted], time[counted + 1]
    return Counted(
        count=follower.count,
        known=True,
        certain=follower.known,
        told={**follower.told, "undecided": int(follower.undecided)},
        stuck=follower.stuck,
        since=_unseen_since(since, seen, track.known),
        seen=seen,
        step=step[counted],
        time=time,
        total=total,
        good=read.known,
        path=follower.path.handed_on(known),
    )


def _known_by(steps: Steps, time: Times) -> Times:
    """How much of the steps lies before each time."""
    if not len(steps):
        return np.zeros(len(time), np.int64)
    before = np.cumsum(steps.length) - steps.length
    place = np.maximum(np.searchsorted(steps.start, time, side="right") - 1, 0)
    return np.asarray(before[place] + np.clip(time - steps.start[place], 0, steps.length[place]), np.int64)


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
