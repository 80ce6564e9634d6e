"""L16, L26: the cap is in bytes, holds at every moment, and what goes is the oldest and is accounted for."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.buffer.store import DigestRecord, Event, Loss, Store, StoreFull, StoreUnavailable, Upload
from agent.errors import GongfuError
from tests.support.buffer_files import files_size, lost_samples, sound, times_of
from tests.support.buffers import batch_at

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR


@contextmanager
def watched(path: Path) -> Iterator[list[int]]:
    """The largest size that the files had at any time, looked at from outside all the while."""
    largest, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.0005):
            largest[0] = max(largest[0], files_size(path))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("cap", [500_000, 1_000_000, 6_000_000])
async def test_L16_L26_the_cap_is_exact_all_the_while(tmp_path: Path, cap: int) -> None:
    path = tmp_path / "b.db"
    store = await Store.open(path, max_bytes=cap)
    produced = number = 0
    with watched(path) as largest:
        while produced * 9 < 4 * cap:  # noise takes nine bytes a sample
            await store.append(batch_at(number * SECOND, 3000, noisy=True, step=10))
            if number % 10 == 0:
                await store.add_digest(DigestRecord(number + 1, "period", 0, 1, "h", "p", os.urandom(3000), "j"))
                await store.mark(number + 1, "accepted")
                await store.add_event(Event(number * SECOND, "connect", "d"))
            produced, number = produced + 3000, number + 1
    assert 0.5 * cap < largest[0] <= cap
    times = await times_of(store)
    assert len(times) + await lost_samples(store) == produced
    assert times == sorted(times) and times[-1] == (number - 1) * SECOND + 2999 * 10, "the oldest go first"
    assert (await store.stats()).samples == len(times)
    await store.close()
    assert sound(path)


async def test_L16_a_reader_that_never_ends_cannot_make_the_files_grow(tmp_path: Path) -> None:
    path, cap = tmp_path / "b.db", 1_000_000
    store = await Store.open(path, max_bytes=cap)
    await store.append(batch_at(0, 10))
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM block").fetchone()
    stored = 0
    with pytest.raises(StoreUnavailable, match="reading it") as caught:
        for number in range(1, 100):
            await store.append(batch_at(number * SECOND, 3000, noisy=True))
            stored = number
    assert caught.value.remedy and stored > 1 and files_size(path) <= cap
    reader.close()
    await store.append(batch_at((stored + 1) * SECOND, 3000, noisy=True))
    assert len(await times_of(store)) == 10 + (stored + 1) * 3000
    await store.close()


async def test_a_smaller_cap_shrinks_the_file_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    store = await Store.open(path, max_bytes=8_000_000)
    for number in range(100):
        await store.append(batch_at(number * SECOND, 3000, noisy=True))
    before = files_size(path)
    await store.close()
    store = await Store.open(path, max_bytes=1_000_000)
    assert before > 2_000_000 and files_size(path) <= 1_000_000
    times = await times_of(store)
    assert times[-1] // SECOND == 101 and len(times) + await lost_samples(store) == 300_000
    await store.close()
    assert sound(path)


async def test_a_cap_that_cannot_work_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(GongfuError, match="max_size") as caught:
        await Store.open(tmp_path / "b.db", max_bytes=100_000)
    assert caught.value.remedy


async def test_an_unacknowledged_digest_is_the_last_to_go_and_the_head_stays(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", max_bytes=500_000)
    await store.append(batch_at(0, 3000, noisy=True))
    for seq in range(1, 40):
        await store.add_digest(DigestRecord(seq, "period", seq, seq + 1, "h", "p", os.urandom(20_000), "j"))
        if seq <= 10:
            await store.mark(seq, "accepted")
    assert await times_of(store) == []
    kept = [record.seq for record in await store.digests(100)]
    assert kept[0] == 39 and kept == sorted(kept, reverse=True) and min(kept) > 10
    causes = {loss.cause: loss.count for loss in await store.losses(0, 2**62)}
    assert causes == {"shed_cap": 3000, "digest_shed": min(kept) - 11}
    await store.close()


async def test_what_was_set_aside_goes_before_a_pending_digest_and_is_accounted_for(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", max_bytes=500_000)
    for seq in range(1, 9):
        await store.add_digest(DigestRecord(seq, "period", seq, seq + 1, "h", "p", os.urandom(20_000), "j"))
    await store.set_aside_digests(0)
    for aside in (await store.set_aside())[:4]:
        await store.supersede(aside.number)
    for seq in range(1, 11):
        await store.add_digest(DigestRecord(seq, "period", seq, seq + 1, "h", "p", os.urandom(20_000), "j"))
    assert len(await store.pending(99)) == 10
    left = await store.set_aside()
    assert len(left) < 4 and all(each.became is None for each in left)
    shed = [loss.count for loss in await store.losses(0, 2**62) if loss.cause == "digest_shed"]
    assert sum(shed) == 4 - len(left)
    await store.close()


async def test_a_digest_that_never_fits_is_refused(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", max_bytes=500_000)
    with pytest.raises((StoreFull, StoreUnavailable)):
        await store.add_digest(DigestRecord(1, "period", 0, 1, "h", "p", os.urandom(600_000), "j"))
    await store.append(batch_at(0, 10))
    assert len(await times_of(store)) == 10
    await store.close()


async def test_L26_one_day_means_one_day_in_microseconds(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", retention_us=DAY)
    for hour in range(48):
        await store.append(batch_at(hour * HOUR, 10))
    now = 47 * HOUR + HOUR // 2
    await store.enforce(now)
    times = await times_of(store)
    assert times[0] == 24 * HOUR and len(times) == 240
    assert await lost_samples(store) == 240
    await store.enforce(now)
    assert len(await times_of(store)) == 240
    await store.close()


async def test_retention_goes_in_steps_so_that_the_ledger_stays_short(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", retention_us=DAY, now=lambda: 2 * DAY)
    for minute in range(26 * 60):
        await store.append(batch_at(minute * 60 * SECOND, 1))
    for minute in range(24 * 60, 26 * 60):
        await store.enforce(minute * 60 * SECOND)
        ((oldest, _),) = [await store.span()]
        assert minute * 60 * SECOND - DAY - 15 * 60 * SECOND <= oldest <= minute * 60 * SECOND - DAY
    losses = await store.losses(0, 3 * DAY)
    assert len(losses) <= 4 and {loss.cause for loss in losses} == {"retention"}
    await store.close()


async def test_the_small_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store._trim, "__defaults__", (20, 10))
    store = await Store.open(tmp_path / "b.db", now=lambda: 7)
    for number in range(50):
        await store.add_event(Event(number, "connect", "d"))
        await store.add_upload(Upload(number, number, "digest", 10, 201))
        await store.add_loss(Loss(number * HOUR, number * HOUR + 1, "queue_full", "d", f"d.tag{number}", 3))
    await store.enforce(100)
    assert [event.time for event in await store.events(0, 100)] == list(range(30, 50))
    assert len(await store.uploads(0, 100)) == 20
    losses = await store.losses(0, 2**62)
    assert len(losses) < 50 and sum(loss.count for loss in losses) == 150
    folded = next(loss for loss in losses if loss.start == 0)
    assert (folded.cause, folded.device, folded.series) == ("queue_full", "d", "") and folded.count > 3
    await store.close()


async def test_losses_are_found_by_what_they_concern_and_by_when_they_were_noted(tmp_path: Path) -> None:
    clock = [100]
    store = await Store.open(tmp_path / "b.db", now=lambda: clock[0])
    await store.add_loss(Loss(5, 9, "write_failed", count=4))
    clock[0] = 200
    await store.add_loss(Loss(6, 12, "write_failed", count=1))
    assert await store.losses(5, 6) == [Loss(5, 12, "write_failed", count=5)]
    assert await store.losses_noted(0, 200) == []
    assert [loss.noted for loss in await store.losses_noted(200, 201)] == [200]
    await store.close()
