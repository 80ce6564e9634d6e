from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from agent.health.host import SAMPLE_EVERY_S, HostProbe


def test_host_is_asked_at_most_every_ten_seconds(tmp_path: Path) -> None:
    now = 0.0
    probe = HostProbe(tmp_path, monotonic=lambda: now)
    first = probe.sample()
    assert first.rss > 1_000_000
    assert 0 < first.disk_free <= first.disk_total
    now = SAMPLE_EVERY_S - 1
    assert probe.sample() is first
    now = SAMPLE_EVERY_S
    assert probe.sample() is not first


@pytest.mark.parametrize(
    ("sensors", "expected"),
    [
        ({"nvme": [SimpleNamespace(current=30.0)], "cpu_thermal": [SimpleNamespace(current=51.26)]}, 51.3),
        ({"odd": [SimpleNamespace(current=30.0)]}, 30.0),
        ({"coretemp": []}, None),
        ({}, None),
    ],
)
def test_temperature_is_the_processors(
    sensors: object, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors, raising=False)
    assert HostProbe(tmp_path).sample().temperature_c == expected


def test_system_without_sensors_has_no_temperature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    assert HostProbe(tmp_path).sample().temperature_c is None
