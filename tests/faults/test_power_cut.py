"""L12: what was flushed survives, whatever the log's tail looks like."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.buffer.store import Store

ROOT = Path(__file__).parents[2]


def write_until(path: Path, first: int, blocks: int) -> int:
    """Run the writer, kill it after it has printed ``blocks`` numbers; returns the last one it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests/faults/buffer_writer.py"), str(path), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        last = first - 1
        for _ in range(blocks):
            last = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
        return int(rest[-1]) if rest else last


async def committed(path: Path) -> list[int]:
    store = await Store.open(path)
    numbers = [int(batch.time[0]) // 1_000_000 async for batch in store.blocks(0, 2**60)]
    losses = await store.losses(0, 2**62)
    await store.close()
    assert losses == []
    return numbers


@pytest.mark.parametrize("seed", range(6))
async def test_L12_a_torn_log_costs_its_tail_only(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "b.db", random.Random(seed)
    write_until(path, 0, 12)
    log = Path(f"{path}-wal")
    if log.exists():
        os.truncate(log, rng.randint(0, log.stat().st_size))
    numbers = await committed(path)
    assert numbers == list(range(len(numbers)))
