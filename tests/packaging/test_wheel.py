"""What is tested is what is shipped: the installed wheel, complete and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHEEL = os.environ.get("GONGFU_EDGE_INSTALLED_WHEEL", "")

pytestmark = pytest.mark.skipif(not WHEEL, reason="no wheel is installed: run ./scripts/test")


@pytest.mark.parametrize("package", ["agent", "drivers"])
def test_tests_run_against_the_installed_wheel(package: str) -> None:
    module = __import__(package)
    assert Path(module.__file__).is_relative_to(sysconfig.get_path("purelib"))


def test_so_do_the_processes_that_tests_start() -> None:
    code = "import agent, scripts.sandbox; print(agent.__file__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(result.stdout.strip()).is_relative_to(sysconfig.get_path("purelib"))


def test_wheel_holds_the_two_packages_and_nothing_else() -> None:
    with zipfile.ZipFile(WHEEL) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"agent", "drivers", f"gongfu_edge-{metadata.version('gongfu-edge')}.dist-info"}


def test_wheel_holds_every_file_of_the_packages() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "agent", "drivers"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    with zipfile.ZipFile(WHEEL) as wheel:
        missing = {name for name in listed if (ROOT / name).exists()} - set(wheel.namelist())
    assert not missing


def test_command_is_installed_and_tells_its_version() -> None:
    command = Path(sysconfig.get_path("scripts")) / "gongfu-edge"
    result = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert metadata.version("gongfu-edge") in result.stdout


def test_start_imports_nothing_heavy() -> None:
    heavy = ["numpy", "pymodbus", "aiohttp", "aiosqlite", "requests", "psutil", "joserfc", "asyncua"]
    code = f"import sys, agent.cli.main; print(*(name for name in {heavy} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
