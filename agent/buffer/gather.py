"""Making one batch of what a flush brings, and two of one that is too large. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.buffer.blocks import Block
from agent.buffer.codec import decode
from drivers.contract import Samples


def join(blocks: Sequence[tuple[NDArray[np.int32], Samples]], scans: Sequence[tuple[int, int, int]]) -> Batch:
    """One batch of blocks (with the series id of each row) and scans (group, time, late)."""
    columns = [samples for _, samples in blocks]
    text: dict[int, str] = {}
    row = 0
    for samples in columns:
        if samples.text:
            text.update({row + number: value for number, value in samples.text.items()})
        row += len(samples)
    scan = np.array(scans, np.int64).reshape(-1, 3)
    has_source = any(samples.source_time is not None for samples in columns)
    return Batch(
        series=_join([series for series, _ in blocks], np.int32),
        time=_join([samples.time for samples in columns], np.int64),
        value=_join([samples.value for samples in columns], np.float64),
        quality=_join([samples.quality for samples in columns], np.uint8),
        source_time=_join([_source(samples) for samples in columns], np.int64) if has_source else None,
        text=text,
        scan_group=scan[:, 0].astype(np.int32),
        scan_time=scan[:, 1],
        scan_late=scan[:, 2].astype(np.int32),
    )


def halves(block: Block) -> list[tuple[Batch, int, int]]:
    """The two halves of a block with their first and last times; none when it cannot be divided."""
    batch = decode(block.data)
    samples, scans = len(batch), len(batch.scan_time)
    if samples + scans < 2:
        return []
    middle, scan_middle = samples // 2, scans // 2
    parts = (
        _slice(batch, slice(0, middle), slice(0, scan_middle)),
        _slice(batch, slice(middle, samples), slice(scan_middle, scans)),
    )
    divided = []
    for part in parts:
        times = np.concatenate((part.time, part.scan_time))
        if len(times):
            divided.append((part, int(times.min()), int(times.max())))
    return divided


def _slice(batch: Batch, rows: slice, scans: slice) -> Batch:
    first = rows.start
    return Batch(
        series=batch.series[rows],
        time=batch.time[rows],
        value=batch.value[rows],
        quality=batch.quality[rows],
        source_time=None if batch.source_time is None else batch.source_time[rows],
        text={row - first: text for row, text in batch.text.items() if first <= row < rows.stop},
        scan_group=batch.scan_group[scans],
        scan_time=batch.scan_time[scans],
        scan_late=batch.scan_late[scans],
    )


def _source(samples: Samples) -> NDArray[np.int64]:
    return samples.time if samples.source_time is None else samples.source_time


def _join(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)
