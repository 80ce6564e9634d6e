"""No way round a grant: what was not granted leaves no trace in the bytes, whatever the plant does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.buffer.records import Event, Loss
from agent.config.model import (
    DIGEST_SECTIONS,
    AudienceSection,
    CalendarSection,
    Configuration,
    EnterpriseSection,
    EquipmentSection,
    Inventory,
    StateSection,
)
from agent.digest.accumulate import Accumulator
from agent.digest.audience import EVERYTHING, NOT_GRANTED, View, view_of
from agent.digest.build import Known, conclude
from agent.digest.inputs import DigestInputs
from agent.digest.report import Digest, encode
from agent.digest.rollup import Place, rollup
from agent.digest.rollups import Kept
from agent.digest.spans import Rolled
from agent.digest.windows import Period
from tests.support.digest_plants import FACTS, SECOND, START, batch, configuration, device, ids, spec_of, tag

LENGTH = 600
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
PERIOD = Period(START, START + LENGTH * SECOND)
STATES = {"0": "off", "1": "standby", "2": "executing", "3": "fault"}
# Each machine has a device of its own, and all of them are on a shared meter as well.
MACHINES = ("lathe", "mill", "saw")
SHARED_DEVICE = "meter"
DAY_AND_NIGHT = CalendarSection(days=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), shifts=("00:00-24:00",))


def _tags(machine: str, sensitivity: int) -> list[Any]:
    return [
        tag(f"d-{machine}.state", 0, kind="state"),
        tag(f"d-{machine}.total", 1, kind="counter"),
        tag(f"d-{machine}.zone[0]", 2, sensitivity=sensitivity),
        tag(f"d-{machine}.zone[1]", 3),
        tag(f"d-{machine}.rare", 4),
    ]


def plant(sensitivity: int = 1, *, authorised: bool = False, share: list[str] | None = None) -> Configuration:
    devices = [device(f"d-{name}", _tags(name, sensitivity)) for name in MACHINES]
    devices.append(
        device(SHARED_DEVICE, [tag(f"{SHARED_DEVICE}.kw-{name}", at, unit="kW") for at, name in enumerate(MACHINES)])
    )
    everything = [each.series for one in devices for each in one.tags]
    return configuration(
        devices,
        share=everything if share is None else share,
        period=float(LENGTH),
        enterprise=EnterpriseSection(
            enterprise_authorised=authorised, inventory=Inventory(production_equipment=9, digital=4)
        ),
        equipment=[
            EquipmentSection(
                name=name,
                key_process=True,
                state=StateSection(tag=f"d-{name}.state", map=STATES),
                produced=f"d-{name}.total",
                power=f"{SHARED_DEVICE}.kw-{name}",
                sub_meters=tuple(each for each in MACHINES if each != name) if name == "lathe" else (),
                calendar=DAY_AND_NIGHT,
            )
            for name in MACHINES
        ],
    )  # fmt: skip


class Doing(msgspec.Struct, frozen=True):
    """What one machine does: its state and power in ten stretches, pieces in each, and troubles of its device."""

    states: tuple[int, ...] = (2,) * 10
    kw: tuple[int, ...] = (10,) * 10
    pieces: tuple[int, ...] = (5,) * 10
    broken: bool = False
    losses: int = 0


doings = st.builds(
    Doing,
    st.tuples(*[st.integers(0, 3)] * 10),
    st.tuples(*[st.integers(0, 90)] * 10),
    st.tuples(*[st.integers(0, 9)] * 10),
    st.booleans(),
    st.integers(0, 3),
)


def known(plan: Configuration, doing: Mapping[str, Doing]) -> tuple[Known, Kept]:
    series, groups = ids(plan)
    samples, scans, losses, events = [], [], [], []
    for name, does in doing.items():
        values = {
            "state": [float(each) for each in does.states],
            "total": [float(sum(does.pieces[: at + 1])) for at in range(10)],
            "zone[0]": [100.0 + each for each in does.kw],
            "zone[1]": [200.0 + each for each in does.kw],
            "rare": [7.0, 8.0],
        }
        for own, column in values.items():
            tag_name = f"d-{name}.{own}"
            if tag_name in series:
                quality = 128 if does.broken and own != "state" else 0
                samples += [
                    (series[tag_name], START + at * 60 * SECOND, each, quality) for at, each in enumerate(column)
                ]
        samples += [(series[f"{SHARED_DEVICE}.kw-{name}"], START + at * 60 * SECOND, float(each), 0)
                    for at, each in enumerate(does.kw)]  # fmt: skip
        losses += [
            Loss(START + at, START + at + 1, "shed_cap", f"d-{name}", f"d-{name}.total", count=3)
            for at in range(does.losses)
        ]
        events += [Event(START + 5, "disconnect", f"d-{name}")] * does.losses
    scans = [(number, START + each * SECOND, 0) for number in groups.values() for each in range(LENGTH)]
    spec = spec_of(plan)
    accumulator = Accumulator(spec, PERIOD)
    accumulator.add(batch(samples, scans))
    inputs = DigestInputs(
        period=PERIOD, spec=spec, enterprise=plan.file.enterprise, facts=FACTS, events=events,
        losses=[*losses, Loss(START, START + 1, "digest_rejected", count=1)],
    )  # fmt: skip
    return conclude(inputs, accumulator.result())


grants = st.builds(
    AudienceSection,
    name=st.just("park"),
    url=st.just("platform"),
    sections=st.lists(st.sampled_from(DIGEST_SECTIONS), min_size=1, unique=True).map(tuple),
    equipment=st.lists(st.sampled_from(MACHINES), unique=True, max_size=2).map(tuple),
    tags=st.lists(
        st.sampled_from([f"d-{name}.{own}" for name in MACHINES for own in ("zone", "zone[1]", "rare", "state")]),
        unique=True,
        max_size=3,
    ).map(tuple),
)


def day_of(plan: Configuration, kept: Kept, view: View) -> Digest:
    span = Period(START, START + LENGTH * SECOND)
    place = Place(1, "period", PERIOD.start, PERIOD.end)
    return rollup(Rolled(2, span), [(place, kept.sums)], [place], [kept.sums], FACTS, plan, view)[0]


def words(value: Any) -> set[str]:
    """All that is written in a digest: names and texts."""
    if isinstance(value, dict):
        return {*value, *(word for each in value.values() for word in words(each))}
    if isinstance(value, list):
        return {word for each in value for word in words(each)}
    return {value} if isinstance(value, str) else set()


@settings(PATIENT, max_examples=20)
@given(grants, st.fixed_dictionaries(dict.fromkeys(MACHINES, doings)), st.data())
def test_what_was_not_granted_changes_no_byte_and_is_not_named(
    grant: AudienceSection, doing: dict[str, Doing], data: st.DataObject
) -> None:
    plan, view = plant(), view_of(grant)
    hidden = [name for name in MACHINES if name not in grant.equipment]
    # Tags are granted by themselves: those of hidden machines must not differ.
    free = [name for name in hidden if not any(each.startswith(f"d-{name}.") for each in grant.tags)]
    other = doing | {name: data.draw(doings) for name in free}
    first, kept = known(plan, doing)
    second, kept_too = known(plan, other)
    # The shared meter is read for granted machines, too: its samples count, whoever they are of; none are missing.
    assert encode(first.told(view)) == encode(second.told(view))
    assert encode(day_of(plan, kept, view)) == encode(day_of(plan, kept_too, view))
    for made in (first.told(view), day_of(plan, kept, view)):
        said = words(json.loads(encode(made)))
        for name in hidden:
            # A tag that is granted by itself names its machine's device; nothing else does.
            granted = {each.partition("[")[0] for each in grant.tags if name in each}
            mentions = {word.partition("[")[0] for word in said if name in word}
            assert mentions <= granted | ({f"d-{name}"} if granted else set())
    sections = {*json.loads(encode(first.told(view)))} - {
        "schema", "kind", "header", "granted", "findings_assessed", "tables", "rules"
    }  # fmt: skip
    assert sections <= {*grant.sections}
    assert ("findings" in grant.sections) == ("rules" in json.loads(encode(first.told(view))))


@settings(PATIENT, max_examples=20)
@given(
    grants,
    st.integers(1, 3),
    st.booleans(),
    st.sets(st.sampled_from(["d-lathe.zone", "d-lathe.zone[1]", "d-mill.zone[0]", "d-saw.rare"])),
)
def test_a_grant_never_adds_to_what_may_leave(
    grant: AudienceSection, sensitivity: int, authorised: bool, share: set[str]
) -> None:
    plan = plant(sensitivity, authorised=authorised, share=sorted(share))
    first, _ = known(plan, {name: Doing() for name in MACHINES})
    everything = {line.name: line for line in first.told(EVERYTHING).tags or ()}
    told = first.told(view_of(grant))
    for line in told.tags or ():
        assert line == everything[line.name] and (line.name in grant.tags or line.name.partition("[")[0] in grant.tags)
        assert line.name in share or line.name.partition("[")[0] in share
        assert sensitivity == 1 or (authorised and sensitivity == 2) or not line.name.endswith("zone[0]")
        if line.name.endswith(".rare"):  # two good scans are no aggregate
            assert (line.mean, line.min, line.max, line.reason) == (None, None, None, "insufficient_data")


def test_totals_are_over_granted_machines_and_the_plants_are_withheld() -> None:
    plan = plant()
    doing = {"lathe": Doing(pieces=(9,) * 10), "mill": Doing(pieces=(1,) * 10), "saw": Doing()}
    first, _ = known(plan, doing)
    some = first.told(View("park", frozenset(DIGEST_SECTIONS), frozenset({"mill"}), frozenset()))
    assert [line.name for line in some.equipment or ()] == ["mill"]
    assert [line.name for line in some.coverage.devices] == ["d-mill", SHARED_DEVICE]
    assert some.coverage.total.expected == sum(line.expected for line in some.coverage.devices)
    assert (some.coverage.inventory.total, some.coverage.inventory.configured) == (None, 2)
    lines = {line.code: line for line in some.indicators}
    assert (lines["MIIT24.NET_RATE"].value, lines["MIIT24.NET_RATE"].reason) == (None, NOT_GRANTED)
    whole = first.told(EVERYTHING)
    assert {line.code: line for line in whole.indicators}["MIIT24.NET_RATE"].numerator == 3.0
    assert "unmonitored_equipment" in {line.rule for line in whole.findings}
    assert "unmonitored_equipment" not in {line.rule for line in some.findings}
    assert (some.header.config_hash, some.header.revision, some.header.audience) == ("", 0, "park")
    assert some.granted.equipment == ("mill",)
    all_of_them = first.told(View("park", frozenset(DIGEST_SECTIONS), None, None))
    assert (all_of_them.equipment, all_of_them.indicators) == (whole.equipment, whole.indicators)


def test_a_main_meter_is_not_compared_for_whom_a_meter_behind_it_is_hidden() -> None:
    first, _ = known(plant(), {name: Doing() for name in MACHINES})
    for machines, compared in ((frozenset({"lathe"}), False), (frozenset(MACHINES), True)):
        told = first.told(View("park", frozenset(DIGEST_SECTIONS), machines, frozenset()))
        line = next(line for line in told.equipment if line.name == "lathe")
        assert ("sub_meters" in json.loads(encode(told))["equipment"][0]["energy"]) == compared, line


def test_each_chains_troubles_are_told_in_that_chain() -> None:
    plan, spec = plant(), spec_of(plant())
    losses = [
        Loss(1, 2, "digest_rejected", count=1),
        Loss(1, 2, "head_ahead", count=4, stream="park"),
        Loss(1, 2, "digest_shed", count=1, stream="owner"),
        Loss(1, 2, "shed_cap", count=500),
        Loss(1, 2, "retention", "d-mill", "d-mill.total", count=7),
        Loss(1, 2, "retention", "d-saw", "d-saw.total", count=9),
    ]
    park = View("park", frozenset(DIGEST_SECTIONS), frozenset({"mill"}), frozenset())
    assert [(each.cause, each.device, each.series, each.count) for each in park.losses(losses, spec)] == [
        ("head_ahead", "", "", 4),
        ("shed_cap", "", "", 0),
        ("retention", "d-mill", "", 7),
    ]
    assert [each.cause for each in EVERYTHING.losses(losses, spec)] == [
        "digest_rejected",
        "shed_cap",
        "retention",
        "retention",
    ]
    assert plan.file.audience == ()
