"""Falls of a counter: rollover, reset, decrement; never a negative count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.digest.counters import fall

GUESSES = (1e4, 65536.0, 1e6, 2.0**32)


def test_declared_top_explains_less_than_half_a_turn() -> None:
    assert fall(60_000, 5, [65536.0], declared=True) == ("rollover", 5541.0)
    assert fall(100, 0, [65536.0], declared=True) == ("reset", 0.0)


def test_value_above_a_declared_top_is_no_rollover() -> None:
    assert fall(70_000, 5, [65536.0], declared=True) == ("reset", 5.0)


def test_guessed_tops_need_both_ends_near() -> None:
    assert fall(65_530, 14, GUESSES, declared=False) == ("rollover", 20.0)
    assert fall(9_999, 1, GUESSES, declared=False) == ("rollover", 2.0)
    assert fall(65_530, 20_000, GUESSES, declared=False) == ("reset", 20_000.0)
    assert fall(50_000, 14, GUESSES, declared=False) == ("reset", 14.0)


def test_a_slight_fall_is_a_correction_and_counts_nothing() -> None:
    assert fall(100.5, 100.4, GUESSES, declared=False) == ("decrement", 0.0)


def test_a_negative_value_counts_nothing() -> None:
    assert fall(5, -3, GUESSES, declared=False) == ("reset", 0.0)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.booleans())
def test_what_was_counted_is_never_negative(old: float, new: float, declared: bool) -> None:
    if new < old:
        assert fall(old, new, GUESSES, declared=declared)[1] >= 0
