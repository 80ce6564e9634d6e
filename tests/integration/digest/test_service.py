"""Digests of closed periods, from a real store: none missing, none twice, chained."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.buffer.records import DigestRecord, Event, Loss
from agent.buffer.store import Store
from agent.digest.build import build
from agent.digest.inputs import DigestInputs
from agent.digest.report import encode
from agent.digest.rollups import kept_of
from agent.digest.service import DigestService
from agent.digest.spec import compile_spec
from agent.digest.windows import DAY, Period
from agent.errors import GongfuError
from agent.evidence.chain import GENESIS, digest_hash
from tests.support.buffers import batch_at
from tests.support.digest_plants import FACTS, SECOND, START
from tests.support.digest_service import PLANT, SetClock, Unsigned, record

MINUTE = 60 * SECOND
LONG_AFTER = 6 * SECOND + 1
"""Beyond the grace without a flush of our own: 5 s and the margin."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "buffer.db")
    yield opened
    await opened.close()


def service(store: Any, now: int, **options: Any) -> DigestService:
    return DigestService(store, PLANT, SetClock(now, **options), Unsigned())


async def all_digests(store: Store) -> list[DigestRecord]:
    return sorted(await store.digests(1000), key=lambda each: each.seq)


async def test_missing_periods_are_built_after_an_absence_empty_ones_too(store: Store) -> None:
    await store.add_event(Event(START, "start"))
    await record(store, START, 70)
    await store.add_event(Event(START + 70 * SECOND, "stop"))
    await store.add_event(Event(START + 250 * SECOND, "start"))
    assert await service(store, START + 260 * SECOND).build_due() == 4
    digests = await all_digests(store)
    assert [(each.seq, each.start, each.end) for each in digests] == [
        (1 + n, START + n * MINUTE, START + (n + 1) * MINUTE) for n in range(4)
    ]
    totals = [json.loads(each.body)["coverage"]["total"] for each in digests]
    assert [each["good"] for each in totals] == [120, 20, 0, 0]
    assert [each["agent_downtime_s"] for each in totals] == [0.0, 50.0, 60.0, 60.0]


async def test_digests_form_a_chain_over_their_exact_bytes(store: Store) -> None:
    await record(store, START, 60)
    await service(store, START + 3 * MINUTE + LONG_AFTER).build_due()
    previous = GENESIS
    for number, each in enumerate(await all_digests(store), start=1):
        header = json.loads(each.body)["header"]
        assert (header["seq"], header["previous"]) == (number, previous) == (each.seq, each.previous)
        assert each.hash == digest_hash(each.body)
        assert each.jws == f"signed..{len(each.body)}"
        assert each.state == "pending"
        previous = each.hash


async def test_a_digest_is_a_pure_function_of_the_blocks(store: Store) -> None:
    await record(store, START - 30 * SECOND, 120)
    await service(store, START + MINUTE + LONG_AFTER).build_due()
    built = (await all_digests(store))[-1]
    period = Period(built.start, built.end)
    names = {name: number for number, name in (await store.series_names()).items()}
    spec = compile_spec(PLANT, names, {key: number for number, key in (await store.groups()).items()})
    header = json.loads(built.body)["header"]
    inputs = DigestInputs(
        period=period,
        spec=spec,
        enterprise=PLANT.file.enterprise,
        facts=replace(FACTS, seq=built.seq, previous=built.previous, agent_version=header["agent_version"]),
        batches=[each async for each in store.blocks(period.start - spec.lookback_us, period.end)],
        days=[kept.sums for each in await store.rollups("period", 0, period.start) if (kept := kept_of(each))],
    )
    assert encode(build(inputs)) == built.body


async def test_a_counter_is_continuous_over_the_periods(store: Store) -> None:
    await record(store, START, 180)
    await service(store, START + 3 * MINUTE + LONG_AFTER).build_due()
    lines = [json.loads(each.body)["tags"][0] for each in await all_digests(store)]
    assert [line["name"] for line in lines] == ["p.n"] * 3
    assert [line["delta"] for line in lines] == [59.0, 60.0, 60.0]
    assert [line["known_s"] for line in lines] == [59.999, 60.0, 60.0]


async def test_a_period_once_built_never_reopens(store: Store) -> None:
    await record(store, START, 30)
    assert await service(store, START + MINUTE + LONG_AFTER).build_due() == 1
    await record(store, START + 30 * SECOND, 30)
    assert await service(store, START + MINUTE + LONG_AFTER).build_due() == 0
    assert len(await all_digests(store)) == 1


async def test_a_period_is_not_closed_before_what_was_sampled_is_on_disk(store: Store) -> None:
    await record(store, START, 30)
    assert await service(store, START + MINUTE + 3 * SECOND).build_due() == 0
    flushed = []

    async def flush() -> None:
        flushed.append(True)
        await record(store, START + 30 * SECOND, 30)

    clock = SetClock(START + MINUTE + 3 * SECOND)
    assert await DigestService(store, PLANT, clock, Unsigned(), flush=flush).build_due() == 1
    assert flushed
    assert json.loads((await all_digests(store))[0].body)["coverage"]["total"]["good"] == 120


async def test_without_any_data_the_first_start_counts(store: Store) -> None:
    await store.add_event(Event(START + 10 * SECOND, "start"))
    assert await service(store, START + 2 * MINUTE + LONG_AFTER).build_due() == 2


async def test_nothing_known_at_all_begins_with_the_running_period(store: Store) -> None:
    assert await service(store, START + 30 * SECOND).build_due() == 0


async def test_L11_an_untrusted_clock_behind_the_last_known_time_closes_nothing(store: Store) -> None:
    await record(store, START, 60)
    assert await service(store, START + MINUTE + LONG_AFTER).build_due() == 1
    for now in (SECOND, START - DAY):
        assert await service(store, now, trusted=False, source="none").build_due() == 0
    assert await service(store, START + 2 * MINUTE + LONG_AFTER, trusted=False, source="none").build_due() == 1


async def test_L11_a_board_without_a_battery_builds_nothing_for_1970(store: Store) -> None:
    await store.add_event(Event(SECOND, "start"))
    await record(store, 2 * SECOND, 30)
    clock = SetClock(10 * MINUTE, trusted=False, source="none")
    digests = DigestService(store, PLANT, clock, Unsigned())
    assert await digests.build_due() == 0
    clock.time, clock.trusted = START, True
    assert await digests.build_due() == 0
    clock.time = START + MINUTE + LONG_AFTER
    await store.add_event(Event(START, "start"))
    assert await digests.build_due() == 1
    assert (await all_digests(store))[0].start == START


async def test_L11_a_digest_from_the_far_future_does_not_stop_the_chain(store: Store) -> None:
    await record(store, START + 1000 * DAY, 30)
    await service(store, START + 1000 * DAY + MINUTE + LONG_AFTER).build_due()
    for minutes in range(3):
        await service(store, START + minutes * MINUTE + LONG_AFTER).build_due()
    digests = await all_digests(store)
    assert [each.start for each in digests[-2:]] == [START, START + MINUTE]
    assert digests[-2].previous == digests[-3].hash


async def test_L11_a_clock_that_was_a_little_fast_is_waited_for_and_entered_as_late(store: Store) -> None:
    await record(store, START, 30)
    await service(store, START + 10 * MINUTE + LONG_AFTER).build_due()
    for _ in range(2):
        assert await service(store, START + 5 * MINUTE).build_due() == 0
    losses = await store.losses(0, START + DAY)
    assert [(each.cause, each.start, each.end) for each in losses] == [
        ("late_data", START + 5 * MINUTE, START + 10 * MINUTE)
    ]


async def test_the_chain_continues_after_the_platforms_head_when_that_is_ahead(store: Store) -> None:
    await record(store, START, 60)
    await service(store, START + MINUTE + LONG_AFTER).build_due()
    await store.set_meta("chain_head", json.dumps({"seq": 7, "hash": "a" * 64}))
    await store.add_event(Event(START + 9 * MINUTE + 1, "start"))
    for _ in range(2):
        await service(store, START + 10 * MINUTE + LONG_AFTER).build_due()
    # The platform's 2 to 7 are about the six periods that followed; what came after them is ours to tell.
    assert [
        (each.seq, each.previous[:1], (each.start - START) // MINUTE) for each in (await all_digests(store))[:2]
    ] == [
        (1, "0", 0),
        (8, "a", 7),
    ]
    assert (await all_digests(store))[-1].seq == 10


async def test_what_began_after_the_restart_is_reported_even_if_the_platforms_periods_were_shorter(
    store: Store,
) -> None:
    await record(store, START, 60)
    await service(store, START + MINUTE + LONG_AFTER).build_due()
    await store.set_meta("chain_head", json.dumps({"seq": 1000, "hash": "a" * 64}))
    await store.add_event(Event(START + 9 * MINUTE + 1, "start"))
    await service(store, START + 10 * MINUTE + LONG_AFTER).build_due()
    assert [(each.seq, (each.start - START) // MINUTE) for each in (await all_digests(store))[1:]] == [(1001, 9)]


async def test_a_late_loss_is_told_once_in_the_next_digest_with_its_own_interval(store: Store) -> None:
    await record(store, START, 60)
    await store.add_loss(Loss(START + 5, START + 6, "queue_full", "p", count=1))
    await service(store, START + MINUTE + LONG_AFTER).build_due()
    await store.add_loss(Loss(START + 5, START + 7, "queue_full", "p", count=2))  # not a part of what was told
    await store.add_loss(Loss(START + 3 * MINUTE, START + 3 * MINUTE, "shed_cap", count=7))  # not of these periods
    preview = json.loads(await service(store, START + MINUTE + LONG_AFTER).preview())
    assert [entry["count"] for entry in preview["ledger"]] == [2]
    await service(store, START + 3 * MINUTE + LONG_AFTER).build_due()
    bodies = [json.loads(each.body) for each in await all_digests(store)]
    assert [[(each["cause"], each["count"], each["start"]) for each in body["ledger"]] for body in bodies] == [
        [("queue_full", 1, "2026-09-21T14:15:00.000005Z")],
        [("queue_full", 2, "2026-09-21T14:15:00.000005Z")],
        [],
    ]
    assert [body["coverage"]["total"]["drops"] for body in bodies] == [{"queue_full": 1}, {}, {}]


async def test_preview_shows_the_running_period_and_leaves_no_trace(store: Store, tmp_path: Path) -> None:
    await record(store, START, 90)
    await service(store, START + MINUTE + LONG_AFTER).build_due()
    reader = await Store.open(tmp_path / "buffer.db", read_only=True)
    try:
        preview = json.loads(await service(reader, START + 90 * SECOND).preview())
    finally:
        await reader.close()
    assert preview["header"]["seq"] == 2
    assert preview["header"]["period"] == {"start": "2026-09-21T14:16:00Z", "end": "2026-09-21T14:16:30Z"}
    assert preview["coverage"]["total"]["good"] == 60
    assert len(await all_digests(store)) == 1


async def test_preview_of_a_store_in_which_nothing_was_recorded(store: Store) -> None:
    preview = json.loads(await service(store, START).preview())
    assert preview["coverage"]["total"]["good"] == 0


async def test_run_builds_when_a_period_ends_and_says_so(store: Store) -> None:
    await record(store, START, 60)

    async def flush() -> None:
        return None

    clock = SetClock(START + MINUTE + 900_000, running=True)
    digests = DigestService(store, PLANT, clock, Unsigned(), flush=flush)
    running = asyncio.create_task(digests.run())
    async with asyncio.timeout(60):
        await digests.built.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert [each.seq for each in await all_digests(store)] == [1]


async def test_run_goes_on_when_the_disk_takes_nothing_for_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await record(store, START, 60)
    monkeypatch.setattr("agent.digest.service.RETRY_AFTER", 0.001)
    refusals = iter([True, True, True])
    add = store.add_digests

    async def refuse(record: list[DigestRecord], sums: Any) -> None:
        if next(refusals, False):
            raise GongfuError("the disk is full", remedy="free some space")
        await add(record, sums)

    monkeypatch.setattr(store, "add_digests", refuse)
    digests = service(store, START + MINUTE + LONG_AFTER)
    running = asyncio.create_task(digests.run())
    async with asyncio.timeout(60):
        await digests.built.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert [each.seq for each in await all_digests(store)] == [1]
    assert len([one for one in caplog.records if "disk is full" in one.message]) == 1


async def test_L11_samples_that_a_correction_moves_into_a_closed_period_are_ledgered_once(store: Store) -> None:
    await record(store, START, 60)
    await service(store, START + 10 * MINUTE + LONG_AFTER).build_due()  # closed up to minute 10, by a fast clock
    clock = SetClock(START + 10 * MINUTE, trusted=False, source="none")
    digests = DigestService(store, PLANT, clock, Unsigned())
    await digests.build_due()
    for start in (-400 * DAY, -400 * DAY + 6 * MINUTE):  # stamped long before; the second lies across minute 10
        time = START + start + np.arange(120, dtype=np.int64) * SECOND
        await store.append(replace(batch_at(0, 120), time=time, scan_time=time), epoch=7)
    await digests.restamp(7, 400 * DAY + 3 * MINUTE)
    losses = await store.unreported(2**62)
    assert [(each.cause, each.count) for each in losses] == [("late_data", 120 + 60)]
    assert losses[0].start == START + 3 * MINUTE and losses[0].end == START + 10 * MINUTE - SECOND
    clock.time, clock.trusted = START + 12 * MINUTE + LONG_AFTER, True
    await digests.build_due()
    told = [json.loads(each.body)["ledger"] for each in (await all_digests(store))[-2:]]
    assert [[entry["cause"] for entry in each] for each in told] == [["late_data"], []]


async def test_L11_what_an_untrusted_clock_reported_is_not_ledgered_when_it_moves(store: Store) -> None:
    await record(store, START, 60)
    await service(store, START + MINUTE + LONG_AFTER).build_due()
    clock = SetClock(START + 3 * MINUTE, trusted=False, source="none")
    digests = DigestService(store, PLANT, clock, Unsigned())
    await digests.build_due()
    time = START + 4 * MINUTE + np.arange(120, dtype=np.int64) * SECOND
    await store.append(replace(batch_at(0, 120), time=time, scan_time=time), epoch=7)
    clock.time = START + 6 * MINUTE + LONG_AFTER
    await digests.build_due()
    await digests.restamp(7, -2 * MINUTE)
    assert await store.unreported(2**62) == []


async def test_L11_the_first_samples_of_a_new_gateway_are_not_late(store: Store) -> None:
    clock = SetClock(5 * MINUTE, trusted=False, source="none")
    digests = DigestService(store, PLANT, clock, Unsigned())
    await digests.build_due()
    await store.append(batch_at(5 * MINUTE, 120, step=SECOND), epoch=1)
    await digests.restamp(1, START)
    assert await store.unreported(2**62) == []
