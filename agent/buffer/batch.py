"""What is kept of the plant's data between two flushes, as columns.

A :class:`Batch` holds *samples* (only changes, and a full record now and then) and *scans* (when a
group of points was read at all). Together they say what was known at each moment: between two scans
of its group a series keeps its last recorded value and quality; where no scan was made, nothing is
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples and scans of any number of devices.

    Samples, one row each: ``series`` int32 (id from ``Store.series_ids``), ``time`` int64 (UTC
    microseconds at the answer's arrival), ``value`` float64, ``quality`` uint8, ``source_time``
    int64 (device's own stamp; equal to ``time`` where the device gave none), ``text`` row → text.

    Scans, one row each: ``scan_group`` int32 (id from ``Store.group_id``), ``scan_time`` int64 (UTC
    microseconds at the scan's start), ``scan_late`` int32 (scans of the group skipped just before
    this one because the previous took too long).
    """

    series: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    time: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    value: NDArray[np.float64] = field(default_factory=lambda: np.empty(0, np.float64))
    quality: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    source_time: NDArray[np.int64] | None = None
    text: Mapping[int, str] = field(default_factory=dict)
    scan_group: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    scan_time: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    scan_late: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    corrected: bool = False
    """Whether the times were corrected after the clock became trusted."""

    def __len__(self) -> int:
        return len(self.series)
