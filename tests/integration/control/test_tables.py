"""Tables of indicators and findings that the platform sends: applied, proven and rolled back as all it sends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.app import Agent
from agent.control.toml import write_toml
from agent.digest.tables import own_findings
from tests.support.control_agent import HOLE, Plant, a_plant, running, stands

OWN = {"indicators": "gongfu.indicators/2", "findings": own_findings().name}


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    async with a_plant(tmp_path) as plant:
        yield plant


def table(version: int, below: float, measure: str = "good_share") -> str:
    """One rule, on every device: good samples below a share of what was expected."""
    texts = {"en": "x", "zh": "某"}
    limit = {"measure": measure, "below": below, "level": "warn"}
    rule = {"id": "park_gap", "measured_by": "evidence_gap", "number": 2, "version": version, "scope": "device",
            "window": "day", "limits": [limit], "title": texts, "action": texts}  # fmt: skip
    return write_toml({"digest": {"findings": {"name": f"park/{version}", "least_coverage": 0.8, "rules": [rule]}}})


async def judged(agent: Agent) -> tuple[dict[str, str], list[str]]:
    """The tables that the running period follows, and the rules that found something."""
    digest: dict[str, Any] = json.loads(await agent.digests.preview())
    return digest["tables"], [each["rule"] for each in digest["findings"] if each["status"] == "found"]


async def test_a_table_from_the_platform_changes_what_is_found(plant: Plant) -> None:
    async with running(plant) as agent:
        before = agent.configuration.hash
        assert (await judged(agent))[0] == OWN
        assert await agent.control.offer(plant.bundle(7, table(1, below=2.0))) is None
        assert stands(agent.control) == ("APPLIED", 7, 7) and agent.configuration.hash != before
        tables, found = await judged(agent)
        assert tables == {**OWN, "findings": "park/1"} and found == ["park_gap", "park_gap"]
        # Another threshold, nothing else: another hash, and nothing is found.
        first = agent.configuration.hash
        assert await agent.control.offer(plant.bundle(8, table(2, below=0.0))) is None
        assert agent.configuration.hash not in (before, first)
        assert await judged(agent) == ({**OWN, "findings": "park/2"}, [])
    async with running(plant) as agent:  # it outlives a restart
        assert (await judged(agent))[0]["findings"] == "park/2"


async def test_a_broken_table_is_refused_and_digests_go_on(plant: Plant) -> None:
    async with running(plant) as agent:
        assert await agent.control.offer(plant.bundle(7, table(1, below=2.0))) is None
        refusal = await agent.control.offer(plant.bundle(8, table(2, below=2.0, measure="good_shore")))
        assert refusal is not None and refusal.code == "invalid"
        assert 'rules[0].limits[0].measure: "good_shore" is no measure of this rule; did you mean' in refusal.text
        assert stands(agent.control) == ("FAILED", 7, 8)
        assert await judged(agent) == ({**OWN, "findings": "park/1"}, ["park_gap", "park_gap"])


async def test_a_table_comes_and_goes_with_the_revision_that_it_is_part_of(plant: Plant) -> None:
    async with running(plant) as agent:
        wrong = plant.press(HOLE) + table(1, below=2.0)
        refusal = await agent.control.offer(plant.bundle(7, wrong))
        assert refusal is not None and refusal.code == "dry_run_failed"
        assert (await judged(agent))[0] == OWN
        assert await agent.control.offer(plant.bundle(8, table(1, below=2.0))) is None
        assert await agent.control.roll_back(0) is None
        assert (await judged(agent))[0] == OWN


async def test_a_table_needs_what_the_local_file_allows_and_names_no_file(plant: Plant) -> None:
    async with running(plant) as agent:
        refusal = await agent.control.offer(plant.bundle(7, '[digest]\nfindings_file = "/etc/shadow"\n'))
        assert refusal is not None and "findings_file: names a path" in refusal.text
    plant.config.write_text(plant.config.read_text().replace('["device", "digest"]', '["device"]'))
    async with running(plant) as agent:
        refusal = await agent.control.offer(plant.bundle(8, table(1, below=2.0)))
        assert refusal is not None and refusal.code == "sections_not_allowed"
        assert (await judged(agent))[0] == OWN
