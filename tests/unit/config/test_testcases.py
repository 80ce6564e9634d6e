"""Each folder ``tests/testcases/config-*`` holds a configuration and the problems that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_driver import file_problems, use_plc

FOLDER = Path(__file__).parents[2] / "testcases"
CASES = sorted(path.name for path in FOLDER.glob("config-*"))


@pytest.mark.parametrize("case", CASES)
def test_all_problems_are_reported_at_once(case, monkeypatch):
    use_plc(monkeypatch)
    monkeypatch.chdir(FOLDER / case)
    found = file_problems(Path("config.toml"), PLC_PASSWORD="correct horse")
    assert "\n".join(found) == (FOLDER / case / "problems.txt").read_text().rstrip("\n")


def test_there_are_cases():
    assert len(CASES) >= 10
