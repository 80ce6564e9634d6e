"""A driver that never returns: its device is shown as stale, cut at a bound and started anew; no other is touched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.backoff import Backoff
from agent.clock import Clock
from agent.core import bounded
from agent.core.supervision import Supervision
from agent.sampling import bounds, sampler
from agent.sampling.bounds import Bounds
from agent.supervisor import DeviceRunner, Supervisor
from drivers.contract import Context, DriverType, Point, PointGroup, Samples
from drivers.quality import Quality
from tests.support.sampling import NoOptions, RecordingSink, scripted_device


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds as of a device that must be quick; their real lengths are tested below."""
    monkeypatch.setattr(Backoff, "next", lambda self: 0.001)
    for name in ("open", "read"):
        monkeypatch.setattr(Bounds, name, lambda self, what: 0.3)
    monkeypatch.setattr(Bounds, "close", 0.3)
    monkeypatch.setattr(bounded, "GRACE_S", 0.05)
    monkeypatch.setattr(sampler, "stale_after", lambda interval: 0.1)


@dataclass
class Script:
    """Where the first driver object hangs, and whether it even ignores that it is cancelled."""

    call: str
    ignores: bool = False
    made: int = 0
    hangs: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Hanging:
    def __init__(self, script: Script, context: Context) -> None:
        script.made += 1
        self.script, self.context, self.number = script, context, script.made
        self.reads = self.hung = 0

    async def _call(self, name: str) -> None:
        after = self.reads if name != "open" else 3
        if self.number > 1 or self.hung or name != self.script.call or after < 3:
            return
        self.hung += 1
        self.script.hangs.set()
        while not self.script.released.is_set():
            try:
                await self.script.released.wait()
            except asyncio.CancelledError:
                if not self.script.ignores:
                    raise

    async def open(self) -> None:
        await self._call("open")

    async def read(self, group: PointGroup) -> Samples:
        self.reads += 1
        await self._call("read")
        if self.script.call == "close" and self.number == 1 and self.reads == 3:
            raise RuntimeError("so that it is closed")
        return Samples.of([(point, 1.0) for point in group.points], self.context.now())

    async def close(self) -> None:
        await self._call("close")

    def observations(self) -> dict[str, Any]:
        return {"never": object()}


def runner(name: str, script: Script, sink: RecordingSink) -> DeviceRunner:
    device, _ = scripted_device(lambda opened: None, lambda driver, group: Samples.bad((), 0, Quality.BAD))

    def create(_options: Any, _points: Sequence[Point], context: Context) -> Hanging:
        return Hanging(script, context)

    device = replace(device, name=name, type=DriverType("hanging", NoOptions, create))
    return DeviceRunner(
        device, np.arange(len(device.tags), dtype=np.int32), lambda interval: 7, sink, Clock(), data_dir=Path(),
        shared={}, full_every_us=3_600_000_000, on_scan=lambda: None, report=lambda kind, device, detail: None,
    )  # fmt: skip


@asynccontextmanager
async def running(script: Script) -> AsyncIterator[tuple[DeviceRunner, DeviceRunner, Callable[..., Awaitable[None]]]]:
    sink, supervision = RecordingSink(), Supervision()
    hung, other = runner("hung", script, sink), runner("other", Script("never"), sink)
    Supervisor(supervision, [hung, other]).start()
    try:
        yield hung, other, sink.until
    finally:
        await supervision.stop_all(2.0)
        script.released.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while bounded.left_behind():  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.001)


@pytest.mark.parametrize("ignores", [False, True], ids=["ends when cancelled", "ignores it"])
@pytest.mark.parametrize("call", ["open", "read", "close"])
async def test_b4_a_call_that_hangs_costs_its_device_a_restart_and_nobody_else_a_scan(call: str, ignores: bool) -> None:
    script = Script(call, ignores)
    async with running(script) as (hung, other, until):
        await script.hangs.wait()
        before, scans = other.snapshot(), hung.snapshot().scans
        await until(lambda: hung.snapshot().scans > scans + 3 and hung.snapshot().state == "running")
        after = other.snapshot()
        assert script.made == (2 if ignores else 1), "a driver that still runs is not used again"
        assert (after.state, after.reconnects) == ("running", before.reconnects)
        assert after.scans > before.scans


async def test_b4_what_a_hung_device_told_last_is_shown_as_stale_and_then_as_lost() -> None:
    script = Script("read", ignores=True)
    async with running(script) as (hung, _, until):
        await script.hangs.wait()
        assert hung.snapshot().state == "running"
        await until(lambda: bool(hung.stale().all()))
        shown = hung.snapshot()
        assert (shown.state, shown.good, shown.bad) == ("down", 0, 2)
        assert shown.last_error and shown.remedy and "stale" in shown.faults[0]
        await until(lambda: hung.snapshot().state == "running" and not hung.stale().any())
        assert hung.snapshot().reconnects > 0


async def test_what_a_driver_observes_and_cannot_be_shown_does_not_spoil_the_status() -> None:
    async with running(Script("never")) as (device, _, until):
        await until(lambda: device.snapshot().scans > 0)
        assert list(device.snapshot().observations) == ["observations_failed"]


class Timed(msgspec.Struct):
    timeout: float | str = 4.0


def test_b4_the_bounds_follow_from_timeouts_and_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    quick, slow = Bounds.of(Timed(0.2)), Bounds.of(Timed(30.0))
    points = [Point(index=number, name=f"t{number}", address="") for number in range(1000)]
    few, many, seldom = (
        PointGroup((points[0],), 0.2),
        PointGroup(tuple(points), 0.2),
        PointGroup((points[0],), 86_400.0),
    )
    assert quick.read(few) < slow.read(few) and quick.close < slow.close and quick.open(1) < slow.open(1)
    assert quick.read(few) < quick.read(many) and quick.read(few) < 30
    assert quick.read(seldom) < 1_000, "a device read once a day is not waited for for days"
    assert Bounds.of(Timed("soon")) == Bounds.of(NoOptions()) == Bounds.of(Timed(float("inf"))) == Bounds()
    assert bounds.stale_after(0.2) < 15
