"""The samples of the tags that machines use, kept whole for one period, and when they were known.

Times are cut to milliseconds here, before anything is measured: no stamp is better than that, and whatever
is made of whole milliseconds adds up exactly, in a digest as in the sums of its day. Pure but for its state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.digest.equipment.steps import Floats, Intervals, Steps, Times
from drivers.quality import Quality

MILLISECOND = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One tag: its samples in the order of time, from the look-back on, and when its group was scanned."""

    time: Times
    value: Floats
    good: NDArray[np.bool_]
    known: Intervals

    def steps(self, factor: float = 1.0) -> Steps:
        """As a step function, times ``factor``."""
        return Steps.of_samples(self.time, self.value * factor, self.good, self.known)


class Tracks:
    """Collects rows and scans; ``rows``: positions in ``DigestSpec.series`` that are of interest."""

    def __init__(self, rows: Collection[int], group: NDArray[np.intp], groups: int) -> None:
        self._wanted = np.zeros(len(group), np.bool_)
        self._wanted[list(rows)] = True
        self._group = group
        self._of_interest = np.zeros(groups, np.bool_)
        self._of_interest[group[self._wanted]] = True
        self.empty = not self._wanted.any()
        self._samples: list[tuple[NDArray[np.intp], Times, Floats, NDArray[np.uint8]]] = []
        self._scans: list[tuple[NDArray[np.intp], Times, Times]] = []
        self._tracks: dict[int, Track] | None = None

    def add(self, tag: NDArray[np.intp], time: Times, value: Floats, quality: NDArray[np.uint8]) -> None:
        """Samples of any tags."""
        mine = self._wanted[tag]
        if mine.any():
            self._samples.append((tag[mine], _cut(time[mine]), value[mine], quality[mine]))

    def scanned(self, group: NDArray[np.intp], start: Times, end: Times) -> None:
        """What scans vouch for: from ``start`` to ``end``."""
        start, end = _cut(start), _cut(end)
        mine = self._of_interest[group] & (end > start)
        if mine.any():
            self._scans.append((group[mine], start[mine], end[mine]))

    def of(self, row: int) -> Track:
        """The track of a tag; only when everything has been added."""
        if self._tracks is None:
            self._tracks = self._sorted_out()
        return self._tracks[row]

    def _sorted_out(self) -> dict[int, Track]:
        tag, time, value, quality = _joined(self._samples, (np.intp, np.int64, np.float64, np.uint8))
        order = np.lexsort((time, tag))
        tag, time, value, good = tag[order], time[order], value[order], quality[order] < Quality.BAD
        group, start, end = _joined(self._scans, (np.intp, np.int64, np.int64))
        known = {
            each: Intervals.of(np.stack((start[group == each], end[group == each]), axis=1))
            for each in np.flatnonzero(self._of_interest).tolist()
        }
        tracks = {}
        for row in np.flatnonzero(self._wanted).tolist():
            first, after = np.searchsorted(tag, (row, row + 1))
            part = slice(first, after)
            tracks[row] = Track(time[part], value[part], good[part], known[int(self._group[row])])
        return tracks


def _cut(time: Times) -> Times:
    return time - time % MILLISECOND


def _joined(parts: Sequence[tuple[Any, ...]], types: tuple[type, ...]) -> list[Any]:
    columns: list[Any] = list(zip(*parts, strict=True)) or [()] * len(types)
    return [np.concatenate([np.empty(0, kind), *column]) for kind, column in zip(types, columns, strict=True)]
