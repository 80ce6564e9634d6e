"""One device under the supervisor: failures are recorded, said once, and got over."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.backoff import Backoff
from agent.clock import Clock
from agent.config.model import Device
from agent.core.supervision import Supervision
from agent.supervisor import DeviceRunner, Supervisor
from drivers.contract import DriverError, FailureKind, PointGroup, Samples
from drivers.quality import Quality
from tests.support.sampling import RecordingSink, ScriptedDriver, scripted_device

Events = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda self: 0.001)


@asynccontextmanager
async def running(device: Device, sink: RecordingSink, events: Events) -> AsyncIterator[DeviceRunner]:
    runner = DeviceRunner(
        device,
        np.arange(100, 100 + len(device.tags), dtype=np.int32),
        lambda interval: 7,
        sink,
        Clock(),
        data_dir=Path(os.devnull),
        shared={},
        full_every_us=3_600_000_000,
        on_scan=lambda: None,
        report=lambda kind, name, detail: events.append((kind, name, detail)),
    )
    supervision = Supervision()
    Supervisor(supervision, [runner]).start()
    try:
        yield runner
    finally:
        await supervision.stop_all(1.0)


def values(make: Callable[[int], float | Quality]) -> Callable[[ScriptedDriver, PointGroup], Samples]:
    count = 0

    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        nonlocal count
        count += 1
        return Samples.of([(point, make(count)) for point in group.points], driver.context.now())

    return read


async def test_unchanged_values_are_recorded_once_while_scans_go_on() -> None:
    device, _ = scripted_device(lambda n: None, values(lambda n: 5.0))
    sink = RecordingSink()
    async with running(device, sink, []):
        await sink.until(lambda: len(sink.scans) >= 5)
    assert [(series, value) for series, _, value, _ in sink.samples] == [(100, 5.0), (101, 5.0)]
    assert all(group == 7 for group, _, _ in sink.scans)


async def test_L32_a_lost_device_is_recorded_bad_once_and_never_carried_forward(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail = asyncio.Event()

    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        if fail.is_set():
            raise DriverError("no answer from 10.0.0.1", quality=Quality.TIMEOUT, remedy="check the cable")
        return Samples.of([(point, 1.0) for point in group.points], driver.context.now())

    device, made = scripted_device(lambda n: None, read)
    sink, events = RecordingSink(), Events()
    caplog.set_level(logging.INFO)
    async with running(device, sink, events) as runner:
        await sink.until(lambda: len(sink.scans) >= 2)
        fail.set()
        while made[0].opened < 20:  # noqa: ASYNC110 — the driver has no event to wait for
            await asyncio.sleep(0)
        assert runner.snapshot().state == "down"
        assert runner.snapshot().remedy == "check the cable"
        fail.clear()
        scans = len(sink.scans)
        await sink.until(lambda: len(sink.scans) > scans + 1)
        assert runner.snapshot().state == "running"
    assert [code for _, _, _, code in sink.samples] == [0, 0, Quality.TIMEOUT, Quality.TIMEOUT, 0, 0]
    assert sum("no answer" in record.message for record in caplog.records) == 1  # 20 attempts, one line
    assert [kind for kind, _, _ in events] == ["connect", "disconnect", "connect"]
    assert made[0].closed >= made[0].opened - 1


async def test_L15_an_unexpected_error_of_a_driver_never_ends_polling(caplog: pytest.LogCaptureFixture) -> None:
    def make(n: int) -> float:
        if n == 2:
            raise KeyError("a bug")
        return float(n)

    device, _ = scripted_device(lambda n: None, values(make))
    sink = RecordingSink()
    async with running(device, sink, []):
        await sink.until(lambda: len(sink.scans) >= 4)
    assert Quality.BAD in [code for _, _, _, code in sink.samples]
    assert any(record.exc_info for record in caplog.records)


async def test_some_bad_points_make_the_device_degraded_and_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        fault = DriverError("holding 5 refused", kind=FailureKind.PARTIAL, quality=Quality.ADDRESS, points=(1,))
        first, second = group.points
        return Samples.of([(first, 1.0), (second, Quality.ADDRESS)], driver.context.now(), [fault])

    device, _ = scripted_device(lambda n: None, read)
    sink = RecordingSink()
    async with running(device, sink, []) as runner:
        await sink.until(lambda: len(sink.scans) >= 5)
        snapshot = runner.snapshot()
    assert (snapshot.state, snapshot.good, snapshot.bad) == ("degraded", 1, 1)
    assert snapshot.faults == ("holding 5 refused",)
    assert sum("refused" in record.message for record in caplog.records) == 1


async def test_a_point_that_is_bad_every_other_scan_does_not_fill_the_journal(caplog: pytest.LogCaptureFixture) -> None:
    count = 0

    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        nonlocal count
        count += 1
        fault = DriverError("holding 5 refused", kind=FailureKind.PARTIAL, quality=Quality.ADDRESS, points=(1,))
        return Samples.of([(point, 1.0) for point in group.points], driver.context.now(), [fault] * (count % 2))

    device, _ = scripted_device(lambda n: None, read)
    sink = RecordingSink()
    caplog.set_level(logging.INFO)
    async with running(device, sink, []):
        await sink.until(lambda: len(sink.scans) >= 9)
    assert [record.message.partition(": ")[2] for record in caplog.records if record.name == "agent.supervisor"] == [
        "holding 5 refused",
        "all points good again",
    ]


async def test_a_device_that_cannot_be_opened_at_start_comes_later() -> None:
    def opening(attempt: int) -> None:
        if attempt < 3:
            raise DriverError("port /dev/ttyUSB9 does not exist", quality=Quality.CONNECTION)

    device, made = scripted_device(opening, values(lambda n: 1.0))
    sink = RecordingSink()
    async with running(device, sink, []):
        await sink.until(lambda: len(sink.scans) >= 1)
    assert made[0].opened == 3
    assert [code for _, _, _, code in sink.samples] == [Quality.CONNECTION] * 2 + [0, 0]


async def test_L33_groups_of_one_device_never_read_at_the_same_time() -> None:
    busy = 0

    async def slow(self: ScriptedDriver, group: PointGroup) -> Samples:
        nonlocal busy
        busy += 1
        assert busy == 1
        await asyncio.sleep(0.002)
        busy -= 1
        return Samples.of([(point, 1.0) for point in group.points], self.context.now())

    device, made = scripted_device(lambda n: None, values(lambda n: 1.0), interval=0.001)
    sink = RecordingSink()
    async with running(device, sink, []) as runner:
        made[0].read = slow.__get__(made[0])  # type: ignore[method-assign]
        await sink.until(lambda: sum(late for _, _, late in sink.scans) >= 3)
        assert runner.snapshot().late >= 3  # L23: skipped and counted, not queued


async def test_what_a_device_dropped_is_handed_on_by_the_name_of_its_series() -> None:
    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        samples = Samples.of([(point, 1.0) for point in group.points], driver.context.now())
        samples.lost = {1: 3}
        return samples

    device, _ = scripted_device(lambda n: None, read)
    sink = RecordingSink()
    async with running(device, sink, []):
        await sink.until(lambda: bool(sink.losses))
    loss = sink.losses[0]
    assert (loss.cause, loss.device, loss.series, loss.count) == ("overflow", "dev", device.tags[1].series, 3)


async def test_a_scan_that_began_before_a_span_of_full_records_does_not_count_for_it() -> None:
    span = 3_600_000_000
    start = (Clock().now() // span + 1) * span
    stamps = iter([start - 2, start - 1, start, start + 1, start + 2])

    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        stamp = next(stamps, start + 3)
        samples = Samples.of([(point, 1.0) for point in (group.points[0], *group.points)], stamp)
        samples.time[0] -= 1
        return samples

    device, _ = scripted_device(lambda n: None, read)
    sink = RecordingSink()
    async with running(device, sink, []):
        await sink.until(lambda: len(sink.scans) >= 6)
    kept = [(series, time - start) for series, time, _, _ in sink.samples]
    assert {(100, 1), (101, 1)} <= set(kept)  # whole, with every stamp within the span
