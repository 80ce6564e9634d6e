"""L12, L25: one writer, whole transactions, and nothing that a cancelled task leaves behind."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from agent.buffer.query import export_rows
from agent.buffer.store import DigestRecord, Event, Loss, Store, StoreConflict, StoreUnavailable
from agent.errors import GongfuError
from tests.support.buffer_files import files_size, sound, times_of
from tests.support.buffers import batch_at

SECOND = 1_000_000


async def test_a_cancelled_writer_leaves_no_transaction_open(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    turns = 0
    while True:
        task = asyncio.create_task(store.append(batch_at(turns * SECOND, 10)))
        for _ in range(turns):
            await asyncio.sleep(0)
        done = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.set_meta("turns", str(turns))
        turns += 1
        if done or turns > 2000:
            break
    # Each of them is there as a whole or not at all, and none is there twice.
    times = await times_of(store)
    assert len(times) % 10 == 0 and len(set(times)) == len(times)
    assert (await store.stats()).samples == len(times)
    await store.close()
    assert sound(tmp_path / "b.db")


async def test_many_tasks_share_the_one_connection(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")

    async def write(number: int) -> None:
        await store.append(batch_at(number * SECOND, 100))
        await store.add_event(Event(number, "connect"))
        assert len(await store.events(number, number + 1)) == 1
        await times_of(store)

    await asyncio.gather(*(write(number) for number in range(30)))
    assert len(await times_of(store)) == 3000
    await store.close()


async def test_a_digest_number_is_given_once(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    record = DigestRecord(1, "period", 0, 1, "h", "p", b"{}", "j")
    await store.add_digest(record)
    with pytest.raises(StoreConflict):
        await store.add_digest(record)
    assert await store.last_digest() == record
    await store.close()


async def test_L25_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    store = await Store.open(path)
    await store.series_ids(["a.x"])
    await store.append(batch_at(0, 10))
    await store.close()
    content = path.read_bytes()
    for _ in range(3):
        store = await Store.open(path)
        await store.series_ids(["a.x"])
        await store.close()
    assert path.read_bytes() == content


async def test_a_reader_needs_no_write_access_and_sees_no_half_things(tmp_path: Path) -> None:
    path = tmp_path / "data" / "b.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.append(batch_at(0, 10))
    await store.close()
    path.chmod(stat.S_IRUSR)
    path.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    reader = await Store.open(path, read_only=True)
    assert len(await times_of(reader)) == 10
    with pytest.raises(GongfuError):
        await reader.set_meta("k", "v")
    await reader.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["b.db"]
    path.parent.chmod(0o700)


async def test_reading_where_nothing_is_yet_says_so(tmp_path: Path) -> None:
    with pytest.raises(GongfuError, match="nothing recorded") as caught:
        await Store.open(tmp_path / "b.db", read_only=True)
    assert caught.value.remedy and list(tmp_path.iterdir()) == []


async def test_a_reader_refuses_an_older_schema_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    sqlite3.connect(path).close()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE something (x)")
    database.close()
    with pytest.raises(GongfuError, match="older schema") as caught:
        await Store.open(path, read_only=True)
    assert "start the agent" in caught.value.remedy


async def test_L12_the_database_is_locked_by_another_writer_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    store = await Store.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GongfuError, match="locked"):
        await store.append(batch_at(0, 10))
    other.execute("ROLLBACK")
    other.close()
    await store.append(batch_at(0, 10))
    assert len(await times_of(store)) == 10
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    await store.close()
    await store.close()
    with pytest.raises(GongfuError, match="closed"):
        await store.append(batch_at(0, 10))
    with pytest.raises(GongfuError, match="closed"):
        await store.stats()


async def test_reading_in_pages_gives_every_block_once_and_in_order(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    for number in range(700):
        await store.append(batch_at((number // 3) * SECOND, 2))  # three blocks each end at the same time
    starts = [int(batch.time[0]) async for batch in store.blocks(0, 2**62)]
    assert len(starts) == 700 and starts == sorted(starts)
    some = [int(batch.time[0]) // SECOND async for batch in store.blocks(100 * SECOND, 102 * SECOND)]
    assert some == [100] * 3 + [101] * 3
    assert [batch async for batch in store.blocks(2**50, 2**51)] == []
    await store.close()


async def test_the_store_may_be_written_to_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    store = await Store.open(path, max_bytes=500_000)
    for number in range(20):
        await store.append(batch_at(number * SECOND, 1000, noisy=True))
    reader = await Store.open(path, read_only=True)
    seen = 0
    async for batch in reader.blocks(0, 2**62):
        seen += len(batch)
        await store.append(batch_at((100 + seen) * SECOND, 3000, noisy=True))
        assert files_size(path) <= 500_000
        if seen > 60_000:
            break
    assert seen > 10_000
    await reader.close()
    await store.close()


async def test_L11_a_restamp_that_was_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    store = await Store.open(path, max_bytes=500_000)
    for number in range(100):
        await store.append(batch_at(number * SECOND, 2), epoch=3)
    await store.add_event(Event(7, "start", epoch=3))
    await store.add_loss(Loss(7, 8, "queue_full", epoch=3))
    follow = store._follow

    async def die() -> None:
        raise asyncio.CancelledError

    store._follow = die  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await store.restamp(3, 1000 * SECOND)
    store._follow = follow  # type: ignore[method-assign]
    await store.close()
    store = await Store.open(path, max_bytes=500_000)
    assert await store.span() == (1000 * SECOND, 1099 * SECOND + 1000)
    assert len([batch async for batch in store.blocks(1050 * SECOND, 2**62)]) == 50
    await store.restamp(3, SECOND)
    await store.append(batch_at(100 * SECOND, 2), epoch=3)  # it was under way when the clock was corrected
    assert await store.span() == (1001 * SECOND, 1101 * SECOND + 1000)
    assert [event.time for event in await store.events(0, 2**62)] == [1001 * SECOND + 7]
    assert [(loss.start, loss.end) for loss in await store.losses(0, 2**62)] == [(1001 * SECOND + 7, 1001 * SECOND + 8)]
    await store.close()


async def test_L29_a_restamp_leaves_the_devices_own_times_alone(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    batch = batch_at(0, 3)
    source = batch.time.copy()
    source[1] = 12_345_678  # the device stamped this one only
    await store.append(
        type(batch)(series=batch.series, time=batch.time, value=batch.value, quality=batch.quality, source_time=source),
        epoch=1,
    )
    await store.restamp(1, SECOND)
    (back,) = [each async for each in store.blocks(0, 2**62)]
    assert back.time.tolist() == [SECOND, SECOND + 1000, SECOND + 2000] and back.corrected
    assert back.source_time is not None
    assert back.source_time.tolist() == [SECOND, 12_345_678, SECOND + 2000]
    await store.close()


async def test_export_gives_text_and_bad_values_as_they_are(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    (series,) = (await store.series_ids(["a.serial"])).tolist()
    batch = batch_at(0, 3, series=series)
    value = np.array([1.5, np.nan, np.nan])
    await store.append(
        type(batch)(
            series=batch.series,
            time=batch.time,
            value=value,
            quality=np.array([0, 0, 130], np.uint8),
            text={1: "0042"},
        )
    )
    rows = [row async for row in export_rows(store, 0, SECOND)]
    assert rows[:2] == [(0, "a.serial", 1.5, 0), (1000, "a.serial", "0042", 0)]
    assert rows[2][2] != rows[2][2] and rows[2][3] == 130
    await store.close()


async def test_L11_a_restamp_is_decided_once_even_if_the_disk_fails_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(tmp_path / "b.db")
    await store.append(batch_at(0, 2), epoch=3)

    async def fails() -> None:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_follow", fails)
        await store.restamp(3, SECOND)
    await store.enforce(SECOND)
    assert await store.span() == (SECOND, SECOND + 1000) and await times_of(store) == [SECOND, SECOND + 1000]
    await store.close()
