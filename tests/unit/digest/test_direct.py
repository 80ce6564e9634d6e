"""What was measured period by period adds up to what is measured at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.model import CalendarSection, EnterpriseSection, EquipmentSection, StateSection
from agent.digest.accumulate import Accumulator
from agent.digest.build import conclude
from agent.digest.equipment.sums import MachineSums
from agent.digest.equipment.times import Carry
from agent.digest.inputs import DigestInputs
from agent.digest.rollups import Kept, total
from agent.digest.windows import Period
from tests.support.digest_plants import FACTS, SECOND, START, batch, configuration, device, ids, spec_of, tag

MINUTE = 60 * SECOND
HALF = MINUTE // 2
QUARTERS = 6
TICKS = QUARTERS * 30
"""Half minutes of an hour and a half; all tags are written in full at each, as the recorder does."""
NAMES = ("p.state", "p.total", "p.good", "p.kw")
PRESS = EquipmentSection(
    name="press",
    state=StateSection(tag="p.state", map={"0": "off", "1": "standby", "2": "executing", "3": "fault", "4": "setup"}),
    produced="p.total",
    good="p.good",
    power="p.kw",
    calendar=CalendarSection(
        days=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), shifts=("00:00-00:00",), breaks=("22:40-22:55",)
    ),
)
PLANT = configuration(
    [
        device(
            "p",
            [tag("p.state", 0, kind="state"), tag("p.total", 1, kind="counter"), tag("p.good", 2, kind="counter"),
             tag("p.kw", 3, unit="kW")],
            10.0,
        )
    ],
    equipment=[PRESS],
)  # fmt: skip
SERIES, GROUPS = ids(PLANT)
APPROXIMATE = ("kwh", "idle_kwh", "joined_kwh", "executing_kwh", "peak_kw", "demand_kw", "produced", "good")
"""Floats: added in another order."""


def concluded(rows: Sequence[tuple[int, int, int, int]], period: Period, carries: Mapping[str, Carry]) -> Kept:
    """``rows``: state, pieces since the row before, good ones of them, kW; one each half minute from ``START``."""
    pieces = list(itertools.accumulate(row[1] for row in rows))
    good = list(itertools.accumulate(min(row[1], row[2]) for row in rows))
    columns = ([row[0] for row in rows], pieces, good, [row[3] for row in rows])
    samples = [
        (SERIES[name], START + tick * HALF, float(column[tick]), 0)
        for name, column in zip(NAMES, columns, strict=True)
        for tick in range(len(rows))
    ]
    scans = [(number, START + each * HALF // 3, 0) for number in GROUPS.values() for each in range(3 * len(rows))]
    spec = spec_of(PLANT)
    inputs = DigestInputs(period=period, spec=spec, enterprise=EnterpriseSection(), facts=FACTS, carries=carries)
    accumulator = Accumulator(spec, period)
    accumulator.add(batch(samples, scans))
    return conclude(inputs, accumulator.result())[1]


rows = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 2, 3, 4]), st.integers(0, 9), st.integers(0, 9), st.integers(0, 40)),
    min_size=TICKS // 10,
    max_size=TICKS // 10,
).map(lambda some: [row for row in some for _ in range(10)])


@given(rows, st.sets(st.integers(1, QUARTERS - 1)))
@settings(max_examples=40, deadline=None)
def test_periods_add_up_to_the_whole(recorded: list[tuple[int, int, int, int]], cuts: set[int]) -> None:
    end = START + QUARTERS * 15 * MINUTE
    whole = concluded(recorded, Period(START, end), {})
    edges = [START, *(START + each * 15 * MINUTE for each in sorted(cuts)), end]
    parts: list[Kept] = []
    for first, last in itertools.pairwise(edges):
        parts.append(concluded(recorded, Period(first, last), parts[-1].carries if parts else {}))
    added = total(each.sums for each in parts)
    assert added is not None
    assert parts[-1].carries == whole.carries
    assert (added.start, added.end, added.covered_us) == (START, end, end - START)
    assert added.devices == whole.sums.devices
    assert _comparable(added.machines["press"]) == _comparable(whole.sums.machines["press"])
    for name in APPROXIMATE:
        found, expected = (getattr(each.machines["press"], name) for each in (added, whole.sums))
        assert found == pytest.approx(expected), name
    machine = added.machines["press"]
    elements = (machine.apt_us, machine.aust_us, machine.adet_us, machine.adot_us, machine.unknown_us)
    assert sum(elements) == machine.planned_us == end - START - 15 * MINUTE
    assert sum(machine.states.values()) == machine.span_us == end - START


def _comparable(sums: MachineSums) -> dict[str, object]:
    kept = msgspec.structs.asdict(sums)
    # That a counter did not move is a remark on a period.
    return {name: value for name, value in kept.items() if name not in (*APPROXIMATE, "flags")}
