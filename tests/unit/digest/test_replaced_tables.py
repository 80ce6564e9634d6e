"""What a table of the configuration's own changes in digests; and that its words are what is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.config.digest_tables import FindingTable, IndicatorTable, Limit, Row, Rule, Texts
from agent.config.model import EnterpriseSection
from agent.config.problems import Problems
from agent.config.table_checks import check_findings, check_indicators
from agent.config.vocabulary import FIGURES, INPUTS, KPIS, MEASURES
from agent.digest.build import build
from agent.digest.equipment.kpi import kpis
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.sums import MachineSums
from agent.digest.indicators import figures
from agent.digest.inputs import DigestInputs
from agent.digest.measures import OF_DEVICES, OF_MACHINES, view
from agent.digest.report import Digest
from agent.digest.rollups import DeviceSums, Sums
from agent.digest.spec import DigestSpec
from agent.digest.tables import own_findings, own_indicators
from agent.disclosure.sharing import Policy
from tests.support.digest_plants import scenario

SHIFT = Path(__file__).parents[2] / "testcases" / "digest-findings-shift"
TEXTS = Texts(en="x", zh="某")
BUSY = MachineSums(
    span_us=3_600_000_000, states={"executing": 3_600_000_000}, calendar=True, planned_us=3_600_000_000,
    apt_us=1_000_000, aust_us=1_000_000, adet_us=1_000_000, micro_us=1, failures=1, repair_us=1, between_us=1,
    produced=10.0, good=9.0, scrap=1.0, rework=1.0, ideal_us=1.0, energy_basis="counter", kwh=1.0, idle_kwh=0.5,
    joined_kwh=1.0, energy_known_us=3_600_000_000, executing_kwh=0.5, executing_power_us=1_000_000, demand_kw=2.0,
    minutes=((300, 1),), compared_us=1, compared_kwh=1.0, sub_kwh=0.5,
    both_us=1, both_counter_kwh=1.0, both_power_kwh=1.0,
)  # fmt: skip


def judged(table: FindingTable) -> Digest:
    inputs: DigestInputs = scenario(SHIFT)[0]
    return build(replace(inputs, spec=replace(inputs.spec, findings=table)))


def rule(identity: str, above: float, **changes: object) -> Rule:
    limit = Limit(measure="idle_share", level="warn", above=above)
    given = {
        "number": 5,
        "version": 7,
        "scope": "machine",
        "window": "week",
        "title": TEXTS,
        "action": TEXTS,
        **changes,
    }
    return Rule(id=identity, limits=(limit,), **given)  # type: ignore[arg-type]


def test_a_threshold_of_the_table_decides_what_is_found() -> None:
    # The machine idles for 20.9 % of its energy.
    found = judged(FindingTable(name="park/1", least_coverage=0.8, rules=(rule("idle_energy", 0.208),)))
    assert not isinstance(found.findings, type(None))
    (line,) = found.findings  # type: ignore[misc]
    assert (line.rule, line.version, line.threshold, line.level) == ("idle_energy", 7, 0.208, "warn")
    assert found.tables == {"indicators": own_indicators().name, "findings": "park/1"}
    none = judged(FindingTable(name="park/2", least_coverage=0.8, rules=(rule("idle_energy", 0.21),)))
    assert none.findings == () and none.findings_assessed == {"idle_energy": 1}


def test_rules_may_share_what_they_measure() -> None:
    table = FindingTable(
        name="park/1",
        least_coverage=0.8,
        rules=(
            rule("idle_much", 0.15, measured_by="idle_energy"),
            rule("idle_very_much", 0.5, measured_by="idle_energy"),
        ),
    )
    problems = Problems()
    check_findings(table, "f.json", problems)
    assert problems.lines == ()
    found = judged(table)
    assert [line.rule for line in found.findings] == ["idle_much"]  # type: ignore[union-attr]
    assert found.findings_assessed == {"idle_much": 1, "idle_very_much": 1}


def test_indicators_follow_the_table() -> None:
    row = Row(code="PARK.LINKED", basis="measured", standard="ours", numerator="links_collected", denominator="links")
    table = IndicatorTable(name="park.indicators/1", protocols=(), links={"e": ("energy",), "s": ()}, rows=(row,))
    inputs = scenario(SHIFT)[0]
    found = build(replace(inputs, spec=replace(inputs.spec, indicators=table)))
    (line,) = found.indicators  # type: ignore[misc]
    assert (line.code, line.value, line.numerator, line.denominator) == ("PARK.LINKED", 0.5, 1.0, 2.0)


def test_the_agents_own_tables_are_sound_but_for_their_names() -> None:
    problems = Problems()
    check_findings(own_findings(), "findings.json", problems)
    check_indicators(own_indicators(), "indicators.json", problems)
    assert len(problems.lines) == 2 and all("calls its own tables" in line for line in problems.lines)


def test_the_vocabulary_is_what_the_digest_makes() -> None:
    of = {scope: {name for name, (its, _) in MEASURES.items() if its == scope} for scope in ("machine", "device")}
    assert of == {"machine": set(OF_MACHINES), "device": set(OF_DEVICES)}
    for complete in (False, True):
        machine = MachineSpec(name="m", key_process=False, contract_kw=1.0, sub_meters_complete=complete)
        found = view(machine, BUSY, BUSY)
        for name, measure in OF_MACHINES.items():
            left = {"missing_share", "unmetered_share"} if name == "sub_meters" else set()
            assert set(MEASURES[name][1]) - left == measure(found).keys() - left, name
            assert measure(found).keys() <= set(MEASURES[name][1])
    for name, of_device in OF_DEVICES.items():
        assert set(MEASURES[name][1]) == of_device(DeviceSums(expected=1, good=1)).keys()
    assert {each.code for each in kpis(BUSY)} == set(KPIS)
    nothing = np.empty(0, np.int32)
    spec = DigestSpec(devices=(), groups=(), series=nothing, group=nothing, shared=(),
                      policy=Policy(share=frozenset(), enterprise_authorised=False))  # fmt: skip
    assert figures(spec, EnterpriseSection(), Sums(start=0, end=1, covered_us=1)).keys() == set(FIGURES)
    assert {word for words in own_indicators().links.values() for word in words} <= set(INPUTS)
