"""What the installer puts on a gateway, as far as it can be seen without a booted system."""

from __future__ import annotations

import subprocess
from pathlib import Path

from agent.config.parse import loads

ROOT = Path(__file__).resolve().parents[2]


def first_configuration(hostname: str) -> str:
    script = (ROOT / "scripts/install").read_text(encoding="utf-8").replace('\nmain "$@"', "\nfirst_configuration")
    script = f"hostname() {{ printf '%s' '{hostname}'; }}\n{script}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_n24_the_first_configuration_is_valid_and_has_no_made_up_devices() -> None:
    configuration = loads(first_configuration("edge-7.local"), Path("config.toml"))
    assert configuration.file.gateway.name == "edge-7local"
    assert configuration.devices == ()


def test_n24_so_it_is_whatever_the_host_is_called() -> None:
    assert loads(first_configuration("网关"), Path("config.toml")).file.gateway.name == "gateway"


def test_n24_what_it_proposes_is_valid_too() -> None:
    _, _, proposal = first_configuration("edge").partition("put in your own:\n")
    proposed = [line.removeprefix("#") for line in proposal.splitlines()]
    (device,) = loads("\n".join(['[gateway]\nname = "g"', *proposed]), Path("config.toml")).devices
    assert [tag.series for tag in device.tags] == ["press-1.oil_temp"]
