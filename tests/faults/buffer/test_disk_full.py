"""A disk that is full: said once, nothing lost within the bounds, and it goes on by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.buffer.recorder import Recorder
from agent.buffer.store import Store
from agent.clock import Clock
from drivers.contract import Samples
from tests.support.buffer_files import lost_samples, small_disk, sound, times_of

ROWS = 1000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with small_disk(tmp_path / "disk", 1500) as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(f"cannot mount a small file system: {error}")


def add(recorder: Recorder, number: int) -> None:
    noise = np.random.default_rng(number).normal(size=ROWS)
    time = number * 1_000_000 + np.arange(ROWS, dtype=np.int64)
    recorder.add_samples(
        np.ones(ROWS, np.int32), Samples(np.zeros(ROWS, np.int32), time, noise, np.zeros(ROWS, np.uint8))
    )


@pytest.mark.parametrize("max_pending", [20_000, 4_000_000])
async def test_L4_a_full_disk_is_survived_and_accounted_for(
    disk: Path, max_pending: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = disk / "b.db"
    store = await Store.open(path)
    recorder = Recorder(store, Clock(), max_pending=max_pending)
    for number in range(20):
        add(recorder, number)
        await recorder.flush()
    assert recorder.failing == ""
    ballast = disk / "somebody-elses.log"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    for number in range(20, 70):
        add(recorder, number)
        await recorder.flush()
    assert recorder.failing and len(recorder._waiting) > 1
    assert len(await times_of(store)) >= 20 * ROWS, "what is stored can be read meanwhile"
    ballast.unlink()
    add(recorder, 70)
    await recorder.flush()
    assert recorder.failing == ""
    times, lost = await times_of(store), await lost_samples(store)
    assert len(times) + lost == 71 * ROWS and len(set(times)) == len(times)
    assert (lost > 0) == (max_pending == 20_000) and times[-1] // 1_000_000 == 70
    said = [record.levelname for record in caplog.records if record.name.startswith("agent.")]
    assert said == ["ERROR", "WARNING"], caplog.text
    await store.close()
    assert sound(path)
