"""L34, L12: killed at any moment, also while it sheds, what was flushed is there or in the ledger."""

from __future__ import annotations

import os
import random
import selectors
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.buffer.store import Store
from tests.support.buffer_files import files_size, lost_samples, sound, times_of

HERE = Path(__file__).parent
ROWS = 500


def run_and_kill(path: Path, first: int, cap: int, after_s: float) -> int:
    """Let the writer go, kill it ``after_s`` after its first block; how many blocks it said are durable."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, str(HERE / "append_for_ever.py"), str(path), str(first), str(cap)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, bufsize=0) as process:  # lines in order
        assert process.stdout is not None
        output = process.stdout.readline()
        deadline = time.monotonic() + after_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(left):
                    output += os.read(process.stdout.fileno(), 65536)
        process.kill()
        output += process.stdout.read()
    # The last line may be torn; what is whole was printed after its block was durable.
    return int(output.decode().split("\n")[-2])


@pytest.mark.parametrize("cap", [500_000, 50_000_000])
async def test_L34_kill_9_at_any_moment_loses_nothing_that_was_flushed(tmp_path: Path, cap: int) -> None:
    path, rng, first = tmp_path / "b.db", random.Random(cap), 0
    for _ in range(6):
        said = run_and_kill(path, first, cap, rng.uniform(0, 0.4))
        assert files_size(path) <= cap
        store = await Store.open(path, max_bytes=cap)
        times = await times_of(store)
        found = len(times) + await lost_samples(store)
        # One block more may be there: durable, but killed before it could say so.
        assert found in (said * ROWS, (said + 1) * ROWS)
        assert len(set(times)) == len(times)
        first = found // ROWS
        newest = await store.last_digest()
        assert newest is not None and newest.seq >= (said - 8) // 7 * 7 + 1
        await store.close()
        assert sound(path)
