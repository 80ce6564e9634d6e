"""The gates themselves: what they must catch is caught."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_pytest(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run a test file under this project's conftest, in a process of its own."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (folder / "test_it.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_task_left_running_fails_the_test(tmp_path: Path) -> None:
    result = run_pytest(
        tmp_path,
        "import asyncio\nasync def test_leaks():\n    asyncio.create_task(asyncio.sleep(60), name='forgotten')\n",
    )
    assert result.returncode == 1, result.stdout
    assert "forgotten" in result.stdout


def test_task_of_a_fixture_that_stops_it_is_no_leak(tmp_path: Path) -> None:
    result = run_pytest(
        tmp_path,
        "import asyncio, contextlib, pytest\n"
        "@pytest.fixture\n"
        "async def server():\n"
        "    task = asyncio.create_task(asyncio.sleep(60))\n"
        "    yield task\n"
        "    task.cancel()\n"
        "    with contextlib.suppress(asyncio.CancelledError):\n"
        "        await task\n"
        "async def test_uses_it(server):\n"
        "    assert not server.done()\n",
    )
    assert result.returncode == 0, result.stdout


def test_thread_left_running_fails_the_test(tmp_path: Path) -> None:
    result = run_pytest(
        tmp_path,
        "import threading\n"
        "def test_leaks():\n"
        "    threading.Thread(target=threading.Event().wait, args=(5,), name='forgotten').start()\n",
    )
    assert result.returncode == 1, result.stdout
    assert "forgotten" in result.stdout


@pytest.mark.parametrize("script", ["scripts/test", ".ci/run", "scripts/install"])
def test_script_is_executable_and_parses(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_ci_runs_the_same_command_as_everybody() -> None:
    assert "../scripts/test" in (ROOT / ".ci/run").read_text()


def test_unknown_flag_is_a_usage_error() -> None:
    result = subprocess.run([ROOT / "scripts/test", "--unti"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--unti" in result.stderr


def test_missing_interpreter_is_said(tmp_path: Path) -> None:
    result = subprocess.run(
        [ROOT / "scripts/test"],
        env={**os.environ, "PYTHON": "python-that-is-missing"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "python-that-is-missing is missing" in result.stderr


@pytest.mark.parametrize(
    ("answers", "remedy"),
    [
        ('case "$*" in *version_info*) exit 1;; *) echo Python 3.9.2;; esac', "3.11 or newer is needed"),
        ('case "$*" in *ensurepip*) exit 1;; *) echo 3.11;; esac', "apt install python3-venv"),
    ],
)
def test_unfit_interpreter_is_said(tmp_path: Path, answers: str, remedy: str) -> None:
    python = tmp_path / "python-unfit"
    python.write_text(f"#!/bin/sh\n{answers}\n")
    python.chmod(0o755)
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    (checkout / "scripts/test").write_bytes((ROOT / "scripts/test").read_bytes())
    (checkout / "scripts/locked").mkdir()
    (checkout / "scripts/locked/dev.txt").touch()
    (checkout / "pyproject.toml").touch()
    result = subprocess.run(
        ["bash", checkout / "scripts/test"],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert remedy in result.stderr
