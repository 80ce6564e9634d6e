"""F1: a counter counts what follows its path; what left it and came back has not counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.digest.counters import Follower, Rules
from tests.support.counter_histories import SECOND, History, follow, histories

cuts = st.lists(st.integers(1, 400), max_size=4)


@given(histories(), cuts)
@settings(max_examples=300, deadline=None)
def test_f1_the_sum_is_right_or_not_told(made: History, borders: list[int]) -> None:
    followers, _ = follow(made, borders)
    if all(each.known for each in followers):
        assert sum(each.count for each in followers) == pytest.approx(made.truth(), abs=made.tolerance())
    assert all(each.count >= 0 for each in followers)


@given(histories(anew=False, gaps=False, least=200_000), cuts)
@settings(max_examples=200, deadline=None)
def test_f1_what_leaves_the_path_and_comes_back_has_not_counted_and_is_told(made: History, borders: list[int]) -> None:
    followers, _ = follow(made, borders)
    assert all(each.known for each in followers)
    assert sum(each.count for each in followers) == pytest.approx(made.truth(), rel=1e-9)
    told = sum(each.told["dips"] + each.told["spikes"] for each in followers)
    assert (told > 0) == (made.strays > 0)


@given(histories(), cuts)
@settings(max_examples=200, deadline=None)
def test_f1_borders_of_periods_change_nothing(made: History, borders: list[int]) -> None:
    parts, path = follow(made, borders)
    (whole,), end = follow(made, [])
    assert sum(each.count for each in parts) == pytest.approx(whole.count, abs=1e-6)
    assert {kind: sum(each.told[kind] for each in parts) for kind in whole.told} == whole.told
    # What is known since a period's start is counted from there.
    assert path is not None and end is not None and path.handed_on(path.seen) == end.handed_on(end.seen)


def seconds(*values: float, tops: tuple[float, ...] = (), declared: bool = False) -> Follower:
    """A counter that is looked at each second."""
    rules = Rules(interval=SECOND, tops=tops, declared=declared)
    return follow(History(looks=list(values)), [], rules)[0][0]


def told(follower: Follower) -> dict[str, int]:
    return {kind: count for kind, count in follower.told.items() if count}


@pytest.mark.parametrize(
    ("values", "count", "anomalies"),
    [
        ([12345.6, 12345.6, 0, 12345.7, 12345.8], 0.2, {"dips": 1}),
        ([12345.6, 12345.6, 12345.7, -1, 12345.7, 12345.8], 0.2, {"dips": 1}),
        ([12345.6, 12345.7, 12345.8, *[0] * 9, 12345.9], 0.3, {"dips": 1}),
        ([12345.6, 12345.7, 12345.8, *[0] * 60, 12345.9], 0.3, {"resets": 1, "dips": 1}),  # taken back
        ([100, 101, 102, 65535, 103, 104], 4, {"spikes": 1}),
        ([100, 101, 102, *[65535] * 60, 103, 104], 4, {"replaced": 1, "spikes": 1}),
        ([131077, 131078, 65543, 131080, 131081], 4, {"dips": 1}),  # the high word is older than the low one
        ([131000, 131035, 131070, 196606, 131105, 131140], 140, {"spikes": 1}),
        ([12345.6, 12345.599609375, 12345.7, 12345.69921875, 12345.8], 0.2, {}),  # a float32's last bits
        ([*range(100, 107), 105, 106, 105, 107], 7, {"decrements": 2}),  # it ripples
        ([1200, 1201, 1202, 0, 1, 2, 3], 5, {"resets": 1}),
        ([1200, 1201, 1202, *[2] * 30], 4, {"resets": 1}),
        ([1200, 1201, 1202, 0, 1, 65535, 2, 3, 4], 6, {"resets": 1, "dips": 1, "spikes": 1}),
        ([10000, 10001, 10002, 5000, 5001, 5002, 5003], 5, {"replaced": 1}),
        ([100, 101, 102, 5000, 5001, 5002], 4, {"replaced": 1}),
        ([0, 12345.6, 12345.7, 12345.8, 12345.9], 0.3, {"replaced": 1}),  # asleep at the very first look
    ],
)
def test_f1_examples(values: list[float], count: float, anomalies: dict[str, int]) -> None:
    found = seconds(*values)
    assert (found.count, told(found), found.undecided) == (count, anomalies, False)


@pytest.mark.parametrize(
    "values",
    [
        [100, 101, 102, 402, 403, 404],  # too much for a second, too little for another meter
        [0, 1, 0, 1, 0, 1],  # so near to 0 that a dip and a reset look alike
        [0, *[12345.6] * 60],  # asleep at first, or not; and it has never moved
        [99999, 100, 101, 102],
        # A reset that counts on, and then another meter that stands near where the old one did.
        [*range(1000, 1010), *range(10), *range(1030, 1040)],
        [0, 48.2, 48.3, 48.4, 48.5, 48.6],  # its first step turns out to be none
    ],
)
def test_f1_what_cannot_be_known_is_not_told(values: list[float]) -> None:
    assert not seconds(*values).known


def test_f1_what_the_last_look_means_is_decided_by_the_next_period() -> None:
    looks: list[float | None] = [100, 101, 102, 103, 99999, 104, 105]
    (first, second), _ = follow(History(looks=looks), [5])
    assert (first.count, first.undecided, told(first)) == (3, True, {})
    assert (second.count, second.undecided, told(second)) == (2, False, {"spikes": 1})


def test_a_declared_top_is_believed_and_a_guessed_one_only_near_both_ends() -> None:
    assert told(seconds(65530, 65533, 65535, 2, 5, tops=(65536.0,), declared=True)) == {"rollovers": 1}
    found = seconds(9990, 9993, 9996, 1, 4, 7, tops=(1e4, 65536.0))
    assert (found.count, told(found)) == (17, {"rollovers": 1})
    found = seconds(4294967290, 4294967293, 2, 5, 8, tops=(1e4, 65536.0, 2.0**32))
    assert (found.count, told(found)) == (14, {"rollovers": 1})
    assert told(seconds(8000, 8003, 8006, 1, 4, 7, tops=(1e4,))) == {"resets": 1}


def test_a_counter_that_stood_still_catches_up() -> None:
    found = seconds(*range(1000, 1100), *[1099] * 60, 1160, 1161, 1162)
    assert (found.count, told(found)) == (162, {})


def test_what_a_gap_counted_is_measured_by_the_time_that_nobody_looked() -> None:
    gap: list[float | None] = [None] * 60
    made = History(looks=[1000, 1001, 1002, *gap, 1062, 1063])
    assert follow(made, [])[0][0].count == 63
    made.looks = [1000, 1001, 1002, *gap, 9000, 9001, 9002, 9003]
    assert not follow(made, [])[0][0].known


def test_what_turns_at_every_look_is_no_counter() -> None:
    found = seconds(*[float(each * 7919 % 65521) for each in range(5000)])
    assert not found.known


def test_f1_a_machine_may_become_faster_all_at_once() -> None:
    slow = [1000 + round(0.01 * each, 2) for each in range(30)]
    found = seconds(*slow, *[slow[-1] + each for each in range(1, 30)])
    assert (found.count, told(found)) == (29.29, {})


def test_f1_what_never_comes_back_to_a_path_is_not_told_and_then_learned_anew() -> None:
    slow = [1000 + round(0.0001 * each, 4) for each in range(30)]
    fast: list[float | None] = [slow[-1] + each for each in range(1, 60)]
    first, second = follow(History(looks=[*slow, *fast]), [60])[0]
    assert told(first)["unexplained"] == 1 and first.count < 30
    assert second.known and second.count == 29
