"""Trying devices out: what is said of one that is well, wrong in part, or not there at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from agent.trial import Trial, excused, try_device, trying
from drivers.contract import DriverError, FailureKind, PointGroup, Samples
from drivers.quality import Quality
from tests.support.health_status import DeviceNow
from tests.support.sampling import ScriptedDriver, scripted_device

Read = Callable[[ScriptedDriver, PointGroup], Samples]


def giving(*values: float | Quality, fault: DriverError | None = None) -> Read:
    def read(_: ScriptedDriver, group: PointGroup) -> Samples:
        return Samples.of(list(zip(group.points, values, strict=True)), 1, [fault] if fault else [])

    return read


def fails(error: Exception) -> Read:
    def read(_: ScriptedDriver, _group: PointGroup) -> Samples:
        raise error

    return read


def nothing(_: int) -> None:
    return None


async def tried(read: Read, folder: Path, *, on_open: Callable[[int], None] = nothing, points: int = 2) -> Trial:
    device, made = scripted_device(on_open, read, points=points)
    trial = await try_device(device, folder, {}, trust=False, within_s=5)
    assert made[0].closed == 1
    return trial


async def test_a_device_that_delivers_is_ok(tmp_path: Path) -> None:
    trial = await tried(giving(1.0, Quality.INVALID), tmp_path)
    assert trial.ok
    assert (trial.good, trial.tags) == (1, 2)
    assert [each.harmless for each in trial.findings] == [True]


async def test_the_drivers_words_come_first_and_each_bad_tag_is_told_once(tmp_path: Path) -> None:
    fault = DriverError("no such node", kind=FailureKind.PARTIAL, quality=Quality.ADDRESS, points=(0, 1))
    trial = await tried(giving(Quality.ADDRESS, 2.0, Quality.DECODE, fault=fault), tmp_path, points=3)
    assert not trial.ok
    assert not trial.failed
    assert [(each.tags, each.what) for each in trial.findings] == [(("t0",), "no such node"), (("t2",), "decode")]
    assert all(each.remedy for each in trial.findings)
    assert trial.good == 1


async def test_of_several_rows_the_last_counts(tmp_path: Path) -> None:
    def read(_: ScriptedDriver, group: PointGroup) -> Samples:
        (point,) = group.points
        return Samples.of([(point, Quality.TIMEOUT), (point, 5.0)], 1)

    assert (await tried(read, tmp_path, points=1)).ok


async def test_a_device_that_cannot_be_opened_or_read_is_closed_and_told(tmp_path: Path) -> None:
    def away(_: int) -> None:
        raise DriverError("nobody there", remedy="plug it in")

    for trial in (
        await tried(giving(), tmp_path, on_open=away),
        await tried(fails(DriverError("nobody there", remedy="plug it in")), tmp_path),
    ):
        assert trial.failed
        assert [(each.what, each.remedy) for each in trial.findings] == [("nobody there", "plug it in")]
    broken = await tried(fails(ZeroDivisionError("a bug")), tmp_path)
    assert broken.failed
    assert "a bug" in broken.findings[0].what


async def test_a_device_that_hangs_costs_its_own_time_only(tmp_path: Path) -> None:
    class Hanging(ScriptedDriver):
        async def open(self) -> None:
            await asyncio.Event().wait()

    well, _ = scripted_device(nothing, giving(1.0, 2.0))
    hanging, _ = scripted_device(nothing, giving())
    object.__setattr__(hanging.type, "create", lambda options, points, context: Hanging(context, nothing, giving()))
    async with trying([hanging, well], tmp_path, trust=False, within_s=0.2) as tasks:
        assert (await tasks[1]).ok
        late = await tasks[0]
    assert late.failed
    assert late.findings[0].remedy


async def test_an_operator_who_trusts_is_heard_and_told(tmp_path: Path) -> None:
    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        if driver.context.trust:
            driver.context.tell("trusted from now on")
        return Samples.of([(point, 1.0) for point in group.points], 1)

    device, _ = scripted_device(nothing, read)
    assert (await try_device(device, tmp_path, {}, trust=True, within_s=5)).told == ("trusted from now on",)
    assert (await try_device(device, tmp_path, {}, trust=False, within_s=5)).told == ()


async def test_a_connection_that_the_running_agent_holds_is_no_fault(tmp_path: Path) -> None:
    failed = await tried(fails(DriverError("busy")), tmp_path)
    wrong = await tried(giving(1.0, Quality.ADDRESS), tmp_path)
    assert excused(failed, {"dev": DeviceNow("dev", "running")}).ok
    down = {"dev": DeviceNow("dev", "down", last_error="no answer", remedy="check the cable")}
    assert excused(failed, down) == failed
    held = await tried(fails(DriverError("busy", held=True)), tmp_path)
    (finding,) = excused(held, down).findings  # N9
    assert "running agent" in finding.what and "no answer" in finding.what and finding.remedy == "check the cable"
    assert not excused(failed, {}).ok
    assert excused(wrong, {"dev": DeviceNow("dev", "running")}) == wrong
