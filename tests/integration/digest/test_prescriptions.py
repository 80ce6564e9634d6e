"""What digests tell of prescriptions: when something changed, and of all that are open once a day."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent.buffer.records import DigestRecord, RollupRecord
from agent.buffer.store import Store
from agent.config.model import EquipmentSection
from agent.digest.prescriptions import Prescribed
from agent.digest.report import PrescribedTarget
from agent.digest.rollups import day_begin
from agent.digest.service import DigestService
from scripts.sandbox.platform.contract import digest as digest_schema
from scripts.sandbox.platform.contract import problems
from tests.support.digest_plants import SECOND, configuration, device, tag
from tests.support.digest_service import SetClock, Unsigned
from tests.support.effects import day

ZONE = ZoneInfo("Asia/Shanghai")
MINUTE = 60 * SECOND
ADOPTED, TODAY = date(2026, 11, 12), date(2026, 11, 24)
BEGIN = round(datetime(2026, 11, 23, 23, 50, tzinfo=ZONE).timestamp()) * SECOND
PLANT = configuration(
    [device("p", [tag("p.state", kind="state"), tag("p.secret", 1, sensitivity=3)])],
    period=300.0,
    equipment=[EquipmentSection(name="press-1"), EquipmentSection(name="secret", produced="p.secret")],
)
RECEIVED = Prescribed(
    id="rx-1",
    revision=2,
    hash="ab" * 32,
    state="received",
    received_us=BEGIN - 30 * 86_400 * SECOND,
    until=date(2026, 12, 31),
    target=PrescribedTarget(indicator="ENPI.IDLE_SHARE", machine="press-1", side="at_most", value=0.15),
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "buffer.db")
    yield opened
    await opened.close()


def changed(**changes: Any) -> Prescribed:
    return Prescribed(**{name: getattr(RECEIVED, name) for name in RECEIVED.__slots__} | changes)


def adopted(**changes: Any) -> Prescribed:
    return changed(state="adopted", adopted=ADOPTED, decided_us=BEGIN - 11 * 86_400 * SECOND, **changes)


async def told(store: Store, minutes: int, *known: Prescribed, plant: Any = PLANT) -> list[Any]:
    """The section of each digest of the periods from ten minutes before midnight on; None: it has none."""
    days = [
        day(ADOPTED + timedelta(days=offset), machine=machine, h={"span": 24, "energy_known": 24}, idle_kwh=idle,
            joined_kwh=100.0)
        for machine in ("press-1", "secret")
        for offset, idle in [*((-7 + each, 30.0) for each in range(7)), *((1 + each, 10.0) for each in range(11))]
    ]  # fmt: skip
    merged = {each.start: each for each in days}
    for each in days:
        merged[each.start] = msgspec.structs.replace(
            merged[each.start], machines=merged[each.start].machines | each.machines
        )
    records = [RollupRecord("day", each.start, each.end, msgspec.json.encode(each)) for each in merged.values()]
    await store.add_digest(DigestRecord(1, "period", BEGIN - MINUTE, BEGIN, "ab" * 32, "", b"{}", "j"), records)

    def prescribed(before_us: int) -> Sequence[Prescribed]:
        return [each for each in known if max(each.received_us, each.decided_us) < before_us]

    clock = SetClock(BEGIN + minutes * MINUTE + 10 * SECOND)
    await DigestService(store, plant, clock, Unsigned(), prescribed=prescribed).build_due()
    digests = [json.loads(each.body) for each in sorted(await store.digests(99), key=lambda each: each.seq)[1:]]
    for each in digests:
        assert not problems(digest_schema(), each)
        assert ("effect" in each["tables"]) == ("prescriptions" in each)
    return [each.get("prescriptions") for each in digests if each["kind"] == "period"]


async def test_the_first_digest_of_a_day_tells_of_all_that_are_open_with_the_measured_effect(store: Store) -> None:
    before, _, first, after = await told(store, 20, adopted())
    assert before is None and after is None
    (line,) = first
    assert (line["id"], line["revision"], line["state"], line["adopted_on"]) == ("rx-1", 2, "adopted", "2026-11-12")
    assert (line["before"]["value"], line["before"]["days"], line["before"]["coverage"]) == (0.3, 7, 1.0)
    assert (line["after"]["value"], line["after"]["days"], line["after"]["numerator"]) == (0.1, 11, 110.0)
    assert (line["change"], line["reached"], "reason" in line) == (-0.2, True, False)
    assert line["target"] == {"indicator": "ENPI.IDLE_SHARE", "machine": "press-1", "side": "at_most", "value": 0.15}


async def test_what_changes_is_told_by_the_digest_of_its_period_and_nothing_of_it_before(store: Store) -> None:
    refused = Prescribed(
        id="", revision=0, hash="", state="refused", received_us=BEGIN + 7 * MINUTE, reason="malformed: " + "x" * 400
    )
    found = await told(store, 10, changed(received_us=BEGIN + MINUTE), refused)
    assert [[line["state"] for line in each] for each in found] == [["received"], ["refused"]]
    assert found[1][0]["reason"].startswith("malformed: ") and len(found[1][0]["reason"]) == 300
    assert "before" not in found[0][0] and "target" not in found[1][0]


async def test_one_that_nobody_decided_about_expires_and_is_told_once_more(store: Store) -> None:
    yesterday = TODAY - timedelta(days=1)
    lines = await told(store, 15, changed(until=yesterday), changed(id="rx-0", until=yesterday - timedelta(days=1)))
    assert [(line["id"], line["state"]) for line in lines[2]] == [("rx-1", "expired")]


async def test_a_declined_one_says_the_word_and_a_machine_withheld_says_so(store: Store) -> None:
    target = PrescribedTarget(indicator="ENPI.IDLE_SHARE", machine="secret", side="at_most", value=0.15)
    nowhere = PrescribedTarget(indicator="ENPI.IDLE_SHARE", machine="press-9", side="at_most", value=0.15)
    declined = changed(id="rx-0", state="declined", decided_us=BEGIN - 1, reason="risk")
    (*_, lines) = await told(store, 15, declined, adopted(target=target), adopted(id="rx-2", target=nowhere))
    assert (lines[0]["state"], lines[0]["reason"]) == ("declined", "risk")
    assert (lines[1]["before"], lines[1]["after"], lines[1]["reached"]) == (None, None, None)
    assert lines[1]["reason"] == "sensitivity 3 never leaves the plant" and "press-9" in lines[2]["reason"]


async def test_without_any_there_is_no_section(store: Store) -> None:
    assert await told(store, 15) == [None, None, None]
    assert day_begin(TODAY, ZONE) == BEGIN + 10 * MINUTE
