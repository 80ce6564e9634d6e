"""F1: wherever counts enter a digest they follow the same path, across periods and however batches are cut."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.model import EnterpriseSection, EquipmentSection
from agent.digest.accumulate import Accumulator
from agent.digest.additive import disagreements
from agent.digest.audience import EVERYTHING
from agent.digest.build import build, conclude
from agent.digest.equipment.sums import ENERGY, MachineSums, add
from agent.digest.inputs import DigestInputs
from agent.digest.report import Digest
from agent.digest.rollups import Kept
from agent.digest.windows import Period
from tests.support.counter_histories import SECOND, History, follow, histories
from tests.support.digest_plants import FACTS, START, Sample, configuration, cut, device, ids, spec_of, tag
from tests.unit.digest.test_scenarios import FOLDERS, scenario

PLANT = configuration(
    [device("m", [tag("m.kwh", kind="counter", unit="kWh")])],
    share=["m.kwh"],
    equipment=[EquipmentSection(name="press", energy="m.kwh", produced="m.kwh")],
)
SERIES, GROUPS = ids(PLANT)


def recorded(made: History, borders: list[int]) -> list[Sample]:
    """As the recorder writes: changes, and every look next to a period's border."""
    samples: list[Sample] = []
    for number, look in enumerate(made.looks):
        full = number in borders or number + 1 in borders
        if full or not number or look != made.looks[number - 1]:
            quality = 129 if look is None else 0
            samples.append((SERIES["m.kwh"], START + number * SECOND, math.nan if look is None else look, quality))
    return samples


def digests(made: History, borders: list[int], cuts: set[int]) -> list[tuple[Digest, Kept]]:
    edges = [0, *borders, len(made.looks)]
    samples = recorded(made, edges)
    (group,) = GROUPS.values()
    scans = [(group, START + number * SECOND, 0) for number in range(len(made.looks))]
    found: list[tuple[Digest, Kept]] = []
    for begin, end in pairwise(edges):
        before = found[-1][1] if found else None
        inputs = DigestInputs(
            period=Period(START + begin * SECOND, START + end * SECOND), spec=spec_of(PLANT),
            enterprise=EnterpriseSection(), facts=FACTS,
            carries=before.carries if before else {}, paths=before.paths if before else {},
        )  # fmt: skip
        accumulator = Accumulator(inputs.spec, inputs.period, inputs.paths)
        for each in cut(samples, scans, [START + number * SECOND for number in cuts]):
            accumulator.add(each)
        known, kept = conclude(inputs, accumulator.result())
        kept = msgspec.json.decode(msgspec.json.encode(kept), type=Kept)
        found.append((known.told(EVERYTHING), kept))
    return found


@given(histories(), st.sets(st.integers(3, 60), max_size=3), st.sets(st.integers(1, 90), max_size=5))
@settings(max_examples=60, deadline=None)
def test_f1_shared_tags_and_machines_count_what_the_path_says(made: History, borders: set[int], cuts: set[int]) -> None:
    edges = sorted(each for each in borders if each < len(made.looks))
    made.top = None
    followers, _ = follow(made, edges, spec_of(PLANT).shared[0].rules)
    for follower, (digest, _) in zip(followers, digests(made, edges, cuts), strict=True):
        assert isinstance(digest.tags, tuple) and isinstance(digest.equipment, tuple)
        line, machine = digest.tags[0], digest.equipment[0]
        assert not isinstance(machine.energy, msgspec.UnsetType) and machine.energy is not None
        assert not isinstance(machine.pieces, msgspec.UnsetType)
        if follower.known:
            if line.reason is msgspec.UNSET:
                assert line.delta == pytest.approx(follower.count, abs=1e-9)
            assert machine.energy.kwh == pytest.approx(follower.count, abs=1e-6)
            assert machine.pieces.produced == pytest.approx(follower.count, abs=1e-9)
        else:
            assert (line.delta, machine.energy.kwh, machine.pieces.produced) == (None, None, None)
            assert line.reason == machine.energy.reason == "unexplained_step"
            assert machine.pieces.reasons == {"produced": "unexplained_step"}


def test_f1_what_one_period_does_not_know_the_day_does_not_know() -> None:
    one, two = MachineSums(produced=5.0, kwh=1.0), MachineSums(produced=7.0, kwh=2.0, unexplained={ENERGY: 1})
    assert add(one, two).unexplained == {ENERGY: 1}


def test_f1_a_sum_of_parts_is_null_exactly_where_one_of_them_is() -> None:
    (folder,) = [each for each in FOLDERS if each.name == "digest-counter-dip"]
    digest = build(scenario(folder)[0])
    assert disagreements(digest, [digest]) == []
    plain = msgspec.to_builtins(digest)
    plain["equipment"][0]["pieces"]["produced"] = 305.0
    del plain["equipment"][0]["pieces"]["reasons"]
    (problem,) = disagreements(msgspec.convert(plain, Digest), [digest])
    assert problem == "equipment.inverter.pieces.produced is a number, one of theirs is null"
