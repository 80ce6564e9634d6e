"""Shifts, days, weeks and months in the chain: each once, behind its last period, made of what is in the chain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import UNSET

from agent.buffer.records import DigestRecord, Event, RollupRecord
from agent.buffer.store import Store
from agent.config.model import CalendarSection, Configuration, EquipmentSection
from agent.digest import schedule
from agent.digest.additive import disagreements, seconds_of
from agent.digest.report import Digest, decode
from agent.digest.service import DigestService
from agent.digest.windows import SECOND, iso
from agent.evidence.chain import digest_hash
from tests.support.digest_plants import configuration, device, tag
from tests.support.digest_service import SetClock, Unsigned, record

ZONE = ZoneInfo("Asia/Shanghai")
HOUR = 3600 * SECOND
DAY = 24 * HOUR
SUNDAY = round(datetime(2026, 5, 31, tzinfo=ZONE).timestamp()) * SECOND
"""The last day of a week, and of a month."""
EVERY_DAY: Any = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def machine(name: str, *shifts: str) -> EquipmentSection:
    return EquipmentSection(
        name=name, produced="p.n", calendar=CalendarSection(days=EVERY_DAY, shifts=shifts) if shifts else None
    )


def plant(rollups: Sequence[str] | None = None, *machines: EquipmentSection, period: float = 3600.0) -> Configuration:
    made = configuration([device("p", [tag("p.n", 0, kind="counter")])], period=period, equipment=machines)
    if rollups is None:
        return made
    digest = msgspec.structs.replace(made.file.digest, rollups=tuple(rollups))
    return replace(made, file=msgspec.structs.replace(made.file, digest=digest))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "buffer.db")
    yield opened
    await opened.close()


def service(store: Any, now: int, config: Configuration) -> DigestService:
    return DigestService(store, config, SetClock(now), Unsigned())


def after(time: int) -> int:
    return time + 7 * SECOND


async def chain(store: Store) -> list[tuple[str, str]]:
    """Kind and begin of each digest, in the order of the chain, which holds."""
    found = sorted(await store.digests(10_000), key=lambda each: each.seq)
    for one, two in pairwise(found):
        assert (two.seq, two.previous) == (one.seq + 1, one.hash) and two.hash == digest_hash(two.body)
    for each in found:
        said = json.loads(each.body)
        span = said["header"]["period"]
        assert (said["kind"], span["start"], span["end"]) == (each.kind, iso(each.start), iso(each.end))
    return [(each.kind, iso(each.start)) for each in found]


async def spans(store: Store) -> list[tuple[str, str]]:
    return [each for each in await chain(store) if each[0] != "period"]


async def decoded(store: Store) -> list[Digest]:
    return [decode(each.body) for each in sorted(await store.digests(10_000), key=lambda each: each.seq)]


async def agree(store: Store) -> None:
    """Each digest of a span says what its parts make."""
    said = await decoded(store)
    for each in said:
        told = each.parts
        if told is UNSET:
            continue
        start, end = each.header.period.start, each.header.period.end
        parts = [
            part
            for part in said
            if part.kind == told.kind
            and told.first_seq <= part.header.seq <= told.last_seq
            and start <= part.header.period.start < end
        ]
        assert disagreements(each, parts) == []


END_OF_ALL = [
    ("shift", iso(SUNDAY + 16 * HOUR)),
    ("day", iso(SUNDAY)),
    ("week", "2026-05-24T16:00:00Z"),
    ("month", "2026-04-30T16:00:00Z"),
]
PLANT = plant(None, machine("a", "08:00-16:00", "16:00-24:00"), machine("b"))


async def test_what_ends_at_midnight_follows_the_last_period_the_shortest_first(store: Store) -> None:
    begin = SUNDAY + 14 * HOUR
    await record(store, begin, 600, PLANT)
    await service(store, after(begin + HOUR), PLANT).build_due()
    await record(store, begin + 9 * HOUR, 1200, PLANT)
    assert await service(store, after(SUNDAY + DAY), PLANT).build_due() == 9
    assert await chain(store) == [
        ("period", iso(begin)),
        ("period", iso(begin + HOUR)),
        ("shift", iso(SUNDAY + 8 * HOUR)),
        *(("period", iso(SUNDAY + hour * HOUR)) for hour in range(16, 24)),
        *END_OF_ALL,
    ]
    await agree(store)
    first, second, day, week, month = (each for each in await decoded(store) if each.kind != "period")
    assert [(each.coverage.total.good, each.coverage.total.expected) for each in (first, second, day)] == [
        (600, 7200), (1200, 8 * 3600), (1800, 36000),
    ]  # fmt: skip
    for shift in (first, second):
        assert shift.equipment is not UNSET and [each.name for each in shift.equipment] == ["a"]
    assert day.equipment is not UNSET and [each.name for each in day.equipment] == ["a", "b"]
    assert first.shift is not UNSET and (first.shift.date, first.shift.times) == ("2026-05-31", "08:00-16:00")
    assert first.parts is not UNSET and (first.parts.first_seq, first.parts.last_seq, first.parts.count) == (1, 2, 2)
    assert day.parts is not UNSET and (day.parts.first_seq, day.parts.last_seq, day.parts.count) == (1, 11, 10)
    assert day.parts.seconds == 36000.0 and day.parts.kind == "period" and day.parts.without is UNSET
    for long in (week, month):
        assert long.parts is not UNSET and (long.parts.kind, long.parts.count) == ("day", 1)
        assert long.coverage == day.coverage and long.tags == () == long.ledger


async def test_what_was_built_is_not_built_again(store: Store) -> None:
    await record(store, SUNDAY + 14 * HOUR, 60, PLANT)
    for later in (0, 0, 20, 1800, 3600):
        await service(store, after(SUNDAY + DAY) + later * SECOND, PLANT).build_due()
    assert (await spans(store))[1:] == END_OF_ALL


@pytest.mark.parametrize("survive", range(9, 15))
async def test_killed_between_any_two_digests_none_is_missing_or_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch, survive: int
) -> None:
    await record(store, SUNDAY + 14 * HOUR, 60, PLANT)
    add, left = store.add_digests, survive

    async def dies(*args: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError
        await add(*args)

    monkeypatch.setattr(store, "add_digests", dies)
    with pytest.raises(asyncio.CancelledError):
        await service(store, after(SUNDAY + DAY), PLANT).build_due()
    monkeypatch.undo()
    await service(store, after(SUNDAY + DAY + HOUR), PLANT).build_due()
    found = await chain(store)
    assert found[-5:] == [*END_OF_ALL, ("period", iso(SUNDAY + DAY))] and len({*found}) == len(found)
    await agree(store)


async def test_after_an_absence_all_days_are_there_and_the_empty_ones_say_so(store: Store) -> None:
    config = plant(["day", "week"])
    await record(store, SUNDAY - 3 * DAY + 23 * HOUR, 600, config)
    await service(store, after(SUNDAY - 2 * DAY), config).build_due()
    await store.add_event(Event(SUNDAY + 2 * DAY, "start"))
    await service(store, after(SUNDAY + 2 * DAY), config).build_due()
    assert await spans(store) == [
        *(("day", iso(SUNDAY + number * DAY)) for number in (-3, -2, -1, 0)),
        ("week", "2026-05-24T16:00:00Z"),
        ("day", iso(SUNDAY + DAY)),
    ]
    days = [each for each in await decoded(store) if each.kind == "day"]
    assert [each.coverage.total.good for each in days] == [600, 0, 0, 0, 0]
    assert days[2].coverage.total.agent_downtime_s == 86400.0
    await agree(store)


async def test_an_absence_of_months_is_one_period_and_part_of_no_day(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "MOST_MISSING", 10)
    config = plant(period=60.0)
    await record(store, SUNDAY, 60, config)
    await service(store, after(SUNDAY + 60 * SECOND), config).build_due()
    await service(store, after(SUNDAY + 100 * DAY + 120 * SECOND), config).build_due()
    found = await decoded(store)
    (long,) = (each for each in found if each.kind == "period" and seconds_of(each) > 86_400)
    first = next(each for each in found if each.kind == "day")
    assert first.header.seq == long.header.seq + 1
    assert first.parts is not UNSET and (first.parts.count, first.parts.seconds) == (1, 60.0)
    await agree(store)


async def test_no_kind_no_digest_and_without_days_a_week_is_made_of_periods(store: Store) -> None:
    await record(store, SUNDAY + 22 * HOUR, 60, PLANT)
    await service(store, after(SUNDAY + DAY - HOUR), plant([])).build_due()
    await service(store, after(SUNDAY + DAY), plant(["week"], machine("a", "16:00-24:00"))).build_due()
    assert await spans(store) == [("week", "2026-05-24T16:00:00Z")]
    (week,) = (each for each in await decoded(store) if each.kind == "week")
    assert week.parts is not UNSET and (week.parts.kind, week.parts.count) == ("period", 2)
    await agree(store)


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 29, 23), (10, 25, 25)])
async def test_days_are_23_and_25_hours_long_where_the_clocks_change(
    store: Store, month: int, day: int, hours: int
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    config = _zoned(plant(["day"]), "Europe/Berlin")
    begin, end = (round(datetime(2026, month, each, tzinfo=berlin).timestamp()) * SECOND for each in (day, day + 1))
    await record(store, begin, 60, config)
    await service(store, after(end), config).build_due()
    newest = await store.last_digest()
    assert newest is not None and (newest.kind, newest.end - newest.start) == ("day", hours * HOUR)
    told = decode(newest.body).parts
    assert told is not UNSET and told.count == hours
    await agree(store)


def _zoned(made: Configuration, zone: str) -> Configuration:
    gateway = msgspec.structs.replace(made.file.gateway, timezone=zone)
    return replace(made, file=msgspec.structs.replace(made.file, gateway=gateway))


async def test_sums_of_a_version_that_kept_less_are_no_part(store: Store) -> None:
    await record(store, SUNDAY + 21 * HOUR, 60, PLANT)
    await service(store, after(SUNDAY + 22 * HOUR), PLANT).build_due()
    (old,) = await store.rollups("period", 0)
    body = json.loads(old.body)
    del body["sums"]["whole"]
    await store._db.put("DELETE FROM rollup WHERE kind = 'period'", ())
    place = DigestRecord(2, "period", old.start + HOUR, old.end + HOUR, "h", (await _last(store)).hash, b"{}", "j")
    kept = RollupRecord("period", old.start, old.end, json.dumps(body).encode())
    await store.add_digest(place, [kept])
    await service(store, after(SUNDAY + DAY), PLANT).build_due()
    day = next(each for each in await store.digests(10) if each.kind == "day")
    told = decode(day.body).parts
    assert told is not UNSET and (told.first_seq, told.last_seq, told.count, told.without) == (3, 3, 1, UNSET)


async def test_a_week_is_made_of_what_the_digests_of_its_days_say(store: Store) -> None:
    begin = SUNDAY + 20 * HOUR
    await record(store, begin, 60, PLANT)
    await service(store, after(begin + 2 * HOUR), PLANT).build_due()
    # One of the periods is a digest of the chain no more, as on a disk that was restored.
    await store._db.put("UPDATE digest SET kind = 'shift', first = 0, last = 1 WHERE seq = 1", ())
    await service(store, after(SUNDAY + DAY), PLANT).build_due()
    _, day, week, _ = (decode(each.body) for each in reversed(await store.digests(4)))
    assert day.parts is not UNSET and day.parts.count == 3 and day.parts.seconds == 3 * 3600
    assert week.coverage == day.coverage and disagreements(week, [day]) == []
    (kept,) = await store.rollups("day", 0)
    assert json.loads(kept.body)["covered_us"] == 4 * HOUR, "findings still look back on all of the day"


async def _last(store: Store) -> Any:
    return await store.last_digest()


async def test_the_preview_begins_where_the_last_period_ended(store: Store) -> None:
    await record(store, SUNDAY + 23 * HOUR, 60, PLANT)
    built = service(store, after(SUNDAY + DAY), PLANT)
    await built.build_due()
    shown = json.loads(await service(store, SUNDAY + DAY + 600 * SECOND, PLANT).preview())
    assert shown["header"]["period"]["start"] == iso(SUNDAY + DAY) and shown["kind"] == "period"
    assert shown["header"]["seq"] == (await _last(store)).seq + 1
