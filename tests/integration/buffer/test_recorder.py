"""The recorder keeps what the disk does not take, within its bound, and accounts for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.buffer.blocks import Block
from agent.buffer.recorder import Recorder
from agent.buffer.records import Loss
from agent.buffer.store import Store, StoreUnavailable
from agent.clock import Clock
from drivers.contract import Point, Samples
from tests.support.buffer_files import times_of

POINT = Point(index=0, name="x", address="")


def add(recorder: Recorder, time: int, value: float | str) -> None:
    recorder.add_samples(np.array([1], np.int32), Samples.of([(POINT, value)], time))
    recorder.add_scan(1, time, 0)


async def test_a_flush_commits_samples_scans_and_text(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    recorder = Recorder(store, Clock())
    add(recorder, 1, 5.0)
    add(recorder, 2, "serial 7")
    await recorder.flush()
    (batch,) = [batch async for batch in store.blocks(0, 9)]
    assert batch.time.tolist() == [1, 2] and batch.value[0] == 5.0 and batch.text == {1: "serial 7"}
    assert batch.scan_time.tolist() == [1, 2]
    await recorder.flush()  # nothing new: nothing is written
    assert (await store.stats()).samples == 2
    await store.close()


async def test_L4_a_failing_disk_loses_nothing_within_the_bound_and_the_rest_is_ledgered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = await Store.open(tmp_path / "b.db")
    recorder = Recorder(store, Clock(), max_pending=10)
    works = store.append_block

    async def full(block: Block) -> None:
        raise StoreUnavailable("disk full", remedy="free some space")

    monkeypatch.setattr(store, "append_block", full)
    for time in range(10):
        add(recorder, time, float(time))
        await recorder.flush()
    assert recorder.failing == "disk full"
    monkeypatch.setattr(store, "append_block", works)
    await recorder.flush()
    assert recorder.failing == ""
    kept = [int(time) async for batch in store.blocks(0, 99) for time in batch.time]
    (loss,) = await store.losses(0, 99)
    assert (loss.cause, loss.start, loss.count + len(kept)) == ("write_failed", 0, 10)
    assert kept == list(range(loss.count, 10))
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]  # said once, not at each flush
    await store.close()


async def test_what_a_device_dropped_is_entered_in_the_ledger_once_a_tag_and_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.buffer.recorder.MAX_LOSSES", 2)
    store = await Store.open(tmp_path / "b.db")
    recorder = Recorder(store, Clock())
    for time in (5, 6):
        for tag in ("a", "b", "c", "d"):
            recorder.add_loss(Loss(time, time + 1, "overflow", "cnc", f"cnc.{tag}", 2))
    works = store.add_losses

    async def full(losses: Sequence[Loss]) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(store, "add_losses", full)
    await recorder.flush()
    monkeypatch.setattr(store, "add_losses", works)
    await recorder.flush()
    await recorder.flush()  # nothing new: nothing is entered again
    assert sorted(await store.losses(0, 99), key=lambda loss: loss.series) == [
        Loss(5, 7, "overflow", "cnc", "", 8),
        Loss(5, 7, "overflow", "cnc", "cnc.a", 4),
        Loss(5, 7, "overflow", "cnc", "cnc.b", 4),
    ]
    await store.close()


async def test_L34_a_flush_that_is_cancelled_writes_nothing_twice(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    recorder = Recorder(store, Clock())
    for turns in range(60):
        add(recorder, turns, 1.0)
        task = asyncio.create_task(recorder.flush())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await recorder.flush()
    assert await times_of(store) == list(range(60))
    await store.close()


async def test_L11_a_block_is_of_one_epoch_of_the_clock(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db")
    clock = Clock(epoch=1)
    recorder = Recorder(store, clock)
    add(recorder, 10, 1.0)
    clock.epoch = 2
    add(recorder, 2_000, 1.0)
    await store.restamp(1, 1_000)  # also what has not reached the disk yet
    await recorder.flush()
    assert await times_of(store) == [1_010, 2_000]
    await store.close()


async def test_a_flush_that_is_too_large_for_the_cap_is_divided(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", max_bytes=500_000)
    recorder = Recorder(store, Clock())
    count = 30_000
    noise = np.random.default_rng(1).normal(size=count)
    time = np.arange(count, dtype=np.int64)
    samples = Samples(np.zeros(count, np.int32), time, noise, np.zeros(count, np.uint8), {7: "text"})
    recorder.add_samples(np.ones(count, np.int32), samples)
    await recorder.flush()
    assert recorder.failing == ""
    kept = [batch async for batch in store.blocks(0, 2**62)]
    assert sum(map(len, kept)) == count and [text for batch in kept for text in batch.text.values()] == ["text"]
    values = np.concatenate([batch.value for batch in kept])
    assert values.tobytes() == noise.tobytes()
    await store.close()


async def test_L4_a_long_outage_stays_within_its_bound_while_samples_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(tmp_path / "b.db")
    recorder = Recorder(store, Clock(), max_pending=1_000)
    works = store.append_block
    gate = asyncio.Event()

    async def slow_and_full(block: Block) -> None:
        await gate.wait()
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(store, "append_block", slow_and_full)
    add(recorder, 0, 0.0)
    stuck = asyncio.create_task(recorder.flush())
    for _ in range(20):
        await asyncio.sleep(0)
    for time in range(1, 3_000):  # the disk hangs; what comes in meanwhile is bounded all the same
        add(recorder, time, float(time))
        if time % 100 == 0:
            recorder._seal()
    assert sum(each.rows for each in recorder._waiting) <= 1_300
    gate.set()
    await stuck
    monkeypatch.setattr(store, "append_block", works)
    await recorder.flush()
    times = await times_of(store)
    lost = sum(loss.count for loss in await store.losses(0, 2**62))
    assert len(times) + lost == 3_000 and lost > 0 and times[-1] == 2_999
    await store.close()
