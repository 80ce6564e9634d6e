"""The store on a real file: what is in stays in, what goes is accounted for."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from agent.buffer.query import export_rows
from agent.buffer.store import DigestRecord, Event, Loss, Store, Upload
from agent.errors import GongfuError
from tests.support.buffers import batch_at

SECOND = 1_000_000
DAY = 86400 * SECOND


async def count(store: Store) -> int:
    return sum([len(batch) async for batch in store.blocks(0, 2**60)])


async def test_series_and_groups_keep_their_numbers(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    first = await store.series_ids(["a.x", "a.y"])
    group = await store.group_id("a", SECOND)
    await store.close()
    store = await Store.open(tmp_path / "b.db")
    assert (await store.series_ids(["a.y", "a.z", "a.x"])).tolist()[::2] == first.tolist()[::-1]
    assert await store.group_id("a", SECOND) == group
    assert await store.groups() == {group: ("a", SECOND)}
    await store.close()


async def test_blocks_come_back_by_interval_and_export_reads_them(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    (series,) = (await store.series_ids(["a.x"])).tolist()
    for number in range(20):
        await store.append(batch_at(number * SECOND, 10, series=series))
    assert await store.span() == (0, 19 * SECOND + 9000)
    starts = [int(batch.time[0]) async for batch in store.blocks(5 * SECOND, 8 * SECOND)]
    assert starts == [5 * SECOND, 6 * SECOND, 7 * SECOND]
    rows = [row async for row in export_rows(store, 5 * SECOND + 3000, 5 * SECOND + 5000, ["a.x"])]
    assert rows == [(5 * SECOND + 3000, "a.x", 3.0, 0), (5 * SECOND + 4000, "a.x", 4.0, 0)]
    assert [row async for row in export_rows(store, 0, DAY, ["a.other"])] == []
    await store.close()


async def test_L11_samples_of_an_untrusted_epoch_are_restamped_and_marked(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    await store.append(batch_at(10 * SECOND, 3), epoch=1)
    await store.append(batch_at(DAY, 3), epoch=2)
    await store.restamp(1, 100 * DAY)
    assert await store.span() == (DAY, 100 * DAY + 10 * SECOND + 2000)
    (batch,) = [batch async for batch in store.blocks(50 * DAY, 2**60)]
    assert batch.corrected and batch.time[0] == 100 * DAY + 10 * SECOND == batch.scan_time[0]
    await store.close()


async def test_L26_retention_deletes_what_is_older_and_nothing_else(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", retention_us=DAY)
    for day in (0, 1, 2, 3):
        await store.append(batch_at(day * DAY, 10))
    await store.enforce(3 * DAY + 5)
    assert [int(batch.time[0]) // DAY async for batch in store.blocks(0, 2**60)] == [2, 3]
    assert [(loss.cause, loss.count) for loss in await store.losses(0, 2**60)] == [("retention", 20)]
    await store.close()


async def test_an_unacknowledged_digest_goes_last(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", max_bytes=900_000)
    for seq in range(1, 6):
        body = os.urandom(20_000)
        await store.add_digest(DigestRecord(seq, "period", seq, seq + 1, "h", "p", body, "j"))
        if seq in (1, 3):
            await store.mark(seq, "accepted", time_us=9)
    for number in range(100):
        await store.append(batch_at(number * SECOND, 5000, noisy=True))
    assert [each.seq for each in await store.pending(10)] == [2, 4, 5]
    await store.close()


async def test_L6_a_damaged_block_is_set_aside_and_the_others_flow(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    for number in range(3):
        await store.append(batch_at(number * SECOND, 10))
    await store.close()
    with sqlite3.connect(tmp_path / "b.db") as database:
        database.execute("UPDATE block SET data = CAST(substr(data, 1, 40) AS BLOB) WHERE id = 2")
    database.close()
    store = await Store.open(tmp_path / "b.db")
    assert await count(store) == 20
    assert [(loss.cause, loss.count) for loss in await store.losses(0, 2**60)] == [("corrupt", 10)]
    assert await count(store) == 20 and len(await store.losses(0, 2**60)) == 1
    await store.close()


async def test_L6_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "b.db").write_bytes(b"this is not a database, whatever its name says" * 100)
    store = await Store.open(tmp_path / "b.db")
    await store.append(batch_at(5, 5))
    assert await count(store) == 5
    assert [loss.cause for loss in await store.losses(0, 2**62)] == ["corrupt"]
    (kept,) = (tmp_path / "quarantine").rglob("b.db")
    assert kept.read_bytes().startswith(b"this is not")
    await store.close()


async def test_a_newer_schema_is_refused_with_a_remedy(tmp_path: Path) -> None:
    await (await Store.open(tmp_path / "b.db")).close()
    with sqlite3.connect(tmp_path / "b.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(GongfuError, match="newer version") as caught:
        await Store.open(tmp_path / "b.db")
    assert caught.value.remedy


async def test_L12_a_reader_that_stays_open_does_not_lock_the_writer_out(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    await store.append(batch_at(0, 10))
    reader = sqlite3.connect(tmp_path / "b.db")
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM block").fetchone() == (1,)
    for number in range(1, 50):
        await store.append(batch_at(number * SECOND, 100))
    await store.enforce(50 * SECOND)
    assert reader.execute("SELECT COUNT(*) FROM block").fetchone() == (1,)
    reader.close()
    assert await count(store) == 4910
    await store.close()


async def test_a_second_process_reads_while_the_agent_writes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    await store.append(batch_at(0, 10))
    reader = await Store.open(tmp_path / "b.db", read_only=True)
    await store.append(batch_at(SECOND, 10))
    assert await count(reader) == 20
    await reader.close()
    await store.close()


async def test_digests_events_uploads_and_settings(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    assert await store.last_digest() is None and await store.meta("k") is None
    for seq in (1, 2, 3):
        await store.add_digest(DigestRecord(seq, "period", seq, seq + 1, f"h{seq}", "p", b"{}", "j"))
    await store.mark(1, "accepted", time_us=7)
    await store.mark(2, "rejected", "schema", 8)
    assert [each.seq for each in await store.pending(10)] == [3]
    assert [each.seq for each in await store.digests(2)] == [3, 2]
    record = await store.digest(2)
    assert record is not None and (record.state, record.reason, record.settled) == ("rejected", "schema", 8)
    assert await store.digest_counts() == {"pending": 1, "accepted": 1, "rejected": 1}
    with pytest.raises(GongfuError):
        await store.add_digest(DigestRecord(3, "period", 0, 0, "other", "p", b"", ""))
    await store.add_event(Event(5, "disconnect", "press-1", {"cause": "timeout"}))
    assert await store.events(0, 5) == [] and (await store.events(0, 6))[0].detail == {"cause": "timeout"}
    await store.add_upload(Upload(5, 1, "digest", 100, 201))
    await store.add_upload(Upload(9, 2, "digest", 50, 0))
    assert await store.uploaded_bytes(6) == 50
    await store.set_meta("k", "1")
    await store.set_meta("k", "2")
    assert await store.meta("k") == "2"
    await store.add_loss(Loss(1, 2, "queue_full", "d", "d.s", 3))
    assert await store.losses(2, 9) == [Loss(1, 2, "queue_full", "d", "d.s", 3)]
    await store.close()


async def test_stats_count_samples_and_bytes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    await store.append(batch_at(3, 7))
    stats = await store.stats()
    assert (stats.samples, stats.oldest) == (7, 3) and stats.bytes > 0 and stats.bytes_written >= 0
    assert np.array_equal((await store.series_ids([])), np.empty(0))
    await store.close()
