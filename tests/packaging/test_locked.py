"""What is installed is what was locked: the same packages on every machine, on every day."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.requirements import Requirement

from agent.digest.report import schema_text
from scripts.locked.newest import requirements

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ROOT / "scripts/locked"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OF_SET = {
    "runtime": PROJECT["project"]["dependencies"],
    "report": PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["report"],
    "build": PROJECT["dependency-groups"]["build"],
    "demo": PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["platform"],
    "dev": PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"],
    "lock": PROJECT["dependency-groups"]["lock"],
}


def entries(name: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each package of a set with its hashes."""
    text = re.sub(r"^#.*\n", "", (LOCKED / f"{name}.txt").read_text(encoding="utf-8"), flags=re.M)
    for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " ").strip()):
        head, *hashes = entry.split("--hash=sha256:")
        yield Requirement(head), [each.strip() for each in hashes]


def all_direct() -> list[str]:
    return sorted({each for group in OF_SET.values() for each in group})


@pytest.mark.parametrize("requirement", all_direct())
def test_n0_every_direct_dependency_has_a_floor_and_a_ceiling(requirement: str) -> None:
    operators = {each.operator for each in Requirement(requirement).specifier}
    assert operators == {">=", "<"}, requirement


@pytest.mark.parametrize("name", sorted(OF_SET))
def test_n0_every_set_holds_what_is_asked_for_with_hashes(name: str) -> None:
    locked = {(each.name, str(next(iter(each.specifier)).version)): hashes for each, hashes in entries(name)}
    assert all(hashes and all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes) for hashes in locked.values())
    for wanted in map(Requirement, OF_SET[name]):
        versions = [version for package, version in locked if package == wanted.name]
        assert versions, f"{wanted.name} is not in {name}.txt → ./scripts/lock"
        assert all(version in wanted.specifier for version in versions), f"{wanted} → ./scripts/lock --upgrade"


def test_n0_sets_agree_with_each_other() -> None:
    versions: dict[tuple[str, str], set[str]] = {}
    for name in ("runtime", "report", "build", "demo", "dev"):
        for each, _ in entries(name):
            versions.setdefault((each.name, str(each.marker)), set()).add(str(each.specifier))
    assert {key: found for key, found in versions.items() if len(found) > 1} == {}


@pytest.mark.skipif(".newest" in sys.prefix, reason="./scripts/test --newest installs other versions on purpose")
@pytest.mark.skipif("GONGFU_EDGE_INSTALLED_WHEEL" not in os.environ, reason="not installed by ./scripts/test")
def test_n0_what_is_installed_here_is_what_is_locked() -> None:
    wanted = {each.name: str(each.specifier) for each, _ in entries("dev") if not each.marker or each.marker.evaluate()}
    assert {name: f"=={metadata.version(name)}" for name in wanted} == wanted


def test_n0_schema_does_not_depend_on_how_msgspec_indents_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    published = schema_text()
    made = msgspec.json.schema

    def indented(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                key: each.replace("\n", "\n    ") if key == "description" and isinstance(each, str) else indented(each)
                for key, each in part.items()
            }
        return [indented(each) for each in part] if isinstance(part, list) else part

    assert indented(made(_Documented)) != made(_Documented)
    monkeypatch.setattr(msgspec.json, "schema", lambda of: indented(made(of)))
    assert schema_text() == published


class _Documented(msgspec.Struct):
    """Two
    lines."""


def test_newest_versions_have_floors_and_no_ceilings() -> None:
    assert not [each for each in requirements() if "<" in each or ">=" not in each]


def test_n23_without_network_the_installer_says_so_in_one_line(tmp_path: Path) -> None:
    # The installer's own function with a real pip; only its last line, which runs everything, is left out.
    script = (ROOT / "scripts/install").read_text(encoding="utf-8").replace('\nmain "$@"', "")
    (tmp_path / "install").write_text(
        script
        + f"\nsaved={tmp_path}\nmkdir -p {tmp_path}/venv/bin\nln -s {sys.executable} {tmp_path}/venv/bin/python\n"
        f"pip_install {tmp_path}/venv --target {tmp_path}/t --require-hashes -r {LOCKED}/lock.txt\n"
    )
    result = subprocess.run(
        ["bash", tmp_path / "install"],
        env={"PATH": os.environ["PATH"], "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "no package index can be reached" in line
    assert "--wheels" in line
