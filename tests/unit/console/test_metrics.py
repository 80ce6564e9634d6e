from __future__ import annotations

import re

from agent.console.metrics import render
from agent.health.status import UplinkStatus
from tests.support.health_status import DOWN, DeviceNow, status

LINE = re.compile(r'(?P<name>[a-z_][a-z0-9_]*)(\{(?P<labels>(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (?P<value>\S+)')


def samples(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            key = f"{match['name']}{{{match['labels'] or ''}}}"
            assert key not in found, f"{key} twice"
            found[key] = float(match["value"])
    return found


def test_every_family_is_well_formed_and_told_once() -> None:
    text = render(status(DeviceNow(), DOWN))
    told = re.findall(r"^# TYPE (\S+) (gauge|counter)$", text, re.MULTILINE)
    assert len(told) == len({name for name, _ in told})
    names = {key.partition("{")[0] for key in samples(text)}
    assert names == {name for name, _ in told}
    assert all(name.endswith("_total") for name, kind in told if kind == "counter")


def test_values_are_the_statuses() -> None:
    found = samples(render(status(DeviceNow(late=4), DOWN)))
    assert found['gongfu_edge_device_state{device="meter-1",state="down"}'] == 1
    assert found['gongfu_edge_device_state{device="meter-1",state="running"}'] == 0
    assert found['gongfu_edge_device_points{device="press-1",quality="good"}'] == 12
    assert found['gongfu_edge_device_late_scans_total{device="press-1"}'] == 4
    assert found['gongfu_edge_device_last_good_timestamp_seconds{device="press-1"}'] == 1_795_499_999.6
    assert 'gongfu_edge_device_last_good_timestamp_seconds{device="meter-1"}' not in found
    assert found['gongfu_edge_digests{state="accepted"}'] == 8
    assert found["gongfu_edge_host_temperature_celsius{}"] == 48.3
    assert found["gongfu_edge_healthy{}"] == 1


def test_labels_are_escaped() -> None:
    text = render(status(DeviceNow(name='a"b\\c\nd')))
    assert r'device="a\"b\\c\nd"' in text
    samples(text)


def test_what_is_not_there_is_left_out() -> None:
    text = render(status(devices=(), host=None, uplink=UplinkStatus(state="off"), ledger={}))
    assert "host_" not in text
    assert "uplink_" not in text
    assert "device_" not in text
