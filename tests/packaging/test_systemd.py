"""The installation in a booted Debian with a real systemd; needs root, so only when asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SKIPPED = 77


@pytest.mark.systemd
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_installation_under_systemd(suite: str) -> None:
    check = Path(__file__).with_name("nspawn_check")
    result = subprocess.run([check, suite], capture_output=True, text=True, check=False)
    print(result.stdout, result.stderr)
    if result.returncode == SKIPPED:
        pytest.skip(result.stdout.strip().splitlines()[-1])
    assert result.returncode == 0
