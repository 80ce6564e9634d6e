"""When anything was known at all: the scans of every group, on the fly. Pure but for its state.

A scan vouches for what it found until the next scan of its group. Where the next one is further away
than the group's *limit*, max(2.5 intervals, 1 s), it vouches for one interval, and from there to the
next scan is a gap in which nothing is known. The period's end counts as a scan that vouches for
nothing itself.

So every group has two counts that only grow: *known*, the microseconds of the period for which a
scan vouched, and *scans*. What lies between two samples of a series is then a difference of two
counts, and no sample has to be looked at twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.digest.spec import GroupSpec
from agent.digest.windows import Period

Times = NDArray[np.int64]
Positions = NDArray[np.intp]

SILENCE_US = 5_000_000
"""A stretch without a scan of any group is remembered when it is longer than this."""

_SPAN = np.int64(1 << 48)
"""More than any time within a period; keys are ``group * _SPAN + time since base``."""


@dataclass(slots=True, eq=False)
class Knots:
    """Scans sorted by (group, time); each group begins with the last scan of the batches before.

    ``until``: what the scan vouches for ends here. ``known``, ``scans``: the group's counts at the
    scan, itself included. ``open``: the group's last scan so far, whose ``until`` may yet move.
    """

    key: Times
    group: Positions
    time: Times
    until: Times
    known: Times
    scans: Times
    open: NDArray[np.bool_]


class ScanTimeline:
    """Folds scans, batch by batch; a group's scans must come in the order of their times."""

    def __init__(self, groups: Sequence[GroupSpec], period: Period, lookback_us: int) -> None:
        count = len(groups)
        self._period = period
        self.base = period.start - lookback_us
        """Nothing before this is looked at."""
        self.interval = np.array([group.interval_us for group in groups], np.int64)
        self.limit = np.maximum(self.interval * 5 // 2, 1_000_000)
        self._position = _lookup([group.id for group in groups])
        self.last = np.full(count, self.base, np.int64)
        """Time of each group's last scan; ``base`` before the first."""
        self._scanned = np.zeros(count, np.bool_)
        self.known = np.zeros(count, np.int64)
        self.scans = np.zeros(count, np.int64)
        self.late = np.zeros(count, np.int64)
        self.longest_gap = np.zeros(count, np.int64)
        self.silences: list[tuple[int, int]] = []
        self._last_any = self.base
        self._carried = self.last

    def advance(self, group_ids: NDArray[np.int32], time: Times, late: NDArray[np.int32]) -> Knots:
        """Take the scans of a batch (as in :class:`~agent.buffer.batch.Batch`) into account."""
        place = self._position[np.clip(group_ids, -1, len(self._position) - 2)]
        kept = (place >= 0) & (time >= self.base) & (time < self._period.end)
        if not kept.all():
            place, time, late = place[kept], time[kept], late[kept]
        inside = time >= self._period.start
        np.add.at(self.late, place[inside], late[inside].astype(np.int64))
        self._note_silences(np.sort(time))
        return self._fold(place, time)

    def close(self) -> Knots:
        """The period has ended: decide what the last scans vouch for."""
        end = np.full(len(self.last), self._period.end, np.int64)
        self._note_silences(end[:1])
        return self._fold(np.arange(len(self.last)), end)

    def find(self, knots: Knots, place: Positions, time: Times) -> tuple[Positions, Times]:
        """Position in ``knots`` of the last scan at or before each time, and the times as used.

        A time before the first knot of its group (a clock that was set back) is moved up to it.
        """
        time = np.maximum(time, self._carried[place])
        key = place * _SPAN + (time - self.base)
        return np.searchsorted(knots.key, key, side="right") - 1, time

    def known_at(self, knots: Knots, at: Positions, time: Times) -> Times:
        """The group's *known* at ``time``, where ``at`` is what :meth:`find` gave for it."""
        clip = self._clip
        return knots.known[at] + clip(np.minimum(time, knots.until[at])) - clip(knots.time[at])

    def _fold(self, place: Positions, time: Times) -> Knots:
        groups = np.arange(len(self.last))
        self._carried = self.last.copy()
        time = np.maximum(time, self.last[place])
        key = np.concatenate((groups * _SPAN + (self.last - self.base), place * _SPAN + (time - self.base)))
        order = np.argsort(key, kind="stable")  # the carried scan stays before a new one of the same time
        key = key[order]
        place = np.concatenate((groups, place))[order]
        time = key - place * _SPAN + self.base
        new = order >= len(groups)
        head = np.flatnonzero(~new)  # one a group
        tail = np.append(head[1:], len(key)) - 1 if len(head) else head
        real = new.copy()
        real[head] = self._scanned

        # What each scan vouches for: to the next one, or for an interval. Position i speaks of i → i+1.
        until = np.where(real, time + self.interval[place], time)
        follows = np.flatnonzero(new) - 1
        near = real[follows] & (time[follows + 1] - time[follows] <= self.limit[place[follows]])
        until[follows[near]] = time[follows[near] + 1]
        known = self._running(self.known, head, place, follows, self._clip(until) - self._clip(time))
        counted = (time[follows + 1] >= self._period.start) & (time[follows + 1] < self._period.end)
        scans = self._running(self.scans, head, place, follows, counted.astype(np.int64), aligned=True)
        self._note_gaps(place, time, until, real, follows)

        self.last, self.known, self.scans = time[tail], known[tail], scans[tail]
        self._scanned |= tail > head
        is_open = np.zeros(len(key), np.bool_)
        is_open[tail] = True
        return Knots(key, place, time, until, known, scans, is_open)

    @staticmethod
    def _running(
        carried: Times, head: Positions, place: Positions, follows: Positions, step: Times, *, aligned: bool = False
    ) -> Times:
        # A running sum within each group, starting from what was carried.
        steps = np.zeros(len(place), np.int64)
        steps[follows + 1] = step if aligned else step[follows]
        total = np.cumsum(steps)
        return total - total[head][place] + carried[place]

    def _note_gaps(
        self, place: Positions, time: Times, until: Times, real: NDArray[np.bool_], follows: Positions
    ) -> None:
        clip = self._clip
        gap = clip(time[follows + 1]) - clip(until[follows])
        # The first scan of all is late against the period's start only beyond the limit.
        gap[~real[follows] & (gap <= self.limit[place[follows]])] = 0
        np.maximum.at(self.longest_gap, place[follows], gap)

    def _note_silences(self, time: Times) -> None:
        if not len(time):
            return
        time = np.maximum(np.append(self._last_any, time), self._last_any)
        for at in np.flatnonzero(np.diff(time) > SILENCE_US):
            self.silences.append((int(time[at]), int(time[at + 1])))
        self._last_any = int(time[-1])

    def _clip(self, time: Times) -> Times:
        return np.clip(time, self._period.start, self._period.end)


def _lookup(ids: Sequence[int]) -> NDArray[np.intp]:
    """Table id → position, -1 where there is none; its last two entries are -1 for anything beyond."""
    table = np.full(max(ids, default=-1) + 3, -1, np.intp)
    for position, each in enumerate(ids):
        if each >= 0:
            table[each] = position
    return table
