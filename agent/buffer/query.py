"""Reading recorded samples back, a block at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np

from agent.buffer.batch import Batch
from agent.buffer.store import Store

Row = tuple[int, str, float | str, int]
"""(UTC microseconds, full tag name, value – NaN when there is none –, quality code)"""


async def export_rows(store: Store, start: int, end: int, tags: Sequence[str] = ()) -> AsyncIterator[Row]:
    """Samples recorded in [start, end), in order of time within each block; ``tags`` empty: all."""
    names = await store.series_names()
    wanted = np.array([number for number, name in names.items() if not tags or name in tags], np.int32)
    async for batch in store.blocks(start, end):
        for row in _rows_of(batch, start, end, wanted):
            series, time = int(batch.series[row]), int(batch.time[row])
            value = batch.text.get(row, float(batch.value[row]))
            yield time, names[series], value, int(batch.quality[row])


def _rows_of(batch: Batch, start: int, end: int, wanted: np.ndarray[tuple[int], np.dtype[np.int32]]) -> list[int]:
    mask = (batch.time >= start) & (batch.time < end) & np.isin(batch.series, wanted)
    rows = np.flatnonzero(mask)
    ordered: list[int] = rows[np.lexsort((batch.series[rows], batch.time[rows]))].tolist()
    return ordered
