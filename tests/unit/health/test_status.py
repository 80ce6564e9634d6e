from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

from agent.buffer.records import DigestRecord, Loss
from agent.core.supervision import ComponentSnapshot, State
from agent.health.status import (
    AudienceStatus,
    ConfigStatus,
    DigestStatus,
    Status,
    UplinkStatus,
    decode,
    digest_status,
    encode,
    ledger_status,
    render,
)
from agent.health.text import duration, size
from tests.support.health_status import DOWN, NOW, ClockNow, DeviceNow, status


def test_json_has_the_public_fields() -> None:
    found = json.loads(encode(status()))
    public = {"gateway", "version", "uptime_s", "clock", "devices", "buffer", "digests", "config", "ledger"}
    assert public <= set(found)
    assert {"trusted", "source", "offset_s"} <= set(found["clock"])
    device = {"name", "state", "good", "bad", "reconnects", "last_good", "latency_ms", "late"}
    assert device <= set(found["devices"][0])
    assert {"bytes", "samples", "oldest", "bytes_written"} <= set(found["buffer"])
    assert {"built", "pending", "accepted", "rejected", "last_accepted"} <= set(found["digests"])
    assert {"source", "running_hash", "attempted_hash", "status", "last_error"} <= set(found["config"])


def test_status_survives_json() -> None:
    one = status(DeviceNow(observations={"holes": ["holding:7"]}, faults=("x",)), DOWN)
    assert decode(encode(one)) == one


def test_times_are_iso_and_null_before_the_first() -> None:
    one = status(DeviceNow(), DOWN)
    assert one.devices[0].last_good == "2026-11-24T05:59:59.600Z"
    assert one.devices[1].last_good is None


def test_unknown_device_state_is_a_bug_and_said() -> None:
    with pytest.raises(msgspec.ValidationError):
        status(DeviceNow(state="asleep"))


def test_L20_agent_without_data_is_not_healthy() -> None:
    assert not status(DOWN).health.healthy
    assert not status(DeviceNow(state="starting", good=0)).health.healthy
    assert not status(DeviceNow(state="degraded", good=0, bad=12)).health.healthy


def test_one_machine_of_two_that_is_off_is_a_warning() -> None:
    health = status(DeviceNow(), DOWN).health
    assert health.healthy
    assert any("meter-1" in warning for warning in health.warnings)


def test_gateway_without_devices_is_healthy() -> None:
    assert status(devices=()).health.healthy
    assert status(DeviceNow(state="off", good=0)).health.healthy


def test_disk_that_takes_nothing_and_stall_are_reasons() -> None:
    full = msgspec.structs.replace(status().buffer, failing="No space left on device")
    health = status(buffer=full, stalled="no scan attempt has ended for 600 s").health
    assert not health.healthy
    assert len(health.reasons) == 2


def test_platform_that_is_away_is_a_warning() -> None:
    health = status(
        uplink=UplinkStatus(state="failing", last_error="no route to host"),
        digests=replace_digests(rejected=2),
        clock=ClockNow(trusted=False, source="none"),
        config=ConfigStatus(source="file", running_hash="", status="FAILED", last_error="bad"),
    ).health
    assert health.healthy
    assert len(health.warnings) == 4


def replace_digests(**changes: int) -> DigestStatus:
    return msgspec.structs.replace(status().digests, **changes)


def test_digest_status_from_records() -> None:
    record = DigestRecord(7, "period", NOW, NOW, "h", "p", b"", "j", "accepted", settled=NOW)
    rejected = replace(record, seq=6, state="rejected", reason="breaks the schema")
    found = digest_status({"pending": 1, "accepted": 5, "rejected": 1}, record, record, rejected)
    assert found == DigestStatus(
        built=7,
        pending=1,
        accepted=5,
        rejected=1,
        last_accepted="2026-11-24T06:00:00.000Z",
        last_seq=7,
        last_rejection="breaks the schema",
    )
    assert digest_status({}, None).last_accepted is None


def test_ledger_is_summed_by_cause() -> None:
    found = ledger_status([Loss(NOW, NOW + 1, "retention", count=5), Loss(NOW - 9, NOW, "retention", count=7)])
    assert list(found) == ["retention"]
    assert (found["retention"].entries, found["retention"].count) == (2, 12)
    assert found["retention"].since == "2026-11-24T05:59:59.999Z"


def test_text_shows_problem_and_remedy() -> None:
    text = render(status(DeviceNow(name="压机一号"), DOWN))
    assert "needs attention" in text.splitlines()[0]
    assert "device meter-1 is down: no answer from 192.168.1.11:502" in text
    assert "device meter-1 → is it switched on? ping 192.168.1.11" in text
    assert "never" in text  # the last good value of the one that is down


def test_n20_the_verdict_is_one_word_of_the_judge() -> None:
    found = [status(*devices).health.verdict for devices in ((DeviceNow(),), (DeviceNow(), DOWN), (DOWN,))]
    assert found == ["healthy", "attention", "unhealthy"]
    older = json.loads(encode(status()))
    del older["health"]["verdict"]
    assert "an agent of another version" in render(decode(json.dumps(older).encode())).splitlines()[0]


def test_n21_without_a_platform_digests_are_kept_and_nothing_is_pending() -> None:
    off = UplinkStatus(state="off")
    alone = replace_digests(pending=9, accepted=0)
    assert "9 built, kept here" in render(status(uplink=off, digests=alone))
    assert "pending" not in render(status(uplink=off, digests=alone))
    # One that had a platform before it was taken out of the configuration.
    assert "9 built, 1 kept here, 8 accepted" in render(status(uplink=off))
    assert "9 built, 1 pending, 8 accepted" in render(status())


def test_n21_for_an_audience_that_is_removed_digests_are_kept_too() -> None:
    gone = AudienceStatus(name="owner", state="removed", pending=2, accepted=1, rejected=0, last_accepted=None)
    text = render(status(audiences=[gone]))
    assert "2 digests kept here, 1 accepted" in text and "2 digests pending" not in text


def test_text_columns_are_aligned_with_chinese_names() -> None:
    text = render(status(DeviceNow(name="压机一号"), DeviceNow(name="p")))
    rows = [line for line in text.splitlines() if "running" in line]
    # A Chinese sign takes two columns of a terminal.
    assert [line.index("running") + sum(sign > "⺀" for sign in line) for line in rows] == [10, 10]


def test_text_of_a_bare_status() -> None:
    bare = status(devices=(), ledger={}, uplink=None)
    text = render(bare)
    assert "no devices are configured" in text
    assert "nothing was lost" in text
    assert isinstance(bare, Status)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (4.9, "4 s"), (723, "12 min 3 s"), (3600, "1 h"), (3605, "1 h"), (190_000, "2 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2 * 10**9, "2.0 GB")])
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def failed(name: str, state: State, *, essential: bool = False) -> ComponentSnapshot:
    return ComponentSnapshot(
        name=name, state=state, essential=essential, restarts=3, code="ENOSPC",
        error="OSError: /secret/path", remedy="free some space", quiet_s=1.0,
    )  # fmt: skip


def test_a_component_that_fails_is_shown_and_only_an_essential_one_makes_the_gateway_unhealthy() -> None:
    shown = status(components=[failed("reporter", "restarting"), failed("recorder", "running", essential=True)])
    assert shown.health.healthy
    assert shown.health.warnings == ("reporter failed: ENOSPC", "recorder failed: ENOSPC")
    assert shown.components[0].remedy == "free some space" and shown.components[0].restarts == 3
    assert decode(encode(shown)).components == shown.components
    assert "/secret/path → free some space" in render(shown)
    away = status(components=[failed("recorder", "restarting", essential=True), failed("device press-1", "running")])
    assert away.health.reasons == ("recorder failed: ENOSPC",) and not away.health.warnings
    assert not status(components=[]).health.reasons
