"""What a default digest of 20 machines weighs on the wire, and that brevity costs no truth."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from agent.digest.build import build
from agent.digest.inputs import DigestInputs
from agent.digest.report import encode
from agent.uplink.transport import compress
from scripts.sandbox.bench.machines import SAMPLES, Plant

KB = 1_000
LIMIT = 12 * KB


@pytest.fixture(scope="module")
def usual() -> DigestInputs:
    inputs = Plant().inputs()
    return replace(inputs, batches=list(inputs.batches))


def test_a_usual_digest_keeps_within_its_limit(usual: DigestInputs) -> None:
    body = encode(build(usual))
    found = [each["status"] for each in json.loads(body)["findings"]]
    assert found.count("found") > 40, "a plant without findings would prove nothing"
    assert len(compress(body)) <= LIMIT


def test_a_first_day_with_nothing_known_yet_keeps_within_its_limit(usual: DigestInputs) -> None:
    body = encode(build(replace(usual, days=())))
    statuses = [each["status"] for each in json.loads(body)["findings"]]
    assert statuses.count("insufficient") > 100
    assert len(compress(body)) <= LIMIT


def test_the_worst_case_is_known() -> None:
    """Every rule finds something at every machine and device, on poor links."""
    body = encode(build(Plant(trouble=1).inputs()))
    assert sum(each["status"] == "found" for each in json.loads(body)["findings"]) > 220
    assert len(compress(body)) <= 16 * KB


def test_seconds_add_up_to_the_period_exactly(usual: DigestInputs) -> None:
    digest = json.loads(encode(build(usual)), parse_float=Decimal)
    assert len(digest["equipment"]) == 20
    for machine in digest["equipment"]:
        states: dict[str, Decimal] = machine["states"]
        assert sum(states.values()) == SAMPLES, machine["name"]
        times = dict(machine["times"])
        assert times.pop("pbt_s") == sum(times.values())
        assert states["unknown"] == times["unknown_s"] and states["executing"] == times["apt_s"]


def test_nothing_has_more_digits_than_it_means(usual: DigestInputs) -> None:
    digest = json.loads(encode(build(usual)), parse_float=Decimal)
    for machine in digest["equipment"]:
        for path, value in _numbers(machine):
            exponent = value.normalize().as_tuple().exponent
            assert isinstance(exponent, int)
            kwh = path[-1].endswith("kwh") or path[-1] in ("numerator", "denominator")
            if path[-1].endswith(("_s", "seconds")) or "states" in path:
                assert exponent >= -3, path
            elif kwh:
                assert exponent >= -6, path
            else:
                assert value == int(value) or len(value.normalize().as_tuple().digits) <= 6, path


def _numbers(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Decimal]]:
    if isinstance(value, dict):
        return [each for key, child in value.items() for each in _numbers(child, (*path, key))]
    return [(path, value)] if isinstance(value, Decimal) else []


def test_a_reader_can_make_every_kpi_from_the_members_beside_it(usual: DigestInputs) -> None:
    checked: set[str] = set()
    for machine in json.loads(encode(build(usual)))["equipment"]:
        lines, made = machine["kpis"], _made(machine)
        for code, line in lines.items():
            if line["value"] is not None:
                checked.add(code)
                assert made[code] == pytest.approx(line["value"], rel=2e-5), (machine["name"], code)
    assert {code.partition(".")[2] for code in checked} >= {"OEE", "NEE", "SETUP_RATE", "MTTR", "SEC", "LOAD_FACTOR"}


def _made(machine: dict[str, Any]) -> dict[str, float]:
    """As the schema says of a KPI line."""
    times, pieces, energy, failures = (machine[name] for name in ("times", "pieces", "energy", "failures"))
    working, planned = times["apt_s"] + times["aust_s"], times["pbt_s"] - times["unknown_s"]

    def ratio(top: float | None, bottom: float | None) -> float:
        return top / bottom if top is not None and bottom else float("nan")

    iso = {
        "AVAILABILITY": ratio(times["apt_s"], planned),
        "NEE_AVAILABILITY": ratio(working, planned),
        "EFFECTIVENESS": ratio(pieces["ideal_s"], times["apt_s"]),
        "QUALITY_RATIO": ratio(pieces["good"], pieces["produced"]),
        "SCRAP_RATIO": ratio(pieces["scrap"], pieces["produced"]),
        "UTILIZATION_EFFICIENCY": ratio(times["apt_s"], working + times["adet_s"]),
        "TECHNICAL_EFFICIENCY": ratio(times["apt_s"], times["apt_s"] + times["adet_s"]),
        "SETUP_RATE": ratio(times["aust_s"], working),
        "MTBF": ratio(failures["between_s"], failures["count"]),
        "MTTR": ratio(failures["repair_s"], failures["count"]),
    }
    for name, first in (("OEE", "AVAILABILITY"), ("NEE", "NEE_AVAILABILITY")):
        iso[name] = iso[first] * iso["EFFECTIVENESS"] * iso["QUALITY_RATIO"]
    return {f"ISO22400.{name}": value for name, value in iso.items()} | {
        "ENPI.SEC": ratio(energy["kwh"], pieces["good"]),
        "ENPI.IDLE_SHARE": ratio(energy["idle_kwh"], energy["joined_kwh"]),
        "ENPI.BASELOAD_RATIO": ratio(energy["baseload_kw"], energy["executing_kw"]),
        "ENPI.LOAD_FACTOR": ratio(energy["mean_kw"], energy["demand_kw"]),
    }
