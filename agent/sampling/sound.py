"""Whether what a driver gave is a block: checked once, here, so that no driver's slip spoils what others recorded."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from drivers.contract import Samples
from drivers.quality import Quality

LONGEST_TEXT = 65_536
_COLUMNS: dict[str, tuple[Any, str]] = {
    "index": (np.int32, "iu"),
    "time": (np.int64, "i"),
    "value": (np.float64, "f"),
    "quality": (np.uint8, "iu"),
    "source_time": (np.int64, "i"),
}


class Unsound(TypeError):
    """The rows of a driver make no block; the message says which part."""


def sound(samples: Samples, points: int) -> Samples:
    """The same block, in the types that it must have. ``points``: of the device. Raises :class:`Unsound`."""
    rows = len(samples.index)
    for name in _COLUMNS:
        if name != "source_time" or samples.source_time is not None:
            _settle(samples, name, rows)
    if rows and not (int(samples.index.min()) >= 0 and int(samples.index.max()) < points):
        raise Unsound(f"index names a point that the device has not (it has {points})")
    if samples.text:
        samples.text = _texts(samples, rows)
    return samples


def _texts(samples: Samples, rows: int) -> dict[int, str]:
    found: dict[int, str] = {}
    for key, text in samples.text.items():
        row = operator.index(key)
        if not (0 <= row < rows and isinstance(text, str)):
            raise Unsound(f"text is no text for one of {rows} rows")
        if len(text) > LONGEST_TEXT:  # what a device sends: its point is bad, and no other
            samples.quality[row] = Quality.MALFORMED
        else:
            found[row] = text if text.isascii() else text.encode(errors="replace").decode()
    return found


def _settle(samples: Samples, name: str, rows: int) -> None:
    dtype, kinds = _COLUMNS[name]
    column = getattr(samples, name)
    if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype.kind not in kinds:
        raise Unsound(f"{name} is no array of numbers")
    if len(column) != rows:
        raise Unsound(f"{name} has {len(column)} rows, index has {rows}")
    if column.dtype == dtype:
        return
    settled = column.astype(dtype)
    if dtype is not np.float64 and not np.array_equal(settled, column):
        raise Unsound(f"{name} does not fit its type")
    setattr(samples, name, settled)
