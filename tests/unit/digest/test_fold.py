"""The fold against a slow and obvious reckoning, and against itself with the samples cut differently."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.model import EnterpriseSection
from agent.digest.build import build
from agent.digest.inputs import DigestInputs
from agent.digest.report import encode
from agent.digest.windows import Period
from tests.support.digest_plants import (
    FACTS,
    SECOND,
    START,
    Sample,
    Scan,
    batch,
    configuration,
    cut,
    device,
    ids,
    spec_of,
    tag,
)

TICK = SECOND // 4
TICKS = 80
"""Of the period; 20 s."""
PLANT = configuration(
    [
        device("a", [tag("a.x", 0), tag("a.n", 1, kind="counter", rollover=16.0), tag("a.s", 2, kind="state")]),
        device("b", [tag("b.x", 0, interval=2.0), tag("b.hidden", 1)], 2.0),
    ],
    share=["a.x", "a.n", "a.s", "b.x"],
)
SERIES, GROUPS = ids(PLANT)
GROUP_OF = {"a.x": ("a", 1.0), "a.n": ("a", 1.0), "a.s": ("a", 1.0), "b.x": ("b", 2.0), "b.hidden": ("b", 1.0)}
NAN = float("nan")


def gid(name: str) -> int:
    owner, interval = GROUP_OF[name]
    return GROUPS[owner, round(interval * 1e6)]


def at(tick: int) -> int:
    return START + tick * TICK


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Sample], list[Scan]]:
    ticks = st.integers(-40, TICKS + 20)
    samples = [
        (SERIES[name], at(tick), value if quality < 128 else NAN, quality)
        for name in SERIES
        for tick in sorted(draw(st.sets(ticks, max_size=25)))
        for value, quality in [draw(st.tuples(st.integers(0, 15).map(float), st.sampled_from([0, 0, 0, 66, 129])))]
    ]
    scans = [
        (group, at(tick), draw(st.integers(0, 2)))
        for group in GROUPS.values()
        for tick in sorted(draw(st.sets(ticks, max_size=60)))
    ]
    return samples, scans


def digest_of(batches: list[Any]) -> bytes:
    inputs = DigestInputs(
        period=Period(START, at(TICKS)), spec=spec_of(PLANT), enterprise=EnterpriseSection(), facts=FACTS
    )
    return encode(build(replace(inputs, batches=batches)))


@given(recordings(), st.sets(st.integers(at(-45), at(TICKS + 20)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_the_result_does_not_depend_on_how_samples_are_cut_into_batches(
    recording: tuple[list[Sample], list[Scan]], cuts: set[int]
) -> None:
    samples, scans = recording
    assert digest_of(cut(samples, scans, cuts)) == digest_of([batch(samples, scans)])


@given(recordings())
@settings(max_examples=150, deadline=None)
def test_means_and_seconds_agree_with_a_tick_by_tick_reckoning(recording: tuple[list[Sample], list[Scan]]) -> None:
    samples, scans = recording
    lines = {line["name"]: line for line in msgspec.json.decode(digest_of([batch(samples, scans)]))["tags"]}
    for name in ("a.x", "b.x", "a.s"):
        values = reckon(name, samples, scans)
        line = lines[name]
        assert line["known_s"] == len(values) / 4
        assert line["good"] + line["bad"] + line["missing"] == line["expected"]
        if line.get("reason"):
            continue
        if name == "a.s":
            assert line["seconds"] == {str(int(v)): values.count(v) / 4 for v in values}
            continue
        mean = math.fsum(values) / len(values)
        assert line["mean"] == pytest.approx(mean)
        assert line["std"] == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)), abs=1e-9)
        assert (line["min"], line["max"]) == (min(values), max(values))
        assert (line["first"], line["last"]) == (values[0], values[-1])
        for quantile, fraction in (("p05", 0.05), ("p50", 0.5), ("p95", 0.95)):
            # The instants are spread over the period; the observed rank is off by a few of them at most.
            below = sum(v < line[quantile] for v in values) / len(values)
            up_to = sum(v <= line[quantile] for v in values) / len(values)
            slack = 2 * TICKS / 1024 / len(values) + 4 / len(values) * (len(values) < 8)
            assert below - slack <= fraction <= up_to + slack


def reckon(name: str, samples: list[Sample], scans: list[Scan]) -> list[float]:
    """The good values at each quarter of a second of the period at which one was known."""
    times = sorted(time for group, time, _ in scans if group == gid(name) and time < at(TICKS))
    interval = round(GROUP_OF[name][1] * SECOND)
    own = sorted((time, value, quality) for series, time, value, quality in samples if series == SERIES[name])
    known = []
    for tick in range(TICKS):
        moment = at(tick)
        before = [time for time in times if time <= moment]
        current = [(value, quality) for time, value, quality in own if time <= moment]
        if not before or not current:
            continue
        following = next((time for time in times if time > moment), at(TICKS))
        vouched = following if following - before[-1] <= max(2.5 * interval, SECOND) else before[-1] + interval
        if moment < vouched and current[-1][1] < 128:
            known.append(current[-1][0])
    return known


def test_L11_a_clock_set_back_neither_breaks_nor_adds_time() -> None:
    scans = [(gid("a.x"), at(4 * i), 0) for i in range(10)]
    again = [(gid("a.x"), at(4 * i + 1), 0) for i in range(6, 20)]
    samples = [(SERIES["a.x"], at(4 * i), float(i), 0) for i in range(10)]
    back = [(SERIES["a.x"], at(4 * i + 1), 100.0, 0) for i in range(6, 20)]
    line = msgspec.json.decode(digest_of([batch(samples, scans), batch(back, again)]))["tags"][2]
    assert line["name"] == "a.x"
    assert line["known_s"] == 20.0
    assert line["max"] == 100.0 and line["missing"] == 0


def test_samples_and_scans_of_unknown_series_and_groups_are_passed_over() -> None:
    samples = [(SERIES["a.x"], at(0), 1.0, 0), (0, at(0), 9.0, 0), (999, at(0), 9.0, 0)]
    scans = [(group, at(4 * i), 0) for i in range(20) for group in (gid("a.x"), 0, 999)]
    coverage = msgspec.json.decode(digest_of([batch(samples, scans)]))["coverage"]
    assert coverage["devices"][0]["good"] == 20


def test_nothing_configured_still_makes_a_digest() -> None:
    spec = spec_of(configuration([]))
    inputs = DigestInputs(
        period=Period(START, at(TICKS)), spec=spec, enterprise=EnterpriseSection(), facts=FACTS, batches=[batch()]
    )
    digest = build(inputs)
    assert digest.coverage.total.expected == 0 and digest.coverage.total.grade is None


def test_values_beyond_float64_become_null_with_a_reason() -> None:
    scans = [(gid("a.x"), at(4 * i), 0) for i in range(20)]
    samples = [(SERIES["a.x"], at(0), 1e308, 0), (SERIES["a.x"], at(8), -1e308, 0)]
    line = next(x for x in msgspec.json.decode(digest_of([batch(samples, scans)]))["tags"] if x["name"] == "a.x")
    assert line["std"] is None and line["reason"] == "out_of_range"


def test_a_late_scan_is_counted_and_the_value_still_known() -> None:
    scans = [(gid("a.x"), at(4 * i), 1 if i == 6 else 0) for i in range(20) if i != 5]
    samples = [(SERIES["a.x"], at(0), 1.0, 0)]
    digest = msgspec.json.decode(digest_of([batch(samples, scans)]))
    line = next(x for x in digest["tags"] if x["name"] == "a.x")
    assert (line["known_s"], line["good"], line["missing"]) == (20.0, 19, 1)
    assert digest["coverage"]["devices"][0]["late"] == 1
    assert digest["coverage"]["devices"][0]["longest_gap_s"] == 0.0
