"""Sums in the store: with their digest or not at all, longer than raw data, never in the way of the cap."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.buffer.records import DigestRecord, RollupRecord
from agent.buffer.rollups import DAY_US, FEWEST
from agent.buffer.store import Store, StoreConflict
from tests.support.buffer_files import files_size, sound


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "b.db", max_bytes=600_000, retention_us=30 * DAY_US)
    yield opened
    await opened.close()


def digest(seq: int) -> DigestRecord:
    return DigestRecord(seq, "period", seq, seq + 1, f"h{seq}", "p", b"{}", "j")


def sums(kind: str, first: int, last: int, body: bytes = b"{}") -> RollupRecord:
    return RollupRecord(kind, first, last, body)


async def test_sums_are_kept_with_their_digest_and_a_day_is_replaced(store: Store) -> None:
    await store.add_digest(digest(1), [sums("period", 10, 20, b"one"), sums("day", 0, 20, b"1")])
    await store.add_digest(digest(2), [sums("period", 20, 30, b"two"), sums("day", 0, 30, b"1+2")])
    assert [each.body for each in await store.rollups("period", 0)] == [b"one", b"two"]
    assert await store.rollups("day", 0) == [sums("day", 0, 30, b"1+2")]
    assert await store.rollups("period", 11, 21) == [sums("period", 20, 30, b"two")]
    assert await store.rollup_ending("period", 20) == sums("period", 10, 20, b"one")
    assert await store.rollup_ending("period", 25) is None


async def test_a_digest_that_is_refused_leaves_no_sums(store: Store) -> None:
    await store.add_digest(digest(1))
    with pytest.raises(StoreConflict):
        await store.add_digest(digest(1), [sums("period", 10, 20)])
    assert await store.rollups("period", 0) == []


async def test_the_last_period_is_kept_with_what_follows_it(store: Store) -> None:
    for seq, kind in enumerate(("period", "period", "shift", "day", "week"), 1):
        await store.add_digest(replace(digest(seq), kind=kind))
    while await store._shed_digests(10**9, "state = 'pending'", 1):
        pass
    assert [(each.seq, each.kind) for each in await store.places(9)] == [
        (5, "week"), (4, "day"), (3, "shift"), (2, "period"),
    ]  # fmt: skip
    last = await store.last_digest("period")
    assert last is not None and last.seq == 2


async def test_days_outlive_raw_data_and_periods(store: Store) -> None:
    for day in range(1, 601):
        first, last = day * DAY_US, (day + 1) * DAY_US
        await store.add_digest(digest(day), [sums("period", first, last), sums("day", first, last)])
    await store.enforce(601 * DAY_US)
    assert [each.start // DAY_US for each in await store.rollups("period", 0)] == list(range(571, 601))
    assert [each.start // DAY_US for each in await store.rollups("day", 0)] == list(range(201, 601))
    await store.enforce(5000 * DAY_US)
    # Of periods also those of a day or shift that may still run.
    assert {kind: len(await store.rollups(kind, 0)) for kind in FEWEST} == FEWEST | {"period": 3, "told": 0}


async def test_the_cap_takes_periods_before_days_and_keeps_the_newest(store: Store, tmp_path: Path) -> None:
    for number in range(1, 300):
        body = os.urandom(4000)
        await store.add_digest(digest(number), [sums("period", number, number + 1, body), sums("day", 0, 9, b"d")])
    assert files_size(tmp_path / "b.db") <= 600_000
    kept = await store.rollups("period", 0)
    assert 1 <= len(kept) < 299 and kept[-1].start == 299
    assert len(await store.rollups("day", 0)) == 1
    assert sound(tmp_path / "b.db")


async def test_damaged_sums_are_passed_over(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await store.add_digest(digest(1), [sums("day", 0, 5, b"good"), sums("day", 5, 9, b"bad")])
    await store._db.put("UPDATE rollup SET body = X'0102' WHERE first = 5")
    assert await store.rollups("day", 0) == [sums("day", 0, 5, b"good")]
    assert await store.rollup_ending("day", 9) is None
    assert "damaged" in caplog.text
