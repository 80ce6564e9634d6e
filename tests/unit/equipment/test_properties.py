"""What must hold whatever a machine does: time adds up, periods add up, nothing is invented."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.config.model import CalendarSection
from agent.digest.equipment.calendar import Calendar
from agent.digest.equipment.kpi import kpis
from agent.digest.equipment.states import STATES, UNKNOWN, StateRule, seconds_by_state, states_of
from agent.digest.equipment.steps import Intervals, Steps
from agent.digest.equipment.sums import MachineSums, add
from agent.digest.equipment.times import Carry, TimeModel, time_model
from agent.digest.windows import SECOND, Period

START = round(datetime(2026, 11, 23, 0, 0, tzinfo=UTC).timestamp()) * SECOND
PERIOD = Period(START, START + 3600 * SECOND)
RULE = StateRule(meaning={float(code): code for code in range(UNKNOWN)})
BERLIN = ZoneInfo("Europe/Berlin")

moments = st.integers(-60, 3700).map(lambda second: START + second * SECOND)
samples = st.lists(st.tuples(moments, st.integers(0, 8), st.booleans()), max_size=40)
spans = st.lists(st.tuples(moments, moments), max_size=6)


def word(rows: list[tuple[int, int, bool]], known: list[tuple[int, int]]) -> Steps:
    """A state word; values above 5 mean nothing to the rule."""
    rows = sorted(rows, key=lambda row: row[0])
    return Steps.of_samples(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
        np.array([row[2] for row in rows], np.bool_),
        Intervals.of(known),
    )


def naive(pairs: list[tuple[int, int]]) -> set[int]:
    """The seconds that pairs cover."""
    return {second for start, end in pairs for second in range(start // SECOND, end // SECOND)}


@given(spans, spans)
def test_intervals_do_what_sets_of_seconds_do(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    a, b = Intervals.of(one), Intervals.of(two)
    for found, expected in (
        (a, naive(one)),
        (a.within(b), naive(one) & naive(two)),
        (a.without(b), naive(one) - naive(two)),
    ):
        assert naive(list(zip(found.start.tolist(), found.end.tolist(), strict=True))) == expected
        assert (found.end > found.start).all() and (found.start[1:] > found.end[:-1]).all()


@given(samples, spans)
def test_every_second_has_exactly_one_state_and_only_known_ones_have_a_name(
    rows: list[tuple[int, int, bool]], known: list[tuple[int, int]]
) -> None:
    states = states_of(RULE, [word(rows, known)], PERIOD)
    held = seconds_by_state(states)
    assert sum(held.values()) == PERIOD.length and all(value >= 0 for value in held.values())
    assert states.start[0] == PERIOD.start and states.end[-1] == PERIOD.end
    assert (states.start[1:] == states.end[:-1]).all()
    told = sum(value for name, value in held.items() if name != "unknown")
    assert told <= Intervals.of(known).clipped(PERIOD.start, PERIOD.end).total


def events(model: TimeModel) -> tuple[int, ...]:
    """What adds up from period to period."""
    return (model.stops, model.stop_us, model.micro_stops, model.micro_us, model.failures, model.repair_us,
            model.between_us, model.apt, model.aust, model.adet, model.adot, model.unknown, model.pbt or 0)  # fmt: skip


@given(samples, spans, spans, st.integers(1, 3599), st.booleans())
def test_two_periods_are_the_same_as_one(
    rows: list[tuple[int, int, bool]],
    known: list[tuple[int, int]],
    plan: list[tuple[int, int]],
    cut: int,
    calendar: bool,
) -> None:
    border = START + cut * SECOND
    told = word(rows, known)

    def model(period: Period, carry: Carry) -> tuple[TimeModel, Carry]:
        planned = Intervals.of(plan).clipped(period.start, period.end) if calendar else None
        return time_model(states_of(RULE, [told], period), planned, carry)

    whole, end = model(PERIOD, Carry())
    first, carry = model(Period(START, border), Carry())
    second, after = model(Period(border, PERIOD.end), carry)
    assert tuple(map(sum, zip(events(first), events(second), strict=True))) == events(whole)
    assert max(first.longest_stop_us, second.longest_stop_us) == whole.longest_stop_us
    assert after == end
    if calendar:
        assert whole.pbt == whole.apt + whole.aust + whole.adet + whole.adot + whole.unknown


sums = st.builds(
    MachineSums,
    span_us=st.integers(1, 10**12),
    calendar=st.booleans(),
    planned_us=st.integers(0, 10**12),
    unknown_us=st.just(0),
    apt_us=st.integers(0, 10**12),
    aust_us=st.integers(0, 10**11),
    adet_us=st.integers(0, 10**11),
    produced=st.none() | st.integers(0, 10**6).map(float),
    good=st.none() | st.integers(0, 10**6).map(float),
    ideal_us=st.none() | st.integers(0, 10**12).map(float),
    failures=st.integers(0, 50),
    repair_us=st.integers(0, 10**10),
    energy_basis=st.sampled_from(["", "counter"]),
    kwh=st.floats(0, 1e6),
    joined_kwh=st.floats(0, 1e6),
    minutes=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 9)), max_size=4, unique_by=lambda each: each[0])
    .map(sorted)
    .map(tuple),
)


@given(sums, sums, sums)
def test_sums_add_up_in_any_order(one: MachineSums, two: MachineSums, three: MachineSums) -> None:
    left, right = add(add(one, two), three), add(one, add(two, three))
    for name in one.__struct_fields__:
        a, b = getattr(left, name), getattr(right, name)
        assert a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b)), name
    assert add(one, two).span_us == one.span_us + two.span_us


@given(sums)
def test_an_indicator_has_a_value_or_a_reason_and_is_what_it_says(each: MachineSums) -> None:
    for kpi in kpis(each):
        assert (kpi.value is None) == bool(kpi.reason), kpi
        if kpi.value is not None and kpi.denominator:
            assert kpi.numerator is not None and kpi.value == kpi.numerator / kpi.denominator


def test_without_calendar_cycle_or_counts_nothing_is_a_hundred_percent() -> None:
    found = {kpi.code: kpi for kpi in kpis(MachineSums(span_us=10, apt_us=10))}
    for code in ("ISO22400.AVAILABILITY", "ISO22400.EFFECTIVENESS", "ISO22400.QUALITY_RATIO", "ISO22400.OEE"):
        assert found[code].value is None and found[code].reason


def test_effectiveness_above_one_is_not_clamped() -> None:
    found = {kpi.code: kpi for kpi in kpis(MachineSums(span_us=10, apt_us=100_000_000, produced=3.0, ideal_us=150e6))}
    assert found["ISO22400.EFFECTIVENESS"].value == 1.5


@given(st.dates(min_value=datetime(2026, 1, 5).date(), max_value=datetime(2026, 12, 20).date()))
def test_planned_time_of_days_adds_up_to_that_of_the_week(day: object) -> None:
    calendar = Calendar(
        CalendarSection(
            days=("mon", "tue", "wed", "thu", "fri"),
            shifts=("06:00-14:00", "22:00-06:00"),
            breaks=("10:00-10:30", "02:15-02:45"),
            holidays=("2026-05-01",),
            working_days=("2026-05-02",),
        ),
        BERLIN,
    )
    begin = round(datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=BERLIN).timestamp()) * SECOND
    end = begin + 7 * 86_400 * SECOND
    hours = [Period(at, min(at + 3_600 * SECOND, end)) for at in range(begin, end, 3_600 * SECOND)]
    assert sum(calendar.planned(hour).total for hour in hours) == calendar.planned(Period(begin, end)).total


def test_states_have_the_words_of_the_reference() -> None:
    assert STATES == ("executing", "standby", "setup", "maintenance", "fault", "off", "unknown")
