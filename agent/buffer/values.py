"""Floating-point values as whole numbers, series by series, without losing a bit. Pure.

What a plant sends are scaled integers more often than not, so each series is tried as ``m / 10**k``
and ``m * 10**-k`` (which differ in the last bit), the same rounded to float32, then as plain float32,
then as a decimal that is off by a few units in the last place (scale *and* offset), and at last as
float64. The number that is stored is always a whole one whose differences are small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.uint8]
Starts = NDArray[np.intp]

POWERS = np.array([1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6])
STEPS = np.array([1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001, 0.000001])
# A code is 16 × family + k; the numbers are stored on disk and never reused.
DIVIDED, MULTIPLIED, ROUNDED, NEAR, FLOAT32, FLOAT64 = (family << 4 for family in range(6))
_DECIMALS = range(1, len(POWERS))
_WHOLE = 2.0**53
_ROUNDED_LIMIT = 2.0**22
"""Beyond this nearly every float32 is some decimal, and nothing is gained."""
_NEAR_ULPS = 127
_LIMITS = {DIVIDED: _WHOLE, MULTIPLIED: _WHOLE, ROUNDED: _ROUNDED_LIMIT, NEAR: 2.0**40}


def classify(value: Floats, starts: Starts) -> Codes:
    """Code of each series (uint8); ``value`` has no NaN, a series begins at each of ``starts``."""
    codes = np.full(len(starts), FLOAT64, np.uint8)
    counts = np.diff(starts, append=len(value))
    exact = (np.rint(value) == value) & (np.abs(value) < _WHOLE) & ((value != 0) | ~np.signbit(value))
    whole = np.logical_and.reduceat(exact, starts)
    codes[whole] = DIVIDED
    open_series = np.flatnonzero(~whole)
    for code in _candidates():
        if not len(open_series):
            break
        # Most guesses fail on a series' first value already.
        likely = open_series[_fits(value[starts[open_series]], code)]
        if not len(likely):
            continue
        rows, heads = _rows_of(starts[likely], counts[likely])
        fitting = likely[np.logical_and.reduceat(_fits(value[rows], code), heads)]
        codes[fitting] = code
        open_series = np.setdiff1d(open_series, fitting, assume_unique=True)
    return codes


def _candidates() -> list[int]:
    decimals = [family | k for k in _DECIMALS for family in (DIVIDED, MULTIPLIED, ROUNDED)]
    return [*decimals, FLOAT32, *(NEAR | k for k in _DECIMALS)]


def to_ints(value: Floats, code: int) -> Ints:
    """Values of one code as whole numbers; for NEAR the nearest decimal, see :func:`ulps`."""
    family = code & 0xF0
    if family == FLOAT64:
        return _ordered64(value.view(np.int64))
    if family == FLOAT32:
        return _ordered32(value.astype(np.float32).view(np.int32).astype(np.int64))
    whole: Ints = np.rint(value * POWERS[code & 0xF]).astype(np.int64)
    return whole


def to_floats(whole: NDArray[Any], code: int) -> Floats:
    """The reverse of :func:`to_ints` (for NEAR: the decimal itself)."""
    family, k = code & 0xF0, code & 0xF
    if family == FLOAT64:
        return _ordered64(whole).view(np.float64)
    if family == FLOAT32:
        return _ordered32(whole).astype(np.int32).view(np.float32).astype(np.float64)
    if family == MULTIPLIED:
        product: Floats = np.multiply(whole, STEPS[k], dtype=np.float64)
        return product
    decimal: Floats = np.divide(whole, POWERS[k], dtype=np.float64)
    return decimal.astype(np.float32).astype(np.float64) if family == ROUNDED else decimal


def ulps(value: Floats, decimal: Floats) -> Ints:
    """How many representable numbers ``value`` lies above ``decimal``."""
    return _ordered64(value.view(np.int64)) - _ordered64(decimal.view(np.int64))


def add_ulps(decimal: Floats, off: Ints) -> Floats:
    """The reverse of :func:`ulps`."""
    return _ordered64(_ordered64(decimal.view(np.int64)) + off).view(np.float64)


def _fits(value: Floats, code: int) -> NDArray[np.bool_]:
    """Which values come back from their whole number, bit for bit (NEAR: nearly)."""
    family = code & 0xF0
    with np.errstate(over="ignore", invalid="ignore"):
        if family == FLOAT32:
            return _same(value.astype(np.float32).astype(np.float64), value)
        whole = np.rint(value * POWERS[code & 0xF])
        decimal = to_floats(whole, code) + 0.0  # as it comes back: without the sign of -0.0
        inside: NDArray[np.bool_] = np.abs(whole) < _LIMITS[family]
        if family == NEAR:
            return inside & (np.abs(ulps(value, decimal)) <= _NEAR_ULPS)
        return inside & _same(decimal, value)


def _same(one: Floats, other: Floats) -> NDArray[np.bool_]:
    # As bits: -0.0 is not 0.
    same: NDArray[np.bool_] = one.view(np.int64) == other.view(np.int64)
    return same


def _rows_of(starts: Starts, counts: Ints) -> tuple[Starts, Starts]:
    """Rows of some series, and where each of them begins among those rows."""
    heads = np.concatenate(([0], np.cumsum(counts)[:-1]))
    rows = np.repeat(starts - heads, counts) + np.arange(int(counts.sum()))
    return rows, heads


def _ordered64(bits: Ints) -> Ints:
    """Bits of float64 in the order of the numbers, and back: close numbers get close ones."""
    ordered: Ints = np.where(bits < 0, bits ^ np.int64(0x7FFF_FFFF_FFFF_FFFF), bits)
    return ordered


def _ordered32(bits: Ints) -> Ints:
    ordered: Ints = np.where(bits < 0, bits ^ np.int64(0x7FFF_FFFF), bits)
    return ordered
