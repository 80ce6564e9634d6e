"""Step functions of time, and sets of intervals. Pure; times are UTC microseconds (int64)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """From ``start[i]`` up to, and without, ``end[i]``: ascending, not empty, not touching each other."""

    start: Times
    end: Times

    @classmethod
    def of(cls, pairs: object) -> Intervals:
        """Any (start, end) pairs; empty ones are left out, those that touch are joined."""
        array = np.array(pairs, np.int64).reshape(-1, 2)
        array = array[array[:, 1] > array[:, 0]]
        array = array[np.argsort(array[:, 0], kind="stable")]
        if not len(array):
            return cls(np.empty(0, np.int64), np.empty(0, np.int64))
        reach = np.maximum.accumulate(array[:, 1])
        head = np.append(True, array[1:, 0] > reach[:-1])
        tail = np.append(np.flatnonzero(head)[1:] - 1, len(array) - 1)
        return cls(array[head, 0], reach[tail])

    def __len__(self) -> int:
        return len(self.start)

    @property
    def total(self) -> int:
        """Microseconds."""
        return int((self.end - self.start).sum())

    def holds(self, time: Times) -> NDArray[np.bool_]:
        """Which of the times lie in it."""
        place = np.searchsorted(self.start, time, side="right") - 1
        if not len(self):
            return place >= 0
        result: NDArray[np.bool_] = (place >= 0) & (time < self.end[np.maximum(place, 0)])
        return result

    def clipped(self, start: int, end: int) -> Intervals:
        """What of it lies within."""
        return Intervals.of(np.stack((np.clip(self.start, start, end), np.clip(self.end, start, end)), axis=1))

    def without(self, other: Intervals) -> Intervals:
        """What of it does not lie in ``other``."""
        edges = np.concatenate(([_FIRST], np.stack((other.start, other.end), axis=1).reshape(-1), [_LAST]))
        gaps = edges.reshape(-1, 2)
        return self.within(Intervals.of(gaps))

    def within(self, other: Intervals) -> Intervals:
        """What of it lies in ``other`` as well."""
        steps = Steps(self.start, self.end, np.zeros(len(self))).within(other)
        return Intervals.of(np.stack((steps.start, steps.end), axis=1))


_FIRST, _LAST = -(1 << 62), 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """``value[i]`` (float64) from ``start[i]`` up to ``end[i]``; ascending and apart; nothing is known elsewhere."""

    start: Times
    end: Times
    value: Floats

    @classmethod
    def nothing(cls) -> Steps:
        """Nothing is known at all."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    @classmethod
    def of_samples(cls, time: Times, value: Floats, good: NDArray[np.bool_], known: Intervals) -> Steps:
        """Samples in the order of time, each of which holds until the next one, as far as anything is known."""
        if not len(time):
            return cls.nothing()
        # Of several samples at one moment the last one holds.
        end = np.append(time[1:], max(int(known.end[-1]) if len(known) else 0, int(time[-1])))
        kept = good & (end > time) & np.isfinite(value)
        return cls(time[kept], end[kept], value[kept]).within(known)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> Times:
        """Microseconds of each step."""
        return self.end - self.start

    @property
    def known(self) -> Intervals:
        """When something is known."""
        return Intervals.of(np.stack((self.start, self.end), axis=1))

    def within(self, intervals: Intervals) -> Steps:
        """What of it lies in the intervals."""
        first = np.searchsorted(intervals.end, self.start, side="right")
        after = np.searchsorted(intervals.start, self.end, side="left")
        count = np.maximum(after - first, 0)
        step = np.repeat(np.arange(len(self)), count)
        offset = np.arange(len(step)) - np.repeat(np.cumsum(count) - count, count)
        place = first[step] + offset
        start = np.maximum(self.start[step], intervals.start[place])
        end = np.minimum(self.end[step], intervals.end[place])
        return Steps(start, end, self.value[step])

    def clipped(self, start: int, end: int) -> Steps:
        """What of it lies from ``start`` to ``end``."""
        return self.within(Intervals.of([(start, end)]))

    def merged(self) -> Steps:
        """The same with neighbours of equal value as one step."""
        if not len(self):
            return self
        head = np.append(True, (self.start[1:] != self.end[:-1]) | (self.value[1:] != self.value[:-1]))
        tail = np.append(np.flatnonzero(head)[1:] - 1, len(self) - 1)
        return Steps(self.start[head], self.end[tail], self.value[head])

    def where(self, value: float) -> Intervals:
        """When it has this value."""
        return self._when(self.value == value)

    def where_not(self, value: float) -> Intervals:
        """When it has another one."""
        return self._when(self.value != value)

    def _when(self, chosen: NDArray[np.bool_]) -> Intervals:
        return Intervals.of(np.stack((self.start[chosen], self.end[chosen]), axis=1))

    def at(self, time: Times) -> Floats:
        """The values at these times; NaN where nothing is known."""
        if not len(self):
            return np.full(len(time), np.nan)
        place = np.searchsorted(self.start, time, side="right") - 1
        inside = (place >= 0) & (time < self.end[np.maximum(place, 0)])
        return np.where(inside, self.value[np.maximum(place, 0)], np.nan)

    def integral(self) -> float:
        """Sum of value × seconds."""
        return float((self.value * (self.length * 1e-6)).sum())


def together(*functions: Steps) -> tuple[Times, Times, list[Floats]]:
    """Several step functions on one grid: start, end, and the values of each (NaN where it is not known)."""
    edges = np.unique(np.concatenate([edge for each in functions for edge in (each.start, each.end)] or [_NONE]))
    if len(edges) < 2:
        return _NONE, _NONE, [np.empty(0) for _ in functions]
    start, end = edges[:-1], edges[1:]
    return start, end, [each.at(start) for each in functions]


_NONE = np.empty(0, np.int64)
