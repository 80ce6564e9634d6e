"""``./scripts/bench`` runs to its end, all measurements in one run, as its help says; the figures are not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.sandbox.bench.__main__ import LONG, Bench
from scripts.sandbox.bench.process import agent

ROOT = Path(__file__).parents[3]
NAMES = [name for name in vars(Bench) if not name.startswith("_")]
OF_C = {"ten_thousand", "flat_out", "two_thousand", "start", "many_devices"}
"""Measured against libmodbus' server."""
HAS_LIBMODBUS = Path("/usr/include/modbus/modbus.h").exists()


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "scripts.sandbox.bench", "--seconds", "1", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


SIMULATED = """[[device]]
name = "s"
driver = "simulated"
[[device.tag]]
name = "a"
address = "sine:10,20,60"
"""


def has_wheel() -> bool:
    return (Path(sys.executable).parent / "gongfu-edge").exists()


@pytest.mark.skipif(not has_wheel(), reason="no wheel is installed: run ./scripts/test")
def test_n26_two_measurements_may_name_their_folder_alike(tmp_path: Path) -> None:
    good = []
    for _ in range(2):
        with agent(tmp_path / "many", SIMULATED) as running:
            good.append(running.status()["devices"][0]["good"])
    assert good == [1, 1]


@pytest.mark.soak
@pytest.mark.skipif(not has_wheel(), reason="no wheel is installed: run ./scripts/test")
@pytest.mark.timeout(1200)
def test_n26_every_measurement_runs_to_its_end_in_one_run(tmp_path: Path) -> None:
    names = [name for name in NAMES if HAS_LIBMODBUS or name not in OF_C]
    done = bench(tmp_path, *(names if not HAS_LIBMODBUS else []))
    assert done.returncode in (0, 1), done.stderr  # 1: a second is too short for some bounds
    assert "Traceback" not in done.stderr
    rows = json.loads((tmp_path / ".bench" / "result.json").read_text())
    assert len({row["what"] for row in rows}) == len(rows) >= len(names) - len(LONG)
    if HAS_LIBMODBUS:
        assert "left out: opcua_soak → --seconds 1800, or by name" in done.stdout


def test_n26_an_unknown_measurement_is_a_usage_error(tmp_path: Path) -> None:
    assert bench(tmp_path, "opcua_soka").returncode == 2
