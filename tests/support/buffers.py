"""Batches for tests of the store."""

from __future__ import annotations

import numpy as np

from agent.buffer.batch import Batch


def batch_at(
    start: int, count: int, *, series: int = 1, step: int = 1000, group: int = 1, noisy: bool = False
) -> Batch:
    """``count`` samples of one series from ``start`` (microseconds), a scan with each."""
    time = start + np.arange(count, dtype=np.int64) * step
    value = np.random.default_rng(start % 2**32).normal(size=count) if noisy else np.arange(count) * 1.0
    return Batch(
        series=np.full(count, series, np.int32),
        time=time,
        value=value,
        quality=np.zeros(count, np.uint8),
        scan_group=np.full(count, group, np.int32),
        scan_time=time,
        scan_late=np.zeros(count, np.int32),
    )
