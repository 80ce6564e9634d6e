"""The waits before a retry: doubling, bounded, spread over their whole range, and never nothing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backoff import Backoff


def test_the_bound_doubles_up_to_its_cap() -> None:
    backoff = Backoff(first_s=1.0, cap_s=60.0, rng=lambda: 1.0)
    assert [backoff.next() for _ in range(8)] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])
    assert backoff.attempts == 8


def test_success_starts_again() -> None:
    backoff = Backoff(first_s=1.0, cap_s=60.0, rng=lambda: 1.0)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() == pytest.approx(1.0) and backoff.attempts == 1


@given(st.floats(0.001, 100), st.floats(0.001, 10_000), st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_within_its_bounds_after_any_number_of_failures(
    first_s: float, cap_s: float, attempts: int, draw: float
) -> None:
    backoff = Backoff(first_s, cap_s, rng=lambda: draw)
    backoff.attempts = attempts
    bound = min(cap_s, first_s * 2.0 ** min(attempts, 30))
    assert 0.0999 * bound <= backoff.next() <= bound


def test_a_park_that_lost_its_platform_comes_back_spread() -> None:
    source = random.Random(7)
    waits = sorted(Backoff(first_s=60.0, cap_s=60.0, rng=source.random).next() for _ in range(1000))
    quarters = [sum(at <= wait < at + 13.5 for wait in waits) for at in (6.0, 19.5, 33.0, 46.5)]
    assert sum(quarters) == 1000 and min(quarters) > 180
