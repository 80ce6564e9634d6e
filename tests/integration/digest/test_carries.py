"""What is open on a machine when a period ends goes on in the next one, over restarts too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent.buffer.records import DigestRecord, RollupRecord
from agent.buffer.store import Store
from agent.config.model import CalendarSection, EquipmentSection, StateSection
from agent.digest.equipment.sums import MachineSums
from agent.digest.rollups import Sums, days_before, days_of, kept_of, total
from agent.digest.service import DigestService
from agent.digest.spec import group_interval
from agent.digest.summary import span_of, summary
from agent.digest.windows import iso
from tests.support.digest_plants import SECOND, batch, configuration, device, tag
from tests.support.digest_service import SetClock, Unsigned

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
BEGIN = round(datetime(2026, 11, 23, 23, 50, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * SECOND
"""Ten minutes before midnight in the plant."""
PRESS = EquipmentSection(
    name="press",
    state=StateSection(tag="p.state", map={"1": "standby", "2": "executing", "3": "fault"}),
    calendar=CalendarSection(days=("mon", "tue"), shifts=("00:00-12:00", "12:00-00:00")),
)
PLANT = configuration([device("p", [tag("p.state", kind="state")])], period=300.0, equipment=[PRESS])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "buffer.db")
    yield opened
    await opened.close()


async def recorded(store: Store, states: list[tuple[int, float]], minutes: int) -> None:
    """``states``: (minute, value); scanned each second, and written in full each half minute as the recorder does."""
    (series,) = await store.series_ids(["p.state"])
    group = await store.group_id("p", group_interval(1.0))
    scans = [(group, BEGIN + second * SECOND, 0) for second in range(minutes * 60)]
    value_at = [[value for since, value in states if since * 2 <= half][-1] for half in range(minutes * 2)]
    samples = [(int(series), BEGIN + half * MINUTE // 2, value, 0) for half, value in enumerate(value_at)]
    await store.append(batch(samples, scans))


def service(store: Any, now: int) -> DigestService:
    return DigestService(store, PLANT, SetClock(now), Unsigned())


async def lines(store: Store) -> list[dict[str, Any]]:
    digests = sorted(await store.digests(99), key=lambda each: each.seq)
    return [json.loads(each.body)["equipment"][0] for each in digests if each.kind == "period"]


async def test_a_failure_over_periods_midnight_and_a_restart_for_each_is_one_failure(store: Store) -> None:
    await recorded(store, [(0, 2), (3, 3), (17, 2)], 20)
    for number in range(1, 5):  # another service for each period: nothing is kept in memory
        assert await service(store, BEGIN + number * 5 * MINUTE + 10 * SECOND).build_due() == 1
    found = await lines(store)
    assert [each["failures"]["count"] for each in found] == [0, 0, 0, 1]
    assert [each["states"]["fault"] for each in found] == [120.0, 300.0, 300.0, 120.0]
    assert found[3]["failures"] == {"count": 1, "repair_s": 14 * 60.0, "between_s": 180.0}
    assert found[3]["stops"]["longest_s"] == 14 * 60.0


async def test_periods_built_at_once_give_the_same_digests_as_one_by_one(store: Store, tmp_path: Path) -> None:
    other = await Store.open(tmp_path / "other.db")
    for each in (store, other):
        await recorded(each, [(0, 2), (3, 3), (17, 2)], 20)
    assert await service(store, BEGIN + 20 * MINUTE + 10 * SECOND).build_due() == 4
    for number in range(1, 5):
        await service(other, BEGIN + number * 5 * MINUTE + 10 * SECOND).build_due()
    assert [each.body for each in await store.digests(9)] == [each.body for each in await other.digests(9)]
    await other.close()


async def test_sums_of_days_are_those_of_their_periods(store: Store) -> None:
    await recorded(store, [(0, 2), (3, 3), (17, 2)], 20)
    await service(store, BEGIN + 20 * MINUTE + 10 * SECOND).build_due()
    periods = [kept for each in await store.rollups("period", 0) if (kept := kept_of(each))]
    monday, tuesday = days_of(await store.rollups("day", 0))
    assert [monday, tuesday] == [total(each.sums for each in part) for part in (periods[:2], periods[2:])]
    assert (monday.machines["press"].failures, tuesday.machines["press"].failures) == (0, 1)
    assert monday.machines["press"].states["fault"] + tuesday.machines["press"].states["fault"] == 14 * MINUTE
    assert isinstance(monday.machines["press"], MachineSums) and monday.devices["p"].good == 600


async def test_the_preview_knows_what_is_open(store: Store) -> None:
    await recorded(store, [(0, 2), (3, 3), (7, 2)], 9)
    await service(store, BEGIN + 5 * MINUTE + 10 * SECOND).build_due()
    preview = json.loads(await service(store, BEGIN + 9 * MINUTE).preview())
    assert preview["equipment"][0]["failures"] == {"count": 1, "repair_s": 240.0, "between_s": 180.0}
    assert len(await store.rollups("period", 0)) == 1


async def test_a_digest_and_its_sums_are_there_together_or_not_at_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(store, [(0, 2), (3, 3), (7, 2)], 10)
    add = store.add_digests

    async def cut_off(record: Any, sums: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(store, "add_digests", cut_off)
    with pytest.raises(asyncio.CancelledError):
        await service(store, BEGIN + 5 * MINUTE + 10 * SECOND).build_due()
    assert await store.digests(9) == [] and await store.rollups("period", 0) == await store.rollups("day", 0) == []
    monkeypatch.setattr(store, "add_digests", add)
    assert await service(store, BEGIN + 10 * MINUTE + 10 * SECOND).build_due() == 2
    assert (await lines(store))[1]["failures"] == {"count": 1, "repair_s": 240.0, "between_s": 180.0}


async def test_a_day_is_shown_from_its_sums(store: Store) -> None:
    await recorded(store, [(0, 2), (3, 3), (17, 2)], 20)
    await service(store, BEGIN + 20 * MINUTE + 10 * SECOND).build_due()
    zone = ZoneInfo("Asia/Shanghai")
    days = days_of(await store.rollups("day", 0))
    shown = [summary("day", span_of("day", date, zone), days, PLANT) for date in ("2026-11-23", "2026-11-24")]
    assert [each.equipment[0].failures.count for each in shown if each] == [0, 1]  # type: ignore[union-attr]
    periods = await lines(store)
    for made, part in zip(shown, (periods[:2], periods[2:]), strict=True):
        assert made is not None and not isinstance(made.equipment[0].states, msgspec.UnsetType)
        assert made.equipment[0].states["fault"] == sum(each["states"]["fault"] for each in part)


async def test_findings_of_28_days_rest_on_days_whose_raw_data_is_gone(store: Store) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    await recorded(store, [(0, 2), (3, 3), (4, 2)], 5)
    working = {"calendar": True, "span_us": 24 * HOUR, "planned_us": 24 * HOUR, "apt_us": 23 * HOUR}
    failing = MachineSums(**working, failures=2, repair_us=4 * HOUR, between_us=10 * HOUR)
    for number, ago in enumerate((27, 10), 1):  # five failures with the one of today
        start = days_before(BEGIN, zone, ago + 1)
        day = Sums(start=start, end=start + 24 * HOUR, covered_us=24 * HOUR, machines={"press": failing})
        place = DigestRecord(number, "period", start, BEGIN, f"h{number}", "p", b"{}", "j")
        await store.add_digest(place, [RollupRecord("day", start, day.end, msgspec.json.encode(day))])
    assert await service(store, BEGIN + 5 * MINUTE + 10 * SECOND).build_due() == 1
    newest = await store.last_digest()
    assert newest is not None
    found = {line["rule"]: line for line in json.loads(newest.body)["findings"] if line["status"] == "found"}
    assert found.keys() == {"long_repair", "short_mtbf"}, "what was planted, and nothing else"
    # 2 × 4 h and 60 s of repair, 2 × 10 h and 180 s of work between, by five failures.
    assert found["long_repair"]["evidence"]["repair_s"] == 8 * 3600 + 60
    assert found["short_mtbf"]["evidence"] == {"between_s": 20 * 3600 + 180.0, "failures": 5.0, "mtbf_h": 4.01}
    assert found["short_mtbf"]["span"]["start"] == iso(days_before(BEGIN, zone, 28))
