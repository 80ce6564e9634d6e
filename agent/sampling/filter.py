"""The change filter: what of a scan is worth keeping. Pure but for its memory of the last kept values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Point, Samples


class ChangeFilter:
    """Keeps a sample when its value moved by more than the deadband, its quality or its text changed.

    The comparison is with the last *kept* value, so a slow drift is never swallowed. A point with
    several rows in a block is compared row by row.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        count = len(points)
        self._value = np.full(count, np.nan)
        self._quality = np.full(count, 255, np.uint8)  # no real sample has it: the first one is kept
        self._deadband = np.array([point.deadband for point in points])
        self._text: dict[int, str] = {}
        self._row = np.zeros(count, np.intp)  # scratch: finds points with several rows

    def keep(self, samples: Samples, *, full: bool = False) -> NDArray[np.bool_]:
        """Mask of the rows to keep, remembered as kept; ``full`` keeps every row."""
        index, value, quality = samples.index, samples.value, samples.quality
        told = self._told(samples)
        if full:
            told[:] = True
        if not self._repeats(index):
            return self._keep_once(index, value, quality, told)
        mask = np.zeros(len(index), np.bool_)
        for at in rounds(index):
            mask[at] = self._keep_once(index[at], value[at], quality[at], told[at])
        return mask

    def _repeats(self, index: NDArray[np.int32]) -> bool:
        if (index[1:] > index[:-1]).all():  # most blocks are in the order of their points
            return False
        rows = np.arange(len(index))
        self._row[index] = rows
        return bool((self._row[index] != rows).any())

    def _told(self, samples: Samples) -> NDArray[np.bool_]:
        """Rows whose text is another than the point's last one."""
        mask = np.zeros(len(samples), np.bool_)
        for row in sorted(samples.text):
            index, text = int(samples.index[row]), samples.text[row]
            if self._text.get(index) != text:
                mask[row] = True
                self._text[index] = text
        return mask

    def _keep_once(
        self,
        index: NDArray[np.int32],
        value: NDArray[np.float64],
        quality: NDArray[np.uint8],
        told: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """The same for rows of different points; those in ``told`` are kept anyway."""
        # NaN compares as moved to nothing: a bad value that stays bad is not a change.
        with np.errstate(invalid="ignore"):
            moved = np.abs(value - self._value[index]) > self._deadband[index]
        appeared = np.isnan(self._value[index]) != np.isnan(value)
        mask: NDArray[np.bool_] = moved | appeared | (quality != self._quality[index]) | told
        kept = index[mask]
        self._value[kept] = value[mask]
        self._quality[kept] = quality[mask]
        return mask


def rounds(index: NDArray[np.int32]) -> list[NDArray[np.intp]]:
    """Row numbers by occurrence: first the first row of every point, then the second ones, and so on."""
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    at = np.arange(len(index))
    first = np.ones(len(index), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    occurrence = at - np.maximum.accumulate(np.where(first, at, 0))
    by_occurrence = order[np.argsort(occurrence, kind="stable")]
    return np.split(by_occurrence, np.cumsum(np.bincount(occurrence))[:-1])


def select(samples: Samples, mask: NDArray[np.bool_]) -> Samples:
    """The rows of ``samples`` where ``mask`` is set; the same object when it is set everywhere."""
    if mask.all():
        return samples
    text = samples.text
    if text:
        position = np.cumsum(mask) - 1
        text = {int(position[row]): value for row, value in text.items() if mask[row]}
    return Samples(
        index=samples.index[mask],
        time=samples.time[mask],
        value=samples.value[mask],
        quality=samples.quality[mask],
        text=text,
        source_time=None if samples.source_time is None else samples.source_time[mask],
    )
