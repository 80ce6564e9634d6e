"""The energy baseline: exact lines come back, noise is seen, and what says nothing is refused with the reason."""

from __future__ import annotations

import math
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.digest_tables import BaselineRule
from agent.digest.baseline import Baseline, baseline, least_squares
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.sums import MachineSums
from agent.digest.rollups import DeviceSums, Sums, closed_days
from tests.support.digest_plants import SECOND

HOUR = 3600 * SECOND
DAY = 24 * HOUR
PRESS = MachineSpec(name="press", key_process=False, devices=frozenset({"p"}))
RULE = BaselineRule(least_points=3, least_coverage=0.95, least_spread=0.1)

whole = st.integers(0, 100_000).map(float)


def day(produced: float | None, kwh: float, **changes: Any) -> Sums:
    known = {"span_us": DAY, "produced": produced, "kwh": kwh, "energy_basis": "counter", "energy_known_us": DAY}
    devices = {"p": DeviceSums(expected=100, good=100)}
    return Sums(start=0, end=DAY, covered_us=DAY, machines={"press": MachineSums(**{**known, **changes})},
                devices=devices)  # fmt: skip


def fitted(*days: Sums, rule: BaselineRule = RULE) -> Baseline:
    return baseline(PRESS, [(each, DAY) for each in days], rule)


@given(st.lists(whole, min_size=3, max_size=28), st.integers(-1000, 1000), st.integers(-64, 64))
def test_an_exact_line_is_recovered(pieces: list[float], b0: int, b1: int) -> None:
    if max(pieces) - min(pieces) < 0.1 * max(pieces) or not max(pieces):
        return
    found = fitted(*(day(x, b0 + b1 / 64 * x) for x in pieces))
    largest = abs(b0) + abs(b1 / 64) * max(pieces) + 1
    assert found.b1 == pytest.approx(b1 / 64, abs=1e-12 * largest)
    assert found.b0 == pytest.approx(b0, abs=1e-10 * largest)
    assert found.n == len(pieces) and found.reason == ""
    assert found.r2 is None if b1 == 0 else found.r2 == pytest.approx(1.0, abs=1e-9)


@given(st.lists(st.tuples(whole, st.floats(0, 1e6)), min_size=3, max_size=28))
def test_it_is_the_least_squares_line(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    if np.ptp(x) < 1:
        return
    b0, b1, r2 = least_squares(points)
    expected = np.linalg.lstsq(np.stack((np.ones_like(x), x - x.mean()), axis=1), y - y.mean(), rcond=None)[0]
    assert b1 == pytest.approx(expected[1], rel=1e-6, abs=1e-6)
    rest = y - b0 - b1 * x
    assert math.fsum(rest) == pytest.approx(0.0, abs=1e-6 * (1 + np.abs(y).sum()))
    assert r2 is None or 0.0 <= r2 <= 1.0


@given(st.lists(st.tuples(whole, st.floats(0, 1e6)), min_size=3, max_size=28), st.randoms())
def test_the_order_of_days_does_not_matter(points: list[tuple[float, float]], random: Any) -> None:
    mixed = list(points)
    random.shuffle(mixed)
    if max(x for x, _ in points) - min(x for x, _ in points) >= 1:
        assert least_squares(mixed)[1] == pytest.approx(least_squares(points)[1], rel=1e-9, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_noise_lowers_r2_and_hardly_moves_the_line(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = np.linspace(0, 1000, 28)
    exact = 50 + 0.2 * x
    noisy = exact + random.uniform(-5, 5, len(x))
    found = fitted(*(day(float(a), float(b)) for a, b in zip(x, noisy, strict=True)))
    assert found.r2 is not None and 0.9 < found.r2 < 1.0
    assert found.b1 == pytest.approx(0.2, abs=0.01) and found.b0 == pytest.approx(50, abs=5)


@pytest.mark.parametrize("large", [1e6, 1e9, 1e12])
def test_digits_survive_where_values_are_large_and_close(large: float) -> None:
    # The textbook's n·Σx² − (Σx)² loses all of them at 1e9.
    points = [(large + x, 3 * large + 0.5 * x) for x in (0.0, 8.0, 2.0, 6.0, 4.0)]
    b0, b1, r2 = least_squares(points)
    assert b1 == pytest.approx(0.5, rel=1e-9)
    assert b0 == pytest.approx(2.5 * large, rel=1e-9)
    assert r2 == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ([], "0 whole days with enough data, 3 are needed"),
        ([day(1, 1), day(2, 2)], "2 whole days with enough data, 3 are needed"),
        ([day(0, 1), day(0, 2), day(0, 3)], "the pieces of a day vary by less than 10 %"),
        ([day(100, 1), day(95, 2), day(91, 3)], "the pieces of a day vary by less than 10 %"),
    ],
)
def test_too_little_says_why_there_is_no_baseline(days: list[Sums], reason: str) -> None:
    found = fitted(*days)
    assert (found.b0, found.b1, found.r2, found.reason) == (None, None, None, reason)


def test_energy_that_does_not_vary_has_a_line_and_no_r2() -> None:
    found = fitted(day(0, 7), day(10, 7), day(20, 7))
    assert (found.b0, found.b1, found.r2, found.reason) == (7.0, 0.0, None, "")


@pytest.mark.parametrize(
    "poor",
    [
        day(None, 99.0),
        day(1e6, 99.0, energy_basis=""),
        day(1e6, 99.0, energy_known_us=22 * HOUR),
        day(1e6, float("inf")),
        Sums(start=0, end=DAY, covered_us=22 * HOUR, machines=day(1e6, 99.0).machines),
        Sums(start=0, end=DAY, covered_us=DAY, machines=day(1e6, 99.0).machines, devices={"p": DeviceSums(expected=9)}),
        Sums(start=0, end=DAY, covered_us=DAY),
    ],
)
def test_a_day_that_is_not_known_well_is_no_point(poor: Sums) -> None:
    found = fitted(day(0, 1), poor, day(10, 2), day(20, 3))
    assert (found.n, found.days, found.b0, found.b1) == (3, 4, 1.0, 0.1)


def test_days_end_with_the_calendar_of_the_plant() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    midnight = 1_793_894_400 * SECOND  # 2026-11-06T00:00+08:00

    def of(start: int, length: int) -> Sums:
        return Sums(start=start, end=start + length, covered_us=length)

    days = [of(midnight - 28 * DAY, DAY), of(midnight - 27 * DAY, DAY), of(midnight - DAY, DAY)]
    running = of(midnight, 23 * HOUR)
    assert closed_days([*days, running], of(midnight + 22 * HOUR, HOUR), zone) == [(days[1], DAY), (days[2], DAY)]
    # The last period of a day closes it.
    closed = closed_days([*days, running], of(midnight + 23 * HOUR, HOUR), zone)
    assert closed[-1] == (of(midnight, DAY), DAY) and len(closed) == 3
    # A clock change makes a day of 25 hours.
    berlin = closed_days([], of(1_792_879_200 * SECOND, 25 * HOUR), ZoneInfo("Europe/Berlin"))
    assert [length for _, length in berlin] == [25 * HOUR]
