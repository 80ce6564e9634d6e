"""What the platform is told fits the contract, changes when it matters, and gives nothing of the plant away."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agent.config.model import FileSection
from agent.config.parse import load
from agent.control.effective import effective
from agent.health.status import ConfigStatus, DigestStatus
from agent.platform_status import MOST_BYTES, essence, platform_status
from tests.support.health_status import DOWN, NOW, ClockNow, DeviceNow, status
from tests.support.platform_contract import CONTRACT, errors

SCHEMA = {"$ref": "#/components/schemas/Status"}
CONFIG = """
[gateway]
name = "shop"
[enterprise]
operator = "CT"
park = "hongkou-01"
chains = [{ name = "auto-parts", owner = "91350100M000100Y43" }]
[platform]
url = "https://platform.example/api/v1"
proxy = { file = "proxy.txt" }
[remote]
allow = [%s]
[digest]
period = "5m"
share = ["press-1.oil_temp"]
[[device]]
name = "press-1"
driver = "simulated"
interval = "1s"
tag = [%s]
"""


def file(folder: Path, allow: str = "", tags: int = 1) -> FileSection:
    (folder / "proxy.txt").write_text("http://edge:s3cret@10.0.0.1:3128")
    names = ["oil_temp", *(f"zone_{number}_temperature_of_the_furnace" for number in range(1, tags))]
    rows = ",".join(f'{{ name = "{name}", address = "sine:10,50,60", deadband = 0.25 }}' for name in names)
    (folder / "config.toml").write_text(CONFIG % (allow, rows))
    return load(folder / "config.toml").file


def told(folder: Path, *devices: DeviceNow, **changes: Any) -> dict[str, Any]:
    return platform_status(status(*devices, **changes), file(folder))


def test_it_fits_the_contract_and_has_every_part_of_it(tmp_path: Path) -> None:
    body = told(tmp_path, DeviceNow(), DOWN)
    assert errors(SCHEMA, json.loads(json.dumps(body))) == []
    assert set(CONTRACT["components"]["schemas"]["Status"]["properties"]) - set(body) == {"effective_config"}
    assert body["state"] == "UNSET" and body["running_hash"] == "ab" * 32 and body["attempted_hash"] == ""
    assert body["digests"] == {"head": 9, "pending": 1, "rejected": 0} and body["link"]["operator"] == "CT"
    assert body["affiliation"] == {"district": "", "town": "", "park": "hongkou-01", "chains": ["auto-parts"]}
    devices = body["health"]["components"]["devices"]
    assert devices["healthy"] is False and devices["status"] == "1 of 2 well"
    assert devices["components"]["meter-1"] == {
        "healthy": False, "status": "down", "good": 0, "bad": 8, "last_good": None,
    }  # fmt: skip


def test_no_address_and_no_error_text_of_a_device_is_in_it(tmp_path: Path) -> None:
    body = json.dumps(told(tmp_path, DeviceNow(), DOWN, dataclasses.replace(DOWN, name="x", faults=("holding:7",))))
    assert "192.168" not in body and "holding" not in body and "oil_temp" not in body


@pytest.mark.parametrize("allow", ['"digest"', '"device", "platform"', '"device", "equipment", "digest", "platform"'])
def test_only_allowed_sections_are_told_and_no_secret(tmp_path: Path, allow: str) -> None:
    body = platform_status(status(), file(tmp_path, allow), effective(file(tmp_path, allow)))
    assert errors(SCHEMA, json.loads(json.dumps(body))) == []
    assert set(body["effective_config"]) == {name for name in ("device", "digest", "platform") if name in allow}
    assert "s3cret" not in json.dumps(body)


def test_a_list_of_tags_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    long = file(tmp_path, '"device", "digest"', tags=5000)
    body = platform_status(status(), long, effective(long))
    assert body["effective_config"]["device"][0]["tag"] == "5000 tags, too many to list"
    assert len(json.dumps(body)) < MOST_BYTES and errors(SCHEMA, body) == []


def test_what_moves_all_the_time_is_no_news(tmp_path: Path) -> None:
    digests = DigestStatus(built=10, pending=0, accepted=10, rejected=0, last_accepted=None, last_seq=10)
    later = told(
        tmp_path, DeviceNow(good=11, late=9), now_us=NOW + 5_000_000, digests=digests, clock=ClockNow(offset_us=700)
    )
    assert essence(later) == essence(told(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"clock": ClockNow(trusted=False, source="none")},
        {"config": ConfigStatus(source="file", running_hash="cd" * 32)},
        {"digests": DigestStatus(built=9, pending=0, accepted=8, rejected=1, last_accepted=None, last_seq=9)},
        {"stalled": "no write to disk has ended for 200 s"},
        {"version": "0.2.0"},
    ],
)
def test_what_matters_is_news(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert essence(told(tmp_path, **changes)) != essence(told(tmp_path))
    assert essence(told(tmp_path, DeviceNow(), DOWN)) != essence(told(tmp_path, DeviceNow(), DeviceNow(name="meter-1")))


def test_L19_running_attempted_and_error_are_three_fields(tmp_path: Path) -> None:
    """After A, B fails and A runs again: B's failure stays visible, so that B is not offered for ever."""
    rolled_back = ConfigStatus(
        source="platform",
        running_hash="aa" * 32,
        attempted_hash="bb" * 32,
        status="FAILED",
        last_error="crashed: at 10.0.0.5:502",
    )
    body = told(tmp_path, config=rolled_back)
    assert errors(SCHEMA, body) == []
    assert (body["running_hash"], body["attempted_hash"]) == ("aa" * 32, "bb" * 32)
    assert (body["state"], body["last_error"]) == ("FAILED", "crashed")
