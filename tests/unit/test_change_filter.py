"""The change filter keeps what changed, and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.sampling.filter import ChangeFilter, select
from drivers.contract import Point, Samples
from drivers.quality import Quality

POINTS = [Point(index=0, name="a", address="", deadband=0.5), Point(index=1, name="b", address="")]


def block(a: object, b: object, time: int = 1) -> Samples:
    return Samples.of([(POINTS[0], a), (POINTS[1], b)], time)  # type: ignore[list-item]


def test_first_sample_is_kept_and_unchanged_ones_are_not() -> None:
    keep = ChangeFilter(POINTS).keep
    assert keep(block(1.0, 2.0)).tolist() == [True, True]
    assert keep(block(1.0, 2.0)).tolist() == [False, False]
    assert keep(block(1.0, 3.0)).tolist() == [False, True]


def test_deadband_compares_with_the_last_kept_value_so_drift_is_seen() -> None:
    keep = ChangeFilter(POINTS).keep
    seen = [bool(keep(block(value, 0))[0]) for value in (0.0, 0.4, 0.8, 1.0, 1.4)]
    assert seen == [True, False, True, False, True]


def test_quality_changes_are_kept_once_and_recovery_is_kept() -> None:
    keep = ChangeFilter(POINTS).keep
    keep(block(1.0, 1.0))
    assert keep(block(Quality.TIMEOUT, 1.0)).tolist() == [True, False]
    assert keep(block(Quality.TIMEOUT, 1.0)).tolist() == [False, False]
    assert keep(block(Quality.ADDRESS, 1.0)).tolist() == [True, False]
    assert keep(block(1.0, 1.0)).tolist() == [True, False]


def test_text_changes_are_kept_and_full_keeps_all() -> None:
    keep = ChangeFilter(POINTS).keep
    assert keep(block("x", 1)).tolist() == [True, True]
    assert keep(block("x", 1)).tolist() == [False, False]
    assert keep(block("y", 1)).tolist() == [True, False]
    assert keep(block("y", 1), full=True).tolist() == [True, True]


def test_select_moves_text_to_its_new_row() -> None:
    picked = select(block(1.0, "s"), np.array([False, True]))
    assert picked.text == {0: "s"} and picked.index.tolist() == [1]


def repeated(*rows: tuple[int, object]) -> Samples:
    return Samples.of([(POINTS[index], value) for index, value in rows], 1)  # type: ignore[misc]


def test_several_rows_of_a_point_are_compared_one_after_the_other() -> None:
    keep = ChangeFilter(POINTS).keep
    block = repeated((1, 1.0), (0, 5.0), (1, 2.0), (1, 2.0), (1, 1.0), (0, 5.4), (0, 5.6))
    assert keep(block).tolist() == [True, True, True, False, True, False, True]
    assert keep(repeated((0, 5.6), (1, 1.0))).tolist() == [False, False]  # the last rows are what is remembered


def test_several_texts_and_qualities_of_a_point_are_compared_one_after_the_other() -> None:
    keep = ChangeFilter(POINTS).keep
    block = repeated((0, "a"), (0, "a"), (0, "b"), (1, 1.0), (1, Quality.DEVICE), (1, Quality.DEVICE), (0, "a"))
    assert keep(block).tolist() == [True, False, True, True, True, False, True]


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.4, 1.0, 2.0, "x", "y", Quality.BAD, None]))))
def test_a_block_is_kept_as_its_rows_one_by_one_would_be(rows: list[tuple[int, object]]) -> None:
    together, alone = ChangeFilter(POINTS).keep, ChangeFilter(POINTS).keep
    assert together(repeated(*rows)).tolist() == [bool(alone(repeated(row))[0]) for row in rows]
