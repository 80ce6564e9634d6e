"""What was measured period by period adds up to what is measured at once."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.digest.equipment.sums import MachineSums
from agent.digest.rollups import Kept, total
from agent.digest.windows import Period
from tests.support.digest_plants import START
from tests.support.digest_press import MINUTE, QUARTERS, Row, concluded, rows

APPROXIMATE = (
    "kwh", "idle_kwh", "joined_kwh", "metered_kwh", "executing_kwh", "peak_kw", "demand_kw", "produced", "good",
)  # fmt: skip
"""Floats: added in another order, kWh of each period to the millionth."""


@given(rows, st.sets(st.integers(1, QUARTERS - 1)))
@settings(max_examples=40, deadline=None)
def test_periods_add_up_to_the_whole(recorded: list[Row], cuts: set[int]) -> None:
    end = START + QUARTERS * 15 * MINUTE
    whole = concluded(recorded, Period(START, end), {})[1]
    edges = [START, *(START + each * 15 * MINUTE for each in sorted(cuts)), end]
    parts: list[Kept] = []
    for first, last in itertools.pairwise(edges):
        parts.append(concluded(recorded, Period(first, last), parts[-1].carries if parts else {})[1])
    added = total(each.sums for each in parts)
    assert added is not None
    assert parts[-1].carries == whole.carries
    assert (added.start, added.end, added.covered_us) == (START, end, end - START)
    assert added.devices == whole.sums.devices
    assert _comparable(added.machines["press"]) == _comparable(whole.sums.machines["press"])
    for name in APPROXIMATE:
        found, expected = (getattr(each.machines["press"], name) for each in (added, whole.sums))
        assert found == pytest.approx(expected, abs=1e-6 * len(parts)), name
    machine = added.machines["press"]
    elements = (machine.apt_us, machine.aust_us, machine.adet_us, machine.adot_us, machine.unknown_us)
    assert sum(elements) == machine.planned_us == end - START - 15 * MINUTE
    assert sum(machine.states.values()) == machine.span_us == end - START


def _comparable(sums: MachineSums) -> dict[str, object]:
    kept = msgspec.structs.asdict(sums)
    # That a counter did not move is a remark on a period.
    return {name: value for name, value in kept.items() if name not in (*APPROXIMATE, "flags")}
