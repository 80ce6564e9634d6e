"""The whole agent, killed at random moments and stopped in order."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from agent.buffer.store import Store
from agent.errors import GongfuError
from agent.evidence.verify import verify_paths
from tests.support.agents import gongfu_edge, running, wait_until_running, write_config
from tests.support.ports import free_port

KILLS = 50
Sample = tuple[int, int, float]


async def recorded(path: Path) -> set[Sample]:
    """Every sample that another process can see: those that were flushed."""
    try:
        store = await Store.open(path, read_only=True)
    except GongfuError:  # not made yet, or its schema is just being written
        return set()
    try:
        return {
            row
            async for batch in store.blocks(0, 2**60)
            for row in zip(batch.series.tolist(), batch.time.tolist(), batch.value.tolist(), strict=True)
        }
    finally:
        await store.close()


async def until_more_than(path: Path, count: int) -> set[Sample]:
    """Wait until more samples than ``count`` are durable."""
    deadline = time.monotonic() + 60
    while len(seen := await recorded(path)) <= count:
        assert time.monotonic() < deadline, "the agent records nothing"
        await asyncio.sleep(0.02)
    return seen


@pytest.mark.timeout(900)  # fifty starts
async def test_L34_fifty_kills_lose_no_flushed_sample_and_leave_a_whole_chain(tmp_path: Path) -> None:
    config, path, rng = write_config(tmp_path), tmp_path / "data" / "buffer.db", random.Random(7)
    flushed: set[Sample] = set()
    for _ in range(KILLS):
        with running(config) as agent:
            flushed |= await until_more_than(path, len(flushed))
            await asyncio.sleep(rng.uniform(0, 0.3))  # the moment is what varies, nothing is waited for
            flushed |= await recorded(path)
            agent.kill()
        left = await recorded(path)
        assert flushed <= left, f"{len(flushed - left)} flushed samples are gone"
        flushed = left
    assert gongfu_edge("digest", "export", str(tmp_path / "out"), "--config", str(config)).returncode == 0
    results = verify_paths([tmp_path / "out"], tmp_path / "out" / "keys.jwks")
    assert [result.problem for result in results] == [""] * len(results)
    assert [result.seq for result in results] == list(range(1, len(results) + 1))
    digests = [json.loads(result.path.read_bytes()) for result in results]
    periods = [each["header"]["period"] for each in digests if each["kind"] == "period"]  # midnight brings others
    assert len(periods) >= 3
    assert all(before["end"] == after["start"] for before, after in pairwise(periods))


async def test_sigterm_ends_within_five_seconds_with_everything_flushed(tmp_path: Path) -> None:
    config, path, console = write_config(tmp_path, flush="60s"), tmp_path / "data" / "buffer.db", free_port()
    config.write_text(config.read_text("utf-8").replace('listen = ""', f'listen = "127.0.0.1:{console}"'), "utf-8")
    with running(config) as agent:
        assert agent.stderr is not None
        assert "gongfu-edge" in agent.stderr.readline()
        # Something to flush; with a flush each minute nothing is on disk yet.
        await asyncio.to_thread(wait_until_running, console, 20)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(5) == 0
        assert "everything is flushed" in agent.stderr.read()
    assert len(await recorded(path)) > 10
    store = await Store.open(path, read_only=True)
    assert [event.kind for event in await store.events(0, 2**60)][-1] == "stop"
    await store.close()


async def test_a_second_instance_is_refused_with_one_clear_line(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with running(config) as agent:
        await until_more_than(tmp_path / "data" / "buffer.db", 0)
        second = gongfu_edge("run", "--config", str(config))
    assert second.returncode == 1
    (line,) = second.stderr.strip().splitlines()
    assert f"process {agent.pid}" in line and "→" in line
