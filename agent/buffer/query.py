"""Reading recorded samples back, a block at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.buffer.store import Store

Row = tuple[int, str, float | str, int]
"""(UTC microseconds, full tag name, value – NaN when there is none –, quality code)"""


async def export_rows(store: Store, start: int, end: int, tags: Sequence[str] = ()) -> AsyncIterator[Row]:
    """Samples recorded in [start, end), in order of time within each block; ``tags`` empty: all."""
    names = await store.series_names()
    wanted: NDArray[np.int32] | None = None
    if tags:
        chosen = set(tags)
        wanted = np.array([number for number, name in names.items() if name in chosen], np.int32)
        if not len(wanted):
            return
    async for batch in store.blocks(start, end):
        for row in _rows(batch, start, end, wanted, names):
            yield row


def _rows(batch: Batch, start: int, end: int, wanted: NDArray[np.int32] | None, names: dict[int, str]) -> Iterator[Row]:
    mask = (batch.time >= start) & (batch.time < end)
    if wanted is not None:
        mask &= np.isin(batch.series, wanted)
    chosen = np.flatnonzero(mask)
    chosen = chosen[np.lexsort((batch.series[chosen], batch.time[chosen]))]
    columns = (chosen, batch.time[chosen], batch.series[chosen], batch.value[chosen], batch.quality[chosen])
    for row, time, series, value, quality in zip(*(column.tolist() for column in columns), strict=True):
        # A number whose name was lost with a damaged file is still data.
        yield time, names.get(series, f"series-{series}"), batch.text.get(row, value), quality
