"""A status is told soon when it changed, slowly when not, and ever more slowly to a platform that takes none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.reporter import GAP_S, LONGEST_RETRY_S, STEADY_S, Pace


def pace(phase_s: float = 10.0) -> Pace:
    return Pace(phase_s, rng=lambda: 0.5)


def test_the_first_is_told_at_the_gateways_own_time() -> None:
    first = pace()
    assert [first.is_due(at, b"a") for at in (100.0, 109.9, 110.0)] == [False, False, True]


def test_a_change_is_told_after_the_gap_and_a_steady_state_slowly() -> None:
    told = pace()
    told.told(0.0, b"a")
    assert not told.is_due(GAP_S, b"a") and not told.is_due(STEADY_S - 1, b"a") and told.is_due(STEADY_S, b"a")
    assert not told.is_due(1.0, b"b") and not told.is_due(GAP_S - 1, b"b") and told.is_due(GAP_S, b"b")


def test_a_change_that_went_back_is_no_change() -> None:
    told = pace()
    told.told(0.0, b"a")
    assert not told.is_due(100.0, b"b") and not told.is_due(105.0, b"a")
    assert not told.is_due(112.0, b"b") and told.is_due(122.0, b"b")  # its own phase, anew


def test_failures_wait_longer_and_longer_and_success_forgets_them() -> None:
    failing, now, waits = pace(0.0), 0.0, []
    for _ in range(9):
        failing.failed(now)
        start = now
        while not failing.is_due(now, b"a"):
            now += 1.0
        waits.append(now - start)
    assert waits[:3] == [9.0, 17.0, 33.0] and waits[-1] == pytest.approx(0.55 * LONGEST_RETRY_S, abs=1)
    failing.told(now, b"a")
    failing.failed(now)
    assert failing.is_due(now + GAP_S + 3.0, b"b")


def test_retry_after_is_obeyed() -> None:
    asked = pace(0.0)
    asked.failed(0.0, after_s=500.0)
    assert not asked.is_due(500.0, b"a") and asked.is_due(520.0, b"a")


@given(st.lists(st.tuples(st.floats(0.1, 40.0), st.sampled_from([b"a", b"b", b"c"])), max_size=200))
def test_however_it_flaps_reports_keep_their_distance(steps: list[tuple[float, bytes]]) -> None:
    flapping, now, times = pace(0.0), 0.0, []
    for step, essence in steps:
        now += step
        if flapping.is_due(now, essence):
            flapping.told(now, essence)
            times.append(now)
    assert all(later - before >= GAP_S for before, later in itertools.pairwise(times))


def test_what_is_waited_for_keeps_no_distance_but_spares_a_platform_that_takes_none() -> None:
    told = pace()
    told.told(0.0, b"a")
    told.hurry(1.0)
    assert told.is_due(1.0, b"b")
    told.told(1.0, b"b")
    assert not told.is_due(2.0, b"c")  # once only
    told.failed(2.0, after_s=100.0)
    told.hurry(3.0)
    assert not told.is_due(3.0, b"c") and told.is_due(200.0, b"c")
