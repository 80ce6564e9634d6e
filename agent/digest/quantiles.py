"""Time-weighted quantiles in bounded memory: the value at instants spread over the known time. Pure.

The period is cut into equal parts and one instant taken from each, at a place that follows the golden
ratio: a regular grid would keep hitting the same spot of a machine's cycle. The p-quantile is the
observed value of rank ceil(p × n) among the n instants at which a good value was known, so it is exact
up to 1/n of the time, and always a value that occurred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.digest.windows import Period

INSTANTS = 1_024
MOST_VALUES = 2_048 * INSTANTS
"""16 MB: with more gauges than 2,048 shared, fewer instants are taken for each."""

_GOLDEN = (5**0.5 - 1) / 2
_CHUNK = 64


class Instants:
    """The values of the gauges among the shared tags; ``wanted``: bool, one a shared tag."""

    def __init__(self, wanted: NDArray[np.bool_], period: Period) -> None:
        gauges = int(wanted.sum())
        self._count = min(INSTANTS, MOST_VALUES // max(gauges, 1))
        self._row = np.cumsum(wanted) - 1
        self._gauges = np.flatnonzero(wanted)
        parts = np.arange(self._count)
        place = (parts + (parts * _GOLDEN) % 1.0) * (period.length / self._count)
        self._at = np.append(place.astype(np.int64), np.int64(period.length))
        self._length = period.length
        self._values = np.full((gauges, self._count), np.nan)

    def add(
        self,
        tag: NDArray[np.intp],
        value: NDArray[np.float64],
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
    ) -> None:
        """``value`` held from ``begin`` to ``end``, in microseconds of the group's known time."""
        first = self._before(begin)
        times = self._before(end) - first
        total = int(times.sum())
        if not total:
            return
        start = self._row[tag] * self._count + first
        offset = np.repeat(start - (np.cumsum(times) - times), times)
        self._values.reshape(-1)[offset + np.arange(total)] = np.repeat(value, times)

    def _before(self, known: NDArray[np.int64]) -> NDArray[np.int64]:
        # How many instants lie before: those of the full parts, and perhaps the one in the next.
        part = known * self._count // self._length
        result: NDArray[np.int64] = np.minimum(part + (self._at[part] < known), self._count)
        return result

    def quantiles(self, fractions: Sequence[float]) -> Iterator[tuple[int, list[float]]]:
        """(shared tag, its quantiles); a gauge that was never known is left out."""
        for low in range(0, len(self._gauges), _CHUNK):
            values = np.sort(self._values[low : low + _CHUNK], axis=1)  # NaN goes to the end
            counts = self._count - np.isnan(values).sum(axis=1)
            ranks = np.maximum(np.ceil(np.multiply.outer(counts, fractions)).astype(np.intp) - 1, 0)
            found = np.take_along_axis(values, ranks, axis=1).tolist()
            for row in np.flatnonzero(counts).tolist():
                yield int(self._gauges[low + row]), found[row]
