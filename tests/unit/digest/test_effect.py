"""The measured effect of a prescription: hand-worked folders, and what holds for any plant."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.digest.effect import INSUFFICIENT, known_indicators, terms
from agent.digest.report import PrescribedTarget
from tests.support.effects import Case, day, read_case

FOLDERS = sorted((Path(__file__).parents[2] / "testcases").glob("effect-*"))
ADOPTED, TODAY = date(2026, 11, 12), date(2026, 11, 30)
IDLE = PrescribedTarget(indicator="ENPI.IDLE_SHARE", machine="press-1", side="at_most", value=0.15)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_hand_worked(folder: Path) -> None:
    case, expected = read_case(folder)
    assert msgspec.to_builtins(case.effect()) == expected


Kwh = tuple[float, float]


def a_case(before: list[Kwh], after: list[Kwh], **changes: object) -> Case:
    """Days of (idle, all) kWh up to the day before the adoption, and from the day after it on."""
    whole = {"span": 24, "energy_known": 24}
    days = [
        day(ADOPTED + timedelta(days=offset), h=whole, idle_kwh=idle, joined_kwh=joined)
        for first, run in ((-len(before), before), (1, after))
        for offset, (idle, joined) in enumerate(run, first)
    ]
    return Case(**{"target": IDLE, "adopted": ADOPTED, "until": TODAY, "days": days, "today": TODAY, **changes})  # type: ignore[arg-type]


KWH = st.tuples(st.floats(0, 50), st.floats(60, 1000))
RUN = st.lists(KWH, min_size=5, max_size=12)


@given(RUN, RUN, st.randoms())
def test_sums_are_divided_and_no_order_counts(before: list[Kwh], after: list[Kwh], order: object) -> None:
    case = a_case(before, after)
    found = case.effect()
    order.shuffle(case.days)  # type: ignore[attr-defined]
    assert case.effect() == found
    for stretch, run in ((found.before, before), (found.after, after)):
        assert stretch is not None and stretch.days == len(run)
        value = sum(idle for idle, _ in run) / sum(joined for _, joined in run)
        assert stretch.value == pytest.approx(value, rel=1e-9)
    assert found.after is not None and found.after.value is not None
    # Days are missing at the end of the window: they lower what is known of it.
    assert found.after.coverage == pytest.approx(len(after) / 17)
    assert (found.reached is None) == (len(after) / 17 < terms().least_coverage)


@given(KWH, KWH)
def test_neither_the_day_of_adoption_nor_the_running_one_counts(one: Kwh, two: Kwh) -> None:
    case = a_case([(30, 100)] * 7, [(10, 100)] * 17)
    found = case.effect()
    case.days += [
        day(on, h={"span": 24, "energy_known": 1}, idle_kwh=each[0], joined_kwh=each[1])
        for on, each in ((ADOPTED, one), (TODAY, two))
    ]
    assert case.effect() == found and found.reached is True and not found.reason


@given(RUN, st.floats(0, 1))
def test_reached_is_the_comparison_with_the_target_and_nothing_is_clamped(after: list[Kwh], value: float) -> None:
    until = ADOPTED + timedelta(days=len(after))
    for side in ("at_least", "at_most"):
        target = PrescribedTarget(indicator="ENPI.IDLE_SHARE", machine="press-1", side=side, value=value)  # type: ignore[arg-type]
        found = a_case([(200.0, 100.0)] * 5, after, target=target, until=until).effect()
        assert found.before is not None and found.before.value == 2.0
        assert found.after is not None and found.after.value is not None and found.change is not None
        met = found.after.value >= value if side == "at_least" else found.after.value <= value
        assert found.reached is met
        assert found.change == pytest.approx(found.after.value - 2.0, abs=1e-9)


def test_at_the_target_is_reached_on_either_side() -> None:
    for side in ("at_least", "at_most"):
        target = PrescribedTarget(indicator="ENPI.IDLE_SHARE", machine="press-1", side=side, value=0.25)  # type: ignore[arg-type]
        assert a_case([(1, 2)] * 5, [(1, 4)] * 17, target=target).effect().reached is True


def test_on_the_day_of_adoption_only_the_time_before_is_told() -> None:
    found = a_case([(30, 100)] * 28, [], today=ADOPTED).effect()
    assert found.before is not None and found.before.value == 0.3
    assert (found.after, found.change, found.reached) == (None, None, None)
    assert found.reason == f"{INSUFFICIENT}: after: no whole day since the adoption yet"


def test_at_most_28_days_before_count() -> None:
    found = a_case([(99, 100)] * 5 + [(30, 100)] * 28, [(10, 100)] * 17).effect()
    assert found.before is not None and (found.before.days, found.before.value) == (28, 0.3)


def test_nothing_recorded_is_said() -> None:
    found = a_case([], []).effect()
    assert (found.before, found.after) == (None, None)
    assert found.reason.startswith(f"{INSUFFICIENT}: before: nothing was recorded; after: ")


def test_a_value_that_is_none_says_why() -> None:
    target = PrescribedTarget(indicator="ISO22400.OEE", machine="press-1", side="at_least", value=0.6)
    found = a_case([(1, 2)] * 5, [(1, 4)] * 17, target=target).effect()
    assert found.before is not None and found.before.value is None
    assert "no calendar" in str(found.before.reason) and "no calendar" in found.reason
    assert found.reached is None and found.change is None


def test_an_unknown_indicator_is_said() -> None:
    target = PrescribedTarget(indicator="MIIT24.SCORE", machine="press-1", side="at_least", value=1)
    found = a_case([(1, 2)] * 5, [(1, 4)] * 17, target=target).effect()
    assert found.before is None and "MIIT24.SCORE" in found.reason
    assert {"ENPI.IDLE_SHARE", "ISO22400.OEE"} <= set(known_indicators())
