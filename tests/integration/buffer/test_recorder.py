"""The recorder keeps what the disk does not take, within its bound, and accounts for the rest."""

from __future__ import annotations

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
