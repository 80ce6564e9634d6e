"""Devices are exchanged while others run: nobody else misses a scan, and a connection is let go before it is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.clock import Clock
from agent.core.supervision import Supervision
from agent.supervisor import DeviceRunner, Supervisor
from drivers.contract import Context, DriverType, Point, PointGroup, Samples
from tests.support.sampling import NoOptions, RecordingSink, ScriptedDriver, scripted_device

log: list[str] = []


class Watched(ScriptedDriver):
    """Says when it opens and closes."""

    async def open(self) -> None:
        log.append(f"{self.context.device} opens")
        await super().open()

    async def close(self) -> None:
        await asyncio.sleep(0)  # a close that takes a turn of the loop
        await super().close()
        log.append(f"{self.context.device} closed")


def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
    return Samples.of([(point, 1.0) for point in group.points], driver.context.now())


def watched(_options: Any, _points: Sequence[Point], context: Context) -> Watched:
    return Watched(context, lambda opened: None, read)


def make(name: str, sink: RecordingSink) -> DeviceRunner:
    device, _ = scripted_device(lambda opened: None, read)
    device = replace(device, name=name, type=DriverType("watched", NoOptions, watched))
    return DeviceRunner(
        device, np.arange(len(device.tags), dtype=np.int32), lambda interval: ord(name), sink, Clock(), data_dir=Path(),
        shared={}, full_every_us=3_600_000_000, on_scan=lambda: None, report=lambda kind, device, detail: None,
    )  # fmt: skip


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    log.clear()
    supervisor.start()
    try:
        yield
    finally:
        await supervisor.exchange([])


async def test_only_what_differs_is_stopped_and_started() -> None:
    sink = RecordingSink()
    a, b = make("a", sink), make("b", sink)
    supervisor = Supervisor(Supervision(), [a, b])
    async with running(supervisor):
        await sink.until(lambda: a.snapshot().scans > 2 and b.snapshot().scans > 2)
        new = make("b", sink)
        scans = a.snapshot().scans
        await supervisor.exchange([a, new])
        await sink.until(lambda: new.snapshot().scans > 2 and a.snapshot().scans > scans + 2)
        assert [entry for entry in log if entry.startswith("b")] == ["b opens", "b closed", "b opens"]
        assert [entry for entry in log if entry.startswith("a")] == ["a opens"]
        assert supervisor.runners["b"] is new


async def test_a_device_can_be_taken_away_switched_off_and_brought_back() -> None:
    sink = RecordingSink()
    a, b = make("a", sink), make("b", sink)
    supervisor = Supervisor(Supervision(), [a, b])
    async with running(supervisor):
        await sink.until(lambda: b.snapshot().scans > 0)
        await supervisor.exchange([a], off=["b"])
        assert [(each.name, each.state) for each in supervisor.snapshots()] == [("a", "running"), ("b", "off")]
        again = make("b", sink)
        await supervisor.exchange([a, again])
        await sink.until(lambda: again.snapshot().state == "running")
        assert [each.name for each in supervisor.snapshots()] == ["a", "b"]


async def test_an_exchange_before_the_start_is_what_starts() -> None:
    sink = RecordingSink()
    b = make("b", sink)
    supervisor = Supervisor(Supervision(), [make("a", sink)])
    await supervisor.exchange([b])
    async with running(supervisor):
        await sink.until(lambda: b.snapshot().scans > 0)
        assert log[0] == "b opens"


async def test_d1_an_exchange_during_the_staggered_start_starts_nothing_twice() -> None:
    sink = RecordingSink()
    names = [chr(number) for number in range(0x4E00, 0x4E00 + 30)]
    before = {name: make(name, sink) for name in names}
    supervision = Supervision()
    supervisor = Supervisor(supervision, list(before.values()))
    async with running(supervisor):
        await sink.until(lambda: before[names[2]].snapshot().scans > 0)  # in the middle of it
        assert before[names[-1]].snapshot().scans == 0
        after = before | {name: make(name, sink) for name in names[-5:]}
        await asyncio.gather(supervisor.exchange(list(after.values())), supervisor.exchange(list(after.values())))
        await sink.until(lambda: all(each.snapshot().scans > 0 for each in after.values()))
        opened = [entry for entry in log if entry.endswith("opens")]
        assert sorted(opened) == sorted(f"{name} opens" for name in names)
        assert all(before[name].snapshot().scans == 0 for name in names[-5:]), "what left before its turn never started"
    assert not supervision.snapshots()
    assert sorted(entry for entry in log if entry.endswith("closed")) == sorted(f"{name} closed" for name in names)
