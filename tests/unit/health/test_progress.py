from __future__ import annotations

import asyncio
import logging
import os

import pytest

from agent import supervisor
from agent.core.supervision import ComponentSnapshot
from agent.health import progress as progress_module
from agent.health.notify import Notifier
from agent.health.progress import Progress, Watchdog


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Heard(Notifier):
    def __init__(self) -> None:
        super().__init__({})
        self.lines: list[str] = []
        self.thrice = asyncio.Event()

    def _send(self, *lines: str) -> None:
        self.lines += lines
        if len(self.lines) == 3:
            self.thrice.set()


def test_slowest_retry_is_the_supervisors() -> None:
    assert progress_module.SLOWEST_RETRY_S >= supervisor.PERMANENT_CAP


def test_scans_that_stop_ending_are_a_stall() -> None:
    time = Time()
    progress = Progress(True, monotonic=time)
    for _ in range(20):
        time.now += 60
        progress.mark_commit()
    assert "scan" in progress.stalled()
    progress.mark_scan()
    assert not progress.stalled()


def test_commits_that_stop_ending_are_a_stall() -> None:
    time = Time()
    progress = Progress(True, monotonic=time)
    for _ in range(200):
        time.now += 1
        progress.mark_scan()
    assert "disk" in progress.stalled()


def test_plant_that_is_off_is_no_stall() -> None:
    # Every attempt fails, and the next comes five minutes later.
    time = Time()
    progress = Progress(True, monotonic=time)
    for _ in range(10):
        for _ in range(60):
            time.now += 5
            progress.mark_commit()
        assert not progress.stalled()
        progress.mark_scan()


def test_device_read_once_an_hour_is_no_stall() -> None:
    time = Time()
    progress = Progress(True, shortest_interval_s=3600, monotonic=time)
    time.now += 2 * 3600
    progress.mark_commit()
    assert not progress.stalled()


def test_without_devices_there_is_nothing_to_scan() -> None:
    time = Time()
    progress = Progress(False, monotonic=time)
    time.now += 100_000
    progress.mark_commit()
    assert not progress.stalled()


def component(name: str, *, code: str = "", overdue: bool = False) -> ComponentSnapshot:
    return ComponentSnapshot(
        name=name, state="running", essential=False, restarts=1, code=code, error=code, remedy="", quiet_s=500,
        overdue=overdue,
    )  # fmt: skip


def test_a_component_that_hangs_is_reported_and_ends_nothing() -> None:
    time, heard, found = Time(), Heard(), [component("uplink", code="hung"), component("clock", code="unexpected")]
    progress = Progress(True, monotonic=time, components=lambda: found)
    watchdog = Watchdog(heard, progress, environment={"WATCHDOG_USEC": "60000000"})
    watchdog.look()
    watchdog.look()
    assert heard.lines == ["STATUS=hangs, and is started anew: uplink", "WATCHDOG=1", "WATCHDOG=1"]
    found[0] = component("uplink")
    watchdog.look()
    assert heard.lines[3:] == ["STATUS=goes on again", "WATCHDOG=1"]


def test_what_supervision_itself_cannot_start_anew_is_a_stall() -> None:
    time, heard = Time(), Heard()
    progress = Progress(True, monotonic=time, components=lambda: [component("clock", code="hung", overdue=True)])
    Watchdog(heard, progress, environment={"WATCHDOG_USEC": "60000000"}).look()
    assert "clock" in progress.stalled() and "WATCHDOG=1" not in heard.lines


def test_watchdog_is_fed_only_while_there_is_progress(caplog: pytest.LogCaptureFixture) -> None:
    time, heard = Time(), Heard()
    progress = Progress(True, monotonic=time)
    watchdog = Watchdog(heard, progress, environment={"WATCHDOG_USEC": "60000000"})
    assert watchdog.period_s == 30
    watchdog.look()
    assert heard.lines == ["WATCHDOG=1"]
    time.now += 1000
    with caplog.at_level(logging.ERROR):
        watchdog.look()
        watchdog.look()
    assert "WATCHDOG=1" not in heard.lines[1:]
    assert len(caplog.records) == 1  # said once, however long it lasts
    progress.mark_scan()
    progress.mark_commit()
    watchdog.look()
    assert heard.lines[-1] == "WATCHDOG=1"


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": str(os.getpid() + 1)}],
)
def test_watchdog_nobody_asked_for_is_not_fed(environment: dict[str, str]) -> None:
    heard = Heard()
    watchdog = Watchdog(heard, Progress(True), environment=environment)
    watchdog.look()
    assert heard.lines == []


async def test_watchdog_goes_on_until_cancelled() -> None:
    heard = Heard()
    task = asyncio.create_task(Watchdog(heard, Progress(True), period_s=0.001).run())
    async with asyncio.timeout(10):
        await heard.thrice.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
