"""Durations as people write them in a device's ``connection`` table."""

from __future__ import annotations

import math
import re

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 3600.0


def seconds(value: float | str) -> float:
    """``0.25``, ``"250ms"`` or ``"1s"`` in seconds; raises ValueError."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s|min|m|h|d)\s*", value)
        if not found:
            raise ValueError(f'"{value}" is not a duration')
        result = float(found[1]) * _UNITS[found[2]]
    else:
        result = float(value)
    if not (math.isfinite(result) and 0 <= result <= _LONGEST_S):
        raise ValueError(f"{value} is not between 0 and 1 hour")
    return result
