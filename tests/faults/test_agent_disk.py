"""The running agent on a full disk, within a small cap, on a corrupt file: it goes on and says so once."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.buffer.store import Loss, Store
from agent.errors import GongfuError
from tests.support.agents import running, write_config
from tests.support.buffer_files import files_size, lost_samples, small_disk, sound, times_of

DEVICES = """
[[device]]
name = "sim"
driver = "simulated"
interval = "20ms"
tag = [
  { name = "parts", address = "counter:50", kind = "counter" },
  { name = "temperature", address = "sine:10,50,60" },
]
"""
TAGS = "\n".join(f'  {{ name = "t{number}", address = "noise:0,1000" }},' for number in range(400))
MANY = f"""
[[device]]
name = "sim"
driver = "simulated"
interval = "20ms"
tag = [
{TAGS}
]
"""


class Said:
    """What the agent says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._queue: queue.Queue[str] = queue.Queue()
        self._stream = process.stderr
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._stream is not None
        for line in self._stream:
            self._queue.put(line)

    def until(self, words: str, seconds: float = 100) -> None:
        deadline = time.monotonic() + seconds
        while words not in (self.lines or [""])[-1]:
            try:
                self.lines.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                pytest.fail(f"never said: {words}\n{''.join(self.lines)}")

    def rest(self) -> list[str]:
        self._thread.join(60)
        while not self._queue.empty():
            self.lines.append(self._queue.get())
        return self.lines


@pytest.fixture(params=["a file system of its own", "a limit on the size of files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Callable[..., None]]]:
    """A folder, and a function that makes it full for a process, or empty again."""
    if request.param.startswith("a limit"):

        def limit(process: subprocess.Popen[str], full: bool) -> None:
            hard = resource.RLIM_INFINITY
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))

        yield tmp_path, limit
        return
    try:
        with small_disk(tmp_path / "disk", 4000) as folder:

            def ballast(process: subprocess.Popen[str], full: bool) -> None:
                if not full:
                    (folder / "ballast").unlink()
                    return
                with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
                    while file.write(bytes(4096)):
                        pass

            yield folder, ballast
    except PermissionError as error:
        pytest.skip(f"needs root, to mount a small file system: {error}")


async def test_L12_a_full_disk_is_said_once_and_loses_nothing(
    disk: tuple[Path, Callable[..., None]], tmp_path: Path
) -> None:
    folder, fill = disk
    config = write_config(folder, DEVICES)
    with running(config) as agent:
        said = Said(agent)
        said.until("gongfu-edge")
        await _recorded(folder, 50)
        fill(agent, True)
        said.until("samples are kept in memory")
        said.until("digests wait")  # a period has ended meanwhile
        fill(agent, False)
        said.until("takes data again")
        await _digest(folder)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 0
        lines = said.rest()
    assert sum("samples are kept in memory" in line for line in lines) == 1, "".join(lines)
    assert sum("digests wait" in line for line in lines) == 1
    path = folder / "data" / "buffer.db"
    store = await Store.open(path)
    scans = np.concatenate([batch.scan_time async for batch in store.blocks(0, 2**62)])
    late = np.concatenate([batch.scan_late async for batch in store.blocks(0, 2**62)])
    # Every scan is there, or was counted as late: nothing of the outage is missing.
    span = (int(scans.max()) - int(scans.min())) / 20_000
    assert len(scans) + int(late.sum()) >= span - 2
    assert await lost_samples(store) == 0
    digests = [each for each in await store.digests(1000) if each.kind == "period"]  # midnight brings others
    assert all(after.start == before.end for after, before in pairwise(digests))
    await store.close()
    assert sound(path)


async def test_L16_L26_the_running_agent_stays_within_its_cap_and_sheds_the_oldest(tmp_path: Path) -> None:
    config = write_config(tmp_path, MANY)
    config.write_text(config.read_text().replace("[buffer]\n", '[buffer]\nmax_size = "1MB"\n'), encoding="utf-8")
    path = tmp_path / "data" / "buffer.db"
    with running(config) as agent:
        said = Said(agent)
        largest = 0

        async def shed(store: Store) -> list[Loss]:
            nonlocal largest
            largest = max(largest, files_size(path))
            return await store.losses(0, 2**62)

        await _until(tmp_path, shed, bool)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 0
        lines = said.rest()
    assert largest <= 1_000_000 and files_size(path) <= 1_000_000
    assert not [line for line in lines if "ERROR" in line], "".join(lines)
    store = await Store.open(path, max_bytes=1_000_000)
    times = await times_of(store)
    losses = await store.losses(0, 2**62)
    assert {loss.cause for loss in losses} == {"shed_cap"}
    assert min(times) >= max(loss.end for loss in losses) - 1_000_000, "the oldest went"
    await store.close()
    assert sound(path)


async def test_L6_the_agent_starts_on_a_corrupt_file_sets_it_aside_and_says_so(tmp_path: Path) -> None:
    config = write_config(tmp_path, DEVICES)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "buffer.db").write_bytes(b"what a failing card gives back " * 1000)
    with running(config) as agent:
        said = Said(agent)
        said.until("set aside in")
        await _recorded(tmp_path, 50)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 0
        assert sum("set aside in" in line for line in said.rest()) == 1
    (kept,) = (tmp_path / "data" / "quarantine").rglob("buffer.db")
    assert kept.read_bytes().startswith(b"what a failing card")


async def _recorded(folder: Path, count: int) -> None:
    await _until(folder, lambda store: times_of(store), lambda times: len(times) > count)


async def _digest(folder: Path) -> None:
    """Wait for a digest that is built after now."""
    before = time.time_ns() // 1000
    await _until(folder, lambda store: store.digests(1), lambda digests: bool(digests) and digests[0].end > before)


async def _until(folder: Path, look, good) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        with contextlib.suppress(GongfuError):
            store = await Store.open(folder / "data" / "buffer.db", read_only=True)
            try:
                if good(await look(store)):
                    return
            finally:
                await store.close()
    pytest.fail("it never happened")


async def test_b2_it_starts_on_a_full_disk_and_recovers_by_itself(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 16_000) as folder:
            await _starts_on_a_full_disk(folder)
    except PermissionError as error:
        pytest.skip(f"needs root, to mount a small file system: {error}")


async def _starts_on_a_full_disk(folder: Path) -> None:
    config = write_config(folder, DEVICES)
    with running(config) as agent:
        await _recorded(folder, 50)
        await _exists(folder / "data" / "ballast")
        agent.send_signal(signal.SIGKILL)  # a power cut
        agent.wait(60)
    with contextlib.suppress(OSError), (folder / "full").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with running(config) as agent:
        said = Said(agent)
        said.until("is full or fails: the room kept for that is used up now")
        store = await Store.open(folder / "data" / "buffer.db", read_only=True)
        before = max(await times_of(store))
        await store.close()

        async def later(store: Store) -> bool:
            return max(await times_of(store)) > before

        await _until(folder, later, bool)
        (folder / "full").unlink()
        await _digest(folder)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 0
    assert sound(folder / "data" / "buffer.db")


async def _exists(path: Path) -> None:
    deadline = time.monotonic() + 100
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} is never made"
        await asyncio.sleep(0.05)
