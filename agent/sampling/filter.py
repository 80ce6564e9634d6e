"""The change filter: what of a scan is worth keeping. Pure but for its memory of the last kept values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Point, Samples


class ChangeFilter:
    """Keeps a sample when its value moved by more than the deadband, its quality or its text changed.

    The comparison is with the last *kept* value, so a slow drift is never swallowed.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        count = len(points)
        self._value = np.full(count, np.nan)
        self._quality = np.full(count, 255, np.uint8)  # no real sample has it: the first one is kept
        self._deadband = np.array([point.deadband for point in points])
        self._text: dict[int, str] = {}

    def keep(self, samples: Samples, *, full: bool = False) -> NDArray[np.bool_]:
        """Mask of the rows to keep, remembered as kept; ``full`` keeps every row."""
        index = samples.index
        # NaN compares as moved to nothing: a bad value that stays bad is not a change.
        with np.errstate(invalid="ignore"):
            moved = np.abs(samples.value - self._value[index]) > self._deadband[index]
        appeared = np.isnan(self._value[index]) != np.isnan(samples.value)
        mask: NDArray[np.bool_] = moved | appeared | (samples.quality != self._quality[index])
        for row, text in samples.text.items():
            if self._text.get(int(index[row])) != text:
                mask[row] = True
                self._text[int(index[row])] = text
        if full:
            mask[:] = True
        kept = index[mask]
        self._value[kept] = samples.value[mask]
        self._quality[kept] = samples.quality[mask]
        return mask


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
