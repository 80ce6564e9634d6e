"""Raw values that manuals declare as 'no value', by data type. Pure, shared by drivers."""

from __future__ import annotations

RANGES: dict[str, tuple[float, float]] = {
    **{f"uint{bits}": (0.0, 2.0**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"int{bits}": (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    "bool": (0.0, 1.0),
    "bcd16": (0.0, 9999.0),
    "bcd32": (0.0, 99_999_999.0),
}
"""Least and largest raw value of each type that has one."""


def possible(value: float, kind: str) -> bool:
    """Whether a sentinel can be met at all. NaN stands for any NaN and is harmless everywhere."""
    if value != value or kind in ("float32", "float64"):
        return True
    if kind not in RANGES:
        return False
    return RANGES[kind][0] <= sentinel(value, kind) <= RANGES[kind][1]


def sentinel(value: float, kind: str) -> float:
    """A sentinel as the raw value it stands for: manuals give ``0x8000`` for signed types, too."""
    low, high = RANGES.get(kind, (0.0, 0.0))
    if low < 0 and high < value <= 2 * high + 1:
        return value + 2 * low
    return value
