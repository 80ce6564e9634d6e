"""What a group is told: everything that arrived, in order, and for the rest what the latest answer vouches for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from drivers.contract import Point, PointGroup, Samples
from drivers.opcua.board import Board
from drivers.opcua.rows import Rows
from drivers.quality import Quality

NOW = 1_800_000_000_000_000
POINTS = tuple(Point(index=index, name=name, address=f"ns=2;s={name}") for index, name in enumerate("abc"))
ALL = PointGroup(POINTS, 1.0)


def rows(*values: tuple[int, float | str], lost: Mapping[int, int] | None = None) -> Rows:
    point = np.array([index for index, _ in values], np.int32)
    number = np.array([np.nan if isinstance(value, str) else value for _, value in values])
    text = {row: value for row, (_, value) in enumerate(values) if isinstance(value, str)}
    zero = np.zeros(len(values), np.int64)
    return Rows(point, number, zero.astype(np.uint8), zero, text, lost or {})


def arrive(board: Board, time: int, made: Rows) -> None:
    board.vouch(time)
    board.take(made, time)


def told(samples: Samples) -> list[tuple[int, int, float | str]]:
    return [
        (index, time - NOW, samples.text.get(row, value))
        for row, (index, time, value) in enumerate(
            zip(samples.index.tolist(), samples.time.tolist(), samples.value.tolist(), strict=True)
        )
    ]


def begun(*groups: PointGroup) -> Board:
    board = Board(len(POINTS))
    arrive(board, NOW, rows((0, 1.0), (1, 2.0), (2, "x")))
    for group in groups:
        board.samples(group)
    return board


def test_every_change_is_told_and_silence_is_vouched_for_by_the_latest_answer() -> None:
    board = begun(ALL)
    arrive(board, NOW + 1, rows((0, 5.0)))
    arrive(board, NOW + 2, rows((0, 6.0)))
    board.vouch(NOW + 3)
    assert told(board.samples(ALL)) == [(1, 3, 2.0), (2, 3, "x"), (0, 1, 5.0), (0, 2, 6.0)]


def test_nothing_is_news_until_an_answer_comes() -> None:
    board = begun(ALL)
    assert not board.news(ALL)
    board.vouch(NOW + 1)
    assert board.news(ALL)


def test_groups_are_told_independently() -> None:
    slow, quick = PointGroup(POINTS[:1], 60.0), PointGroup(POINTS[1:], 1.0)
    board = begun(slow, quick)
    for step in (1, 2):
        arrive(board, NOW + step, rows((1, 10.0 + step), (0, 20.0 + step), (2, f"y{step}")))
        assert told(board.samples(quick)) == [(1, step, 10.0 + step), (2, step, f"y{step}")]
    assert told(board.samples(slow)) == [(0, 1, 21.0), (0, 2, 22.0)]


def test_a_point_that_fails_is_bad_from_then_on() -> None:
    board = begun(ALL)
    board.vouch(NOW + 1)
    board.fail(POINTS[2:], Quality.ADDRESS, NOW + 1)
    board.samples(ALL)
    board.vouch(NOW + 2)
    samples = board.samples(ALL)
    assert samples.quality.tolist() == [0, 0, Quality.ADDRESS]
    assert not samples.text and np.isnan(samples.value[2])


def test_what_the_server_dropped_is_told_once() -> None:
    board = begun(ALL)
    arrive(board, NOW + 1, rows((0, 5.0), lost={0: 1}))
    arrive(board, NOW + 2, rows((0, 6.0), (1, 1.0), lost={0: 1, 1: 1}))
    assert board.samples(ALL).lost == {0: 2, 1: 1}
    board.vouch(NOW + 3)
    assert board.samples(ALL).lost == {}
    assert board.overflows == 3


def test_rows_for_a_group_that_nobody_asks_for_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.opcua.board.MOST_ROWS", 4)
    board = begun(ALL)
    for step in range(1, 8):
        arrive(board, NOW + step, rows((0, float(step))))
    samples = board.samples(ALL)
    kept = [value for index, _, value in told(samples) if index == 0]
    assert kept[-1] == 7.0
    assert len(kept) + sum(samples.lost.values()) == 7


def test_a_source_that_stamps_nothing_gets_the_time_of_arrival() -> None:
    board = begun(ALL)
    stamped = rows((0, 5.0))
    stamped.source_time = np.array([NOW - 500])
    arrive(board, NOW + 1, stamped)
    samples = board.samples(ALL)
    assert samples.source_time is not None
    assert samples.source_time[samples.index == 0].tolist() == [NOW - 500]
    assert samples.source_time[samples.index == 1].tolist() == [NOW + 1]


def test_a8_long_texts_that_nobody_fetches_are_bounded_by_their_size() -> None:
    board = begun(ALL)
    for step in range(4_000):
        arrive(board, NOW + step, rows((2, "x" * 4096)))
    (pending,) = board._pending.values()
    assert sum(len(of.text) for of, _ in pending.blocks) * 4096 < 16_000_000
    samples = board.samples(ALL)
    assert sum(samples.lost.values()) + len(samples) >= 4_000
