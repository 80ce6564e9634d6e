"""L6, L12: a damaged file costs what is damaged; the agent goes on and says so once."""

from __future__ import annotations

import random
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from agent.buffer.store import DigestRecord, Event, Loss, Store, StoreCorrupt, StoreUnavailable
from tests.support.buffer_files import damage_block, lost_samples, overwrite_table, times_of
from tests.support.buffers import batch_at

SECOND = 1_000_000


async def filled(path: Path, blocks: int = 30) -> None:
    store = await Store.open(path)
    await store.series_ids(["a.x", "a.y"])
    await store.group_id("a", SECOND)
    for number in range(blocks):
        await store.append(batch_at(number * SECOND, 100, noisy=True))
    for seq in (1, 2, 3):
        await store.add_digest(DigestRecord(seq, "period", seq, seq + 1, f"h{seq}", "p", b"{}" * 300, "j"))
    await store.mark(1, "accepted", time_us=5)
    await store.set_meta("k", "v")
    await store.add_event(Event(1, "start"))
    await store.close()


async def test_L6_damaged_blocks_are_set_aside_once_and_the_others_flow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "b.db"
    await filled(path)
    for number in (2, 7, 30):
        damage_block(path, number)
    reader = await Store.open(path, read_only=True)
    assert len(await times_of(reader)) == 2700
    await reader.close()
    store = await Store.open(path)
    caplog.clear()
    for _ in range(3):
        assert len(await times_of(store)) == 2700
    assert len(caplog.records) == 3 and await lost_samples(store) == 300
    assert (await store.stats()).samples == 2700
    await store.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT id FROM quarantine ORDER BY id").fetchall() == [(2,), (7,), (30,)]
    database.close()


async def test_L6_a_destroyed_header_starts_a_new_file_and_keeps_the_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "b.db"
    await filled(path)
    content = bytearray(path.read_bytes())
    content[:100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        await Store.open(path, read_only=True)
    store = await Store.open(path, now=lambda: 99)
    await store.append(batch_at(0, 10))
    assert len(await times_of(store)) == 10
    assert await store.losses(0, 100) == [Loss(0, 99, "corrupt")]
    assert sum("set aside" in record.message for record in caplog.records) == 1
    await store.close()
    (aside,) = (tmp_path / "quarantine").rglob("b.db")
    assert aside.read_bytes() == content


async def test_L12_damage_in_the_raw_data_saves_names_digests_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    await filled(path, blocks=300)
    overwrite_table(path, "block")
    store = await Store.open(path, now=lambda: 10**12)
    with pytest.raises(StoreUnavailable, match="damaged"):
        for _ in range(3):
            await times_of(store)
            await store.append(batch_at(0, 10))
    assert await store.meta("k") == "v"
    assert [(each.seq, each.state) for each in await store.digests(9)] == [
        (3, "pending"),
        (2, "pending"),
        (1, "accepted"),
    ]
    assert await store.series_names() == {1: "a.x", 2: "a.y"} and await store.groups() == {1: ("a", SECOND)}
    assert await store.losses(0, 2**62) == [Loss(0, 10**12, "corrupt", count=30_000)]
    await store.append(batch_at(0, 10))
    assert len(await times_of(store)) == 10 == (await store.stats()).samples
    await store.close()


async def test_numbers_that_were_handed_out_stay_valid_when_the_file_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    store = await Store.open(path, now=lambda: 50)
    await store.series_ids([f"old.{number}" for number in range(20)])
    ids = await store.series_ids(["a.y", "a.x"])
    group = await store.group_id("a", SECOND)
    await store.append(batch_at(5, 10))
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    path.write_bytes(b"nothing of a database" * 5000)
    await store._db.read("PRAGMA shrink_memory")  # so that it has to look at the file
    with pytest.raises(StoreUnavailable, match="a new one"):
        await store.append(batch_at(6, 10))
    await store.append(batch_at(7, 10))
    assert await store.losses(0, 60) == [Loss(5, 50, "corrupt", count=10)]
    names = await store.series_names()
    assert [names[number] for number in ids.tolist()] == ["a.y", "a.x"]
    assert (await store.groups())[group] == ("a", SECOND)
    assert (await store.series_ids(["a.x", "a.y"])).tolist() == ids.tolist()[::-1]
    await store.close()


async def test_only_one_damaged_file_is_kept_and_none_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    for size in (10_000, 20_000, 800_000):
        path.write_bytes(b"x" * size)
        await (await Store.open(path, max_bytes=1_000_000)).close()
        kept = [file.stat().st_size for file in (tmp_path / "quarantine").rglob("b.db")]
        assert kept == ([size] if size < 500_000 else [])


@pytest.mark.parametrize("seed", range(12))
async def test_L12_random_damage_never_stops_the_store(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "b.db", random.Random(seed)
    await filled(path, blocks=100)
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 10, 100])):
        at = rng.randrange(len(content))
        content[at : at + rng.choice([1, 16, 512])] = rng.randbytes(1)
    path.write_bytes(content)
    path.with_name("b.db-wal").unlink(missing_ok=True)
    store = await Store.open(path)
    for number in range(20):
        with suppress(StoreUnavailable):
            await store.append(batch_at((1000 + number) * SECOND, 10))
            await times_of(store)
            await store.digests(10)
            await store.events(0, 2**62)
    await store.append(batch_at(5000 * SECOND, 10))
    assert (await times_of(store))[-1] // SECOND == 5000
    await store.close()
