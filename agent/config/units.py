"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from functools import lru_cache

from agent.config.model import ByteSize, Seconds

DURATION_REMEDY = 'write a number and a unit in quotes, such as "250ms", "1s", "15m", "8h" or "30d"'
SIZE_REMEDY = 'write a number and a unit in quotes, such as "500kB", "50MB" or "2GB"'

LONGEST_S = 36_500 * 86_400.0
"""A hundred years: longer is a slip, and would overflow a count of microseconds somewhere."""
LARGEST = 10**15

_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(us|µs|ms|s|min|m|h|d)")
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(k|m|g|t)?(i)?b", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@lru_cache(1024)
def parse_seconds(text: str) -> Seconds | None:
    """``"250ms"`` → 0.25; None where it is no duration."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        return None
    # Divided, not multiplied by 0.001: "20ms" shall be the same number as 0.02.
    number, unit = float(found[1]), found[2]
    value = number / round(1 / _SECONDS[unit]) if _SECONDS[unit] < 1 else number * _SECONDS[unit]
    return Seconds(value) if value <= LONGEST_S else None


def parse_size(text: str) -> ByteSize | None:
    """``"50MB"`` → 50,000,000; ``KiB`` and its like are powers of 1024; None where it is no size."""
    found = _SIZE.fullmatch(text.strip())
    if not found or (found[3] and not found[2]):
        return None
    value = float(found[1]) * (1024 if found[3] else 1000) ** _POWER[(found[2] or "").lower()]
    return ByteSize(round(value)) if value <= LARGEST else None


def show_seconds(seconds: float) -> str:
    """A duration as it would be written in the file: ``250ms``, ``15m``, ``30d``."""
    for unit in ("d", "h", "m", "s"):
        size = _SECONDS[unit]
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def show_size(size: int) -> str:
    """A size as it would be written in the file: ``50MB``, ``1.5GB``."""
    for unit, power in (("TB", 12), ("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:g}{unit}"
    return f"{size}B"
