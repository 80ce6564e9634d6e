"""Scenarios worked by hand, one data folder each; the README in each folder shows the working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.digest.build import build
from agent.digest.report import encode
from tests.support.digest_plants import scenario

FOLDERS = sorted((Path(__file__).parents[2] / "testcases").glob("digest-*"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_scenario(folder: Path) -> None:
    inputs, expected = scenario(folder)
    digest = msgspec.json.decode(encode(build(inputs)))
    found: dict[str, Any] = {
        "tags": {line["name"]: line for line in digest["tags"]},
        "devices": {line["name"]: line for line in digest["coverage"]["devices"]},
        "total": digest["coverage"]["total"],
        "inventory": digest["coverage"]["inventory"],
        "ledger": digest["ledger"],
        "indicators": {line["code"]: line for line in digest["indicators"]},
        "baselines": {line["machine"]: line for line in digest["indicators"] if "machine" in line},
        "findings": {f"{line['rule']} {line['name']}".strip(): line for line in digest["findings"]},
        "rules": digest["rules"],
        "findings_assessed": digest["findings_assessed"],
        "equipment": {line["name"]: line for line in digest.get("equipment", [])},
    }
    assert _restricted(found, expected) == expected
    if "findings" in expected:
        assert found["findings"].keys() == expected["findings"].keys(), "no finding is invented"


WHOLE = ("seconds", "bad_causes", "drops", "ledger")


def _restricted(found: Any, like: Any, name: str = "") -> Any:
    # What a scenario does not speak of is not compared.
    if isinstance(like, dict) and isinstance(found, dict) and name not in WHOLE:
        return {key: _restricted(found.get(key, "absent"), value, key) for key, value in like.items()}
    return found
