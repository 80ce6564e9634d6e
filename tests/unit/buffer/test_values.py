"""Every value comes back bit for bit, whatever class it is given."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.buffer.columns import Packer, Unpacker
from agent.buffer.values import (
    DIVIDED,
    FLOAT32,
    FLOAT64,
    MULTIPLIED,
    NEAR,
    ROUNDED,
    add_ulps,
    classify,
    to_floats,
    to_ints,
    ulps,
)

COUNTS = np.arange(-50, 4000, 37)


def class_of(values: NDArray[np.float64]) -> int:
    (code,) = classify(values, np.zeros(1, np.intp)).tolist()
    return int(code)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (COUNTS * 1.0, DIVIDED),
        (COUNTS / 10, DIVIDED | 1),
        (COUNTS / 1000, DIVIDED | 3),
        (COUNTS * 0.1, MULTIPLIED | 1),
        (COUNTS * 0.5, DIVIDED | 1),
        ((COUNTS / 10).astype(np.float32).astype(np.float64), ROUNDED | 1),
        (np.sqrt(COUNTS + 60).astype(np.float32).astype(np.float64), FLOAT32),
        (COUNTS[10:] * 0.1 - 7.7, NEAR | 1),
        (np.sqrt(COUNTS + 60), FLOAT64),
        (np.array([1.0, math.inf]), FLOAT32),
        (np.array([-0.0, 1.0]), FLOAT32),
        (np.array([2.0**53, 1.0]), FLOAT32),
        (np.array([2.0**53 + 2, 1.0]), FLOAT64),
    ],
)
def test_scaled_integers_are_recognised(values: NDArray[np.float64], code: int) -> None:
    assert class_of(values) == code


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_every_float_comes_back_bit_for_bit(values: list[float]) -> None:
    column = np.array(values)
    code = class_of(column)
    whole = to_ints(column, code)
    back = to_floats(whole, code)
    if code & 0xF0 == NEAR:
        back = add_ulps(back, ulps(column, back))
    assert back.tobytes() == column.tobytes()


@given(st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=20), st.integers(1, 6), st.floats(-1e3, 1e3))
def test_a_scale_and_an_offset_come_back(numbers: list[int], k: int, offset: float) -> None:
    column = np.array(numbers) * 10.0**-k + round(offset, k)
    code = class_of(column)
    back = to_floats(to_ints(column, code), code)
    if code & 0xF0 == NEAR:
        back = add_ulps(back, ulps(column, back))
    assert back.tobytes() == column.tobytes()


GROUPS = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12), min_size=1, max_size=8)
SMALL_GROUPS = st.lists(st.lists(st.integers(-300, 300), min_size=1, max_size=40), min_size=1, max_size=20)


@given(GROUPS | SMALL_GROUPS)
def test_columns_of_whole_numbers_come_back(groups: list[list[int]]) -> None:
    numbers = np.array([number for group in groups for number in group], np.int64)
    lengths = [len(group) for group in groups]
    starts = np.cumsum([0, *lengths[:-1]]).astype(np.intp)
    packed = Packer().column(numbers, starts)
    assert Unpacker().column(packed, starts, len(numbers)).tolist() == numbers.tolist()


def test_groups_that_differ_get_their_own_prediction() -> None:
    rng = np.random.default_rng(2)
    groups = []
    for _ in range(50):
        groups += [np.arange(40) * 977, rng.integers(0, 65536, 40), 30_000 + rng.integers(0, 9, 40)]
    numbers = np.concatenate(groups).astype(np.int64)
    starts = np.arange(0, len(numbers), 40)
    packed = Packer().column(numbers, starts)
    assert Unpacker().column(packed, starts, len(numbers)).tolist() == numbers.tolist()
    assert any(packed[1]), "counters, noise and levels side by side need different predictions"


def test_few_distinct_numbers_go_by_a_palette() -> None:
    numbers = np.random.default_rng(3).choice([0, 80, 160, 240, 40_000], 500).tolist()
    column = np.array(numbers, np.uint64)
    packed = Packer().planes(column)
    assert isinstance(packed, dict)
    assert Unpacker().planes(packed, len(column)).tolist() == numbers


@given(st.integers(2, 300), st.integers(0, 65535), st.integers(257, 2000))
def test_a_palette_of_any_size_comes_back(distinct: int, lowest: int, count: int) -> None:
    rng = np.random.default_rng(distinct)
    levels = np.minimum(lowest + 220 * np.arange(distinct), 65535)
    column = rng.choice(levels, count).astype(np.uint64)
    assert Unpacker().planes(Packer().planes(column), count).tolist() == column.tolist()
