"""The planner: whatever is wanted is read, at no more than it costs one by one, and nothing forbidden is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.options import Link, Options
from drivers.modbus.plan import Cost, Learned, Request, Span, plan

LINKS = {
    "tcp": Link("tcp", "plc", 502),
    "rtu 9600": Link("rtu", "/dev/ttyUSB0", 0, 9600),
    "rtu 115200": Link("rtu", "/dev/ttyUSB0", 0, 115_200),
    "ascii": Link("ascii", "/dev/ttyUSB0", 0, 19200),
}
MOST = 40


@st.composite
def spans(draw: st.DrawFn, tables: tuple[int, ...] = (1, 3, 4)) -> Span:
    start = draw(st.one_of(st.integers(0, 300), st.integers(65_300, 65_535)))
    table = draw(st.sampled_from(tables))
    width = 1 if table == 1 else draw(st.sampled_from((1, 1, 2, 4, 20)))
    return Span(table, min(start, 65_536 - width), min(start, 65_536 - width) + width)


@st.composite
def lessons(draw: st.DrawFn) -> Learned:
    borders: dict[int, set[int]] = {}
    for table, at in draw(st.lists(st.tuples(st.sampled_from((1, 3)), st.integers(1, 300)), max_size=4)):
        borders.setdefault(table, set()).add(at)
    return Learned(
        missing=dict.fromkeys(draw(st.lists(spans(), max_size=8)), 2),
        gaps=set(draw(st.lists(spans(), max_size=4))),
        borders=borders,
        limits=draw(st.dictionaries(st.sampled_from((1, 3)), st.integers(20, 60), max_size=2)),
    )


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    link = LINKS[draw(st.sampled_from(sorted(LINKS)))]
    most = draw(st.integers(20, MOST))
    gap = draw(st.one_of(st.none(), st.integers(0, 30)))
    return Cost.of(link, Options(host="plc", max_registers=most, max_bits=most * 4, max_gap=gap))


def total(requests: list[Request], cost: Cost) -> float:
    return sum(cost.seconds(request.span) for request in requests)


@given(st.lists(spans(), max_size=60), costs(), lessons())
def test_plan_keeps_its_promises(wanted: list[Span], cost: Cost, learned: Learned) -> None:
    requests = plan(wanted, cost, learned)
    asked = [span for request in requests for span in request.wanted]
    assert sorted(asked, key=repr) == sorted(set(wanted) - learned.missing.keys(), key=repr), (
        "each wanted span just once"
    )
    for request in requests:
        span = request.span
        assert 0 <= span.start < span.end <= 65_536, "never wraps"
        assert span.count <= min(cost.limit(span.function), learned.limits.get(span.function, 65_536))
        assert all(part.function == span.function for part in request.wanted)
        assert all(span.start <= part.start and part.end <= span.end for part in request.wanted), "none is split"
        covered = {at for part in request.wanted for at in range(part.start, part.end)}
        forbidden = {
            at
            for hole in (*learned.missing, *learned.gaps)
            if hole.function == span.function
            for at in range(hole.start, hole.end)
        }
        assert not (set(range(span.start, span.end)) - covered) & forbidden, "holes are never read"
        for border in learned.borders.get(span.function, ()):
            if span.start < border < span.end:
                assert any(part.start < border < part.end for part in request.wanted), "borders are not crossed"
        if cost.max_gap is not None:
            assert longest_run_outside(span, covered) <= cost.max_gap
    single = [Request.around([span]) for span in asked]
    assert total(requests, cost) <= total(single, cost) * (1 + 1e-9)


def longest_run_outside(span: Span, covered: set[int]) -> int:
    longest = run = 0
    for at in range(span.start, span.end):
        run = 0 if at in covered else run + 1
        longest = max(longest, run)
    return longest


def best_by_trying(wanted: list[Span], cost: Cost) -> float:
    """The least cost of all ways to cut a sorted list into requests."""
    best = [0.0]
    for end in range(1, len(wanted) + 1):
        options = []
        for first in range(end):
            request = Request.around(wanted[first:end])
            if request.span.count <= cost.limit(request.span.function):
                options.append(best[first] + cost.seconds(request.span))
        best.append(min(options))
    return best[-1]


@given(st.sets(st.integers(0, 400), min_size=1, max_size=25), st.sampled_from(sorted(LINKS)))
def test_plan_is_the_cheapest(starts: set[int], link: str) -> None:
    cost = Cost.of(LINKS[link], Options(host="plc", max_registers=MOST))
    wanted = [Span(3, start, start + 1) for start in sorted(starts)]
    assert total(plan(wanted, cost, Learned()), cost) == pytest.approx(best_by_trying(wanted, cost))


def test_a_slow_line_reads_across_short_gaps_only() -> None:
    wanted = [Span(3, at, at + 1) for at in (0, 5, 40)]
    slow = plan(wanted, Cost.of(LINKS["rtu 9600"], Options(host="plc")), Learned())
    fast = plan(wanted, Cost.of(LINKS["tcp"], Options(host="plc")), Learned())
    assert [(request.span.start, request.span.end) for request in slow] == [(0, 6), (40, 41)]
    assert [(request.span.start, request.span.end) for request in fast] == [(0, 41)]


def test_ten_thousand_registers_are_eighty_requests() -> None:
    requests = plan([Span(3, at, at + 1) for at in range(10_000)], Cost.of(LINKS["tcp"], Options(host="p")), Learned())
    assert [request.span.count for request in requests] == [125] * 80


def test_many_scattered_bits_are_planned_in_linear_time() -> None:
    wanted = [Span(1, at, at + 1) for at in range(0, 60_000, 3)]
    requests = plan(wanted, Cost.of(LINKS["tcp"], Options(host="plc")), Learned())
    assert len(requests) <= 31


@given(st.lists(spans((3,)), min_size=1, max_size=30, unique=True))
def test_L10_cutting_ends_at_single_spans(wanted: list[Span]) -> None:
    request = Request.around(sorted(wanted, key=lambda span: (span.start, span.end)))
    left, singles = [request], []
    while left:
        halves = left.pop().halves()
        if halves is None:
            continue
        assert all(len(half.wanted) >= 1 for half in halves)
        for half in halves:
            (left if len(half.wanted) > 1 else singles).append(half)
    found = [half.wanted[0] for half in singles] or list(request.wanted)
    assert sorted(found, key=repr) == sorted(wanted, key=repr)


def test_L10_a_request_is_cut_at_its_widest_gap_first() -> None:
    request = Request.around([Span(3, 0, 2), Span(3, 2, 4), Span(3, 30, 31), Span(3, 33, 34)])
    halves = request.halves()
    assert halves is not None
    assert [half.span for half in halves] == [Span(3, 0, 4), Span(3, 30, 34)]
