"""Digests of shifts and days: the same sums as measured at once, whatever the parts; and a changed number shows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from agent.buffer.records import Place
from agent.config.model import CalendarSection
from agent.digest.additive import Additive, additive, disagreements, rolled_up
from agent.digest.equipment.calendar import Calendar
from agent.digest.report import Digest, Numbers, decode, encode
from agent.digest.rollup import part_kind, parts_of, rollup, shift_of
from agent.digest.rollups import Sums
from agent.digest.spans import KINDS, RANK, Rolled, calendar_span, due, spans_of
from agent.digest.windows import SECOND, Period, Windows, iso
from tests.support.digest_plants import FACTS, START
from tests.support.digest_press import MINUTE, PLANT, QUARTERS, Row, concluded, rows

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
QUARTER = 15 * MINUTE
HOUR = 60 * MINUTE
END = START + QUARTERS * QUARTER
DAY_SPAN = calendar_span("day", datetime.fromtimestamp(START // SECOND, SHANGHAI).date(), SHANGHAI)
TODAY = Rolled(RANK["day"], DAY_SPAN)

Part = tuple[Place, Sums, Digest]


def periods(recorded: Sequence[Row], edges: Sequence[int]) -> list[Part]:
    """The digests of the periods between ``edges``, as the gateway builds them one after the other."""
    parts: list[Part] = []
    carries: dict[str, object] = {}
    for number, (start, end) in enumerate(itertools.pairwise(edges), 1):
        digest, kept = concluded(recorded, Period(start, end), carries, replace(FACTS, seq=number))  # type: ignore[arg-type]
        carries = dict(kept.carries)
        parts.append((Place(number, "period", start, end), kept.sums, decode(encode(digest))))
    return parts


def rolled(parts: Sequence[Part], what: Rolled = TODAY, seq: int = 0) -> tuple[Digest, Sums]:
    """The digest of ``parts``, behind them."""
    facts = replace(FACTS, seq=seq or len(parts) + 1)
    places = [place for place, _, _ in parts]
    digest, sums = rollup(what, [(place, sums) for place, sums, _ in parts], places, [], facts, PLANT)
    return decode(encode(digest)), sums


def digests(parts: Sequence[Part]) -> list[Digest]:
    return [digest for _, _, digest in parts]


cuts = st.sets(st.integers(1, QUARTERS - 1)).map(
    lambda some: [START, *(START + each * QUARTER for each in sorted(some)), END]
)


@given(rows, cuts)
@settings(max_examples=30, deadline=None)
def test_a_day_says_what_is_measured_at_once_and_what_its_parts_make(recorded: list[Row], edges: list[int]) -> None:
    parts = periods(recorded, edges)
    day, _ = rolled(parts)
    assert disagreements(day, digests(parts)) == []
    at_once, _ = concluded(recorded, Period(START, END), {})
    measured, said = additive(at_once, 1.0), additive(day, 1.0)
    # That a counter did not move is a remark on a period; gaps end where a period does.
    for path in {*measured.sums, *said.sums} - {("equipment", "press", "pieces", "anomalies", "stuck")}:
        # Each period tells its kWh to the millionth.
        assert said.sums.get(path, 0) == pytest.approx(measured.sums.get(path, 0), abs=1e-6 * len(parts)), path
    for path in {*measured.largest, *said.largest}:
        if path[-1] != "longest_gap_s":
            assert said.largest[path] == pytest.approx(measured.largest[path]), path
    assert day.parts is not UNSET and day.parts.count == len(parts) == day.parts.last_seq
    assert day.parts.seconds == (END - START) / 1e6


@given(rows, cuts, st.integers(1, QUARTERS - 1))
@settings(max_examples=20, deadline=None)
def test_any_grouping_of_the_parts_makes_the_same(recorded: list[Row], edges: list[int], cut: int) -> None:
    parts = periods(recorded, edges)
    groups = [group for group in (parts[:cut], parts[cut:]) if group]
    halves = [rolled(group, seq=90 + number)[0] for number, group in enumerate(groups)]
    assert _close(rolled_up(halves), rolled_up(digests(parts)))


def _close(one: Additive, two: Additive) -> bool:
    return (
        one.sums == pytest.approx(two.sums)
        and one.largest == pytest.approx(two.largest)
        and one.seconds == pytest.approx(two.seconds)
    )


WORKING: list[Row] = [((2, 2, 3, 1)[tick // 20 % 4], 2, 2, 20 + tick % 7) for tick in range(QUARTERS * 30)]
EDGES = list(range(START, END + 1, QUARTER))


@pytest.mark.parametrize(
    ("section", "member", "shown"),
    [
        ("states", {"executing": 9999.0}, "equipment.press.states.executing is 9999"),
        ("energy", "kwh", "equipment.press.energy.kwh"),
        ("energy", "peak_kw", "equipment.press.energy.peak_kw"),
        ("pieces", "good", "equipment.press.pieces.good"),
        ("failures", "count", "equipment.press.failures.count"),
        ("stops", "longest_s", "equipment.press.stops.longest_s"),
    ],
)
def test_a_day_that_was_tampered_with_is_caught(section: str, member: object, shown: str) -> None:
    parts = periods(WORKING, EDGES)
    plain = msgspec.json.decode(encode(rolled(parts)[0]))
    target = plain["equipment"][0][section]
    if isinstance(member, dict):
        target |= member
    else:
        target[member] = (target[member] or 0) + 1
    (problem,) = disagreements(msgspec.convert(plain, Digest), digests(parts))
    assert problem.startswith(shown) and "they make" in problem


def test_parts_that_were_left_out_or_changed_are_caught() -> None:
    parts = periods(WORKING, EDGES)
    day, _ = rolled(parts)
    problems = disagreements(day, digests(parts[:-1]))
    assert problems[0] == f"parts.count is {QUARTERS}, there are {QUARTERS - 1}"
    assert any(each.startswith("coverage.total.good") for each in problems)
    other = periods([(0, 0, 0, 0)] * len(WORKING), EDGES)
    assert disagreements(day, digests([*parts[:-1], other[-1]]))


def test_a_machine_that_was_withheld_for_a_part_of_the_time_is_withheld_for_all_of_it() -> None:
    parts = periods(WORKING, EDGES)
    place, sums, _ = parts[0]
    hidden = msgspec.structs.replace(sums, withheld=("press",))
    day, after = rolled([(place, hidden, parts[0][2]), *parts[1:]])
    assert day.equipment is not UNSET
    (line,) = day.equipment
    assert line.withheld and line.states is UNSET and after.withheld == ("press",)
    availability = next(each for each in day.indicators or () if each.code == "ISO22400.AVAILABILITY")
    assert availability.value is None
    assert disagreements(day, digests(parts)) == []


def test_a_machine_that_is_none_any_more_is_told_of_with_its_sums() -> None:
    parts = periods(WORKING, EDGES)
    without = replace(PLANT, file=msgspec.structs.replace(PLANT.file, equipment=()))
    facts = replace(FACTS, seq=9)
    pairs = [(place, sums) for place, sums, _ in parts]
    day, _ = rollup(TODAY, pairs, [place for place, _ in pairs], [], facts, without)
    assert disagreements(day, digests(parts)) == []
    assert day.equipment is not UNSET and day.equipment[0].name == "press"


def test_a_shift_has_the_machines_that_work_it() -> None:
    parts = periods(WORKING, EDGES)
    span = Period(START - HOUR, START + HOUR)
    shift, _ = rolled(parts, Rolled(RANK["shift"], span, ("another",)))
    assert shift.equipment is UNSET and disagreements(shift, digests(parts)) == []
    assert shift.shift is not UNSET and (shift.shift.date, shift.shift.times) == ("2026-09-21", "21:15-23:15")
    shift, _ = rolled(parts, Rolled(RANK["shift"], span, ("press",)))
    assert shift.equipment is not UNSET and [each.name for each in shift.equipment] == ["press"]


def test_a_shift_is_written_as_in_the_configuration() -> None:
    begin = DAY_SPAN.start
    assert shift_of(Period(begin + 16 * HOUR, begin + 24 * HOUR), SHANGHAI).times == "16:00-24:00"
    assert shift_of(Period(begin + 22 * HOUR, begin + 30 * HOUR), SHANGHAI).times == "22:00-06:00"


# -- which parts ---------------------------------------------------------------------------------------


def place(seq: int, start: int, length: int = QUARTER, kind: str = "period") -> Place:
    return Place(seq, kind, start, start + length)


def test_parts_are_those_of_the_chain_that_begin_within_the_span() -> None:
    begin = DAY_SPAN.start
    chain = [place(1, begin - QUARTER), place(2, begin), place(3, begin, 8 * HOUR, "shift"), place(4, begin + QUARTER),
             place(5, begin + HOUR, 99 * 24 * HOUR), place(6, DAY_SPAN.end)]  # fmt: skip
    assert [each.seq for each in parts_of(TODAY, "period", chain)] == [2, 4]


def test_days_that_overlap_after_a_change_of_the_time_zone_are_not_counted_twice() -> None:
    week = Rolled(RANK["week"], calendar_span("week", datetime(2026, 9, 21).date(), SHANGHAI))
    begin = week.span.start
    chain = [place(9, begin, 24 * HOUR, "day"), place(20, begin + 18 * HOUR, 24 * HOUR, "day"),
             place(30, begin + 24 * HOUR, 24 * HOUR, "day")]  # fmt: skip
    assert [each.seq for each in parts_of(week, "day", chain)] == [9, 30]
    assert (part_kind(week, KINDS), part_kind(week, ("week",)), part_kind(TODAY, KINDS)) == ("day", "period", "period")


def test_places_between_that_are_no_parts_are_named() -> None:
    parts = periods(WORKING, EDGES)
    moved = [(replace(each, seq=seq), sums) for (each, sums, _), seq in zip(parts, (1, 2, 7, 8, 9, 10), strict=True)]
    chain = [*(each for each, _ in moved), Place(3, "shift", START, END), Place(4, "period", 0, 5)]
    day, _ = rollup(TODAY, moved, chain, [], replace(FACTS, seq=11), PLANT)
    assert day.parts is not UNSET
    assert (day.parts.first_seq, day.parts.last_seq, day.parts.count) == (1, 10, 6)
    assert day.parts.without == (Numbers(first_seq=4, last_seq=6),)  # 5 and 6 are of a disk that was lost


# -- when ----------------------------------------------------------------------------------------------


def calendar(*shifts: str) -> Calendar:
    return Calendar(CalendarSection(days=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), shifts=shifts), SHANGHAI)


def test_spans_follow_the_last_period_that_begins_in_them_the_shortest_first() -> None:
    sunday = round(datetime(2026, 5, 31, 23, 45, tzinfo=SHANGHAI).timestamp()) * SECOND  # also the end of the month
    calendars = {"a": calendar("08:00-16:00", "16:00-24:00"), "b": calendar("16:00-24:00"), "c": None}
    spans = spans_of(sunday, SHANGHAI, KINDS, calendars)
    assert [each.kind for each in due(spans, sunday + QUARTER)] == ["shift", "day", "week", "month"]
    assert spans[0].machines == ("a", "b") and spans[0].span.length == 8 * HOUR
    assert due(spans, sunday + QUARTER - 1) == []
    assert [each.kind for each in spans_of(sunday, SHANGHAI, ("month",), calendars)] == ["month"]
    assert [iso(each.span.start) for each in spans[1:]] == [
        "2026-05-30T16:00:00Z", "2026-05-24T16:00:00Z", "2026-04-30T16:00:00Z",
    ]  # fmt: skip


def test_shifts_that_differ_are_digests_of_their_own_also_over_midnight() -> None:
    night = round(datetime(2026, 9, 22, 5, 45, tzinfo=SHANGHAI).timestamp()) * SECOND
    spans = spans_of(night, SHANGHAI, ("shift",), {"a": calendar("22:00-06:00"), "b": calendar("18:00-06:00")})
    assert [(each.machines, each.span.length) for each in spans] == [(("b",), 12 * HOUR), (("a",), 8 * HOUR)]
    assert due(spans, night + QUARTER) == spans


@given(
    st.sampled_from(["2026-03-28T12:00", "2026-10-24T12:00", "2026-12-30T12:00"]),
    st.sampled_from([QUARTER, 2 * HOUR, 24 * HOUR]),
    st.sampled_from([SHANGHAI, BERLIN]),
)
@settings(deadline=None)
def test_each_day_is_due_once_whatever_the_periods_and_the_clocks(begin: str, length: int, zone: ZoneInfo) -> None:
    start = round(datetime.fromisoformat(begin).replace(tzinfo=zone).timestamp()) * SECOND
    windows = Windows(length, zone)
    built = [
        (each.kind, each.span)
        for period in windows.closed(windows.start_of(start), start + 3 * 24 * HOUR)
        for each in due(spans_of(period.start, zone, KINDS, {}), period.end)
    ]
    assert len(built) == len({*built})
    days = [span for kind, span in built if kind == "day"]
    assert len(days) == 3 and all(one.end == two.start for one, two in itertools.pairwise(days))


def test_planned_run_time_and_sub_meters_add_up_too() -> None:
    parts = periods(WORKING, EDGES)
    plain = [msgspec.json.decode(encode(digest)) for _, _, digest in parts]
    for each in plain:
        each["equipment"][0]["pieces"]["ideal_s"] = 90.5
        each["equipment"][0]["energy"]["sub_meters"] = {"known_s": 900.0, "main_kwh": 4.25, "sub_kwh": 4.0}
    whole = rolled_up([msgspec.convert(each, Digest) for each in plain])
    place = ("equipment", "press")
    assert whole.sums[*place, "pieces", "ideal_s"] == 90.5 * QUARTERS
    assert whole.sums[*place, "energy", "sub_meters", "main_kwh"] == 4.25 * QUARTERS
    assert whole.sums[*place, "energy", "sub_meters", "known_s"] == 900.0 * QUARTERS
