"""A status to show, healthy unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.buffer.records import Loss, Stats
from agent.health.host import Host
from agent.health.status import (
    ConfigStatus,
    DigestStatus,
    Status,
    UplinkStatus,
    assemble,
    buffer_status,
    ledger_status,
)

NOW = 1_795_500_000_000_000
"""2026-11-24T06:00:00Z."""


HOST = Host(
    cpu_percent=7.5,
    load_1m=0.31,
    memory_total=4 * 10**9,
    memory_available=3_100_000_000,
    disk_total=32 * 10**9,
    disk_free=25 * 10**9,
    temperature_c=48.3,
    rss=61_000_000,
    agent_cpu_s=42.5,
)


@dataclass
class ClockNow:
    trusted: bool = True
    offset_us: int = 0
    source: str = "ntp"


@dataclass
class DeviceNow:
    name: str = "press-1"
    state: str = "running"
    good: int = 12
    bad: int = 0
    reconnects: int = 0
    last_good_us: int = NOW - 400_000
    latency_s: float = 0.0123
    late: int = 0
    scans: int = 7320
    first_good_us: int = NOW - 7_321_000_000
    last_error: str = ""
    remedy: str = ""
    faults: tuple[str, ...] = ()
    observations: dict[str, Any] = field(default_factory=dict)


DOWN = DeviceNow(
    name="meter-1",
    state="down",
    good=0,
    bad=8,
    last_good_us=0,
    reconnects=3,
    last_error="no answer from 192.168.1.11:502",
    remedy="is it switched on? ping 192.168.1.11",
)


def status(*devices: DeviceNow, **changes: Any) -> Status:
    parts: dict[str, Any] = {
        "gateway": "press-shop-1",
        "gateway_id": "gw-3f9a",
        "version": "0.1.0",
        "now_us": NOW,
        "uptime_s": 7322.0,
        "clock": ClockNow(),
        "devices": devices or (DeviceNow(),),
        "buffer": buffer_status(
            Stats(1_234_567, 40_000, NOW - 3_600_000_000, 900_000), max_bytes=2 * 10**9, failing=""
        ),
        "digests": DigestStatus(
            built=9, pending=1, accepted=8, rejected=0, last_accepted="2026-11-24T05:59:30.000Z", last_seq=9
        ),
        "config": ConfigStatus(source="file", running_hash="ab" * 32),
        "ledger": ledger_status([Loss(NOW - 60_000_000, NOW, "shed_cap", count=500)]),
        "host": HOST,
        "uplink": UplinkStatus(state="connected", url="https://platform.example/api/v1"),
    }
    return assemble(**(parts | changes))
