"""The dry run: whatever a driver does is a finding about its tags, and takes its own time only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config.model import Configuration, Device
from agent.control import dry_run as module
from agent.control.dry_run import Finding, dry_run
from drivers.contract import Context, DriverType, Point, PointGroup, Samples
from tests.support.config_driver import made
from tests.support.sampling import NoOptions, ScriptedDriver, scripted_device


def good(driver: ScriptedDriver, group: PointGroup) -> Samples:
    return Samples.of([(point, 1.0) for point in group.points], driver.context.now())


def device(name: str, driver: Callable[[Context], ScriptedDriver]) -> Device:
    def create(_options: Any, _points: Sequence[Point], context: Context) -> ScriptedDriver:
        return driver(context)

    plain, _ = scripted_device(lambda opened: None, good)
    tags = tuple(replace(tag, series=f"{name}.{tag.point.name}") for tag in plain.tags)
    return replace(plain, name=name, tags=tags, type=DriverType("scripted", NoOptions, create))


def configured(folder: Path, *devices: Device) -> Configuration:
    return replace(made(f'[gateway]\nname = "g"\ndata_dir = "{folder}"'), devices=devices)


async def tried(folder: Path, *devices: Device) -> dict[str, Finding]:
    findings = await dry_run(configured(folder), configured(folder, *devices), {}, now=lambda: 1, shared={})
    return {finding.tag: finding for finding in findings}


def well(context: Context) -> ScriptedDriver:
    return ScriptedDriver(context, lambda opened: None, good)


def raising(error: BaseException) -> Callable[[Context], ScriptedDriver]:
    def fail(*_: object) -> Any:
        raise error

    return lambda context: ScriptedDriver(context, lambda opened: None, fail)


def unmakeable(_context: Context) -> ScriptedDriver:
    raise OverflowError("before it is even open")


def unsound(context: Context) -> ScriptedDriver:
    def read(driver: ScriptedDriver, group: PointGroup) -> Samples:
        samples = good(driver, group)
        samples.quality = samples.quality[:0]
        return samples

    return ScriptedDriver(context, lambda opened: None, read)


@pytest.mark.parametrize(
    "driver",
    [
        raising(RuntimeError("a bug that names 10.0.0.1:502")),
        raising(RecursionError()),
        raising(MemoryError()),
        raising(SystemExit(1)),
        raising(asyncio.CancelledError()),
        raising(TimeoutError("its own")),
        unmakeable,
        unsound,
    ],
)
async def test_d2_an_unforeseen_exception_of_a_driver_is_a_finding_and_nothing_more(
    driver: Callable[[Context], ScriptedDriver], tmp_path: Path
) -> None:
    found = await tried(tmp_path, device("bad", driver), device("well", well))
    assert found["bad.t0"].fault.startswith("driver scripted failed") and found["bad.t1"].fault
    assert "10.0.0.1" not in found["bad.t0"].fault
    assert not found["well.t0"].fault


@pytest.mark.parametrize("call", ["open", "read", "close"])
async def test_d2_a_call_that_hangs_and_ignores_its_end_costs_its_own_time_only(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BOUND_S", 0.1)
    monkeypatch.setattr("agent.driving.CLOSE_S", 0.1)
    monkeypatch.setattr("agent.core.bounded.GRACE_S", 0.05)
    release = asyncio.Event()

    async def hang(*_: object) -> Any:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    def hanging(context: Context) -> ScriptedDriver:
        driver = well(context)
        setattr(driver, call, hang)
        return driver

    found = await tried(tmp_path, device("bad", hanging), device("well", well))
    assert bool(found["bad.t0"].fault) is (call != "close")
    assert not found["well.t0"].fault
    release.set()


async def test_d2_the_dry_run_is_bounded_in_width_and_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now = most = 0

    class Slow(ScriptedDriver):
        async def open(self) -> None:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.01)

        async def close(self) -> None:
            nonlocal open_now
            open_now -= 1

    devices = [device(f"d{number}", lambda context: Slow(context, lambda opened: None, good)) for number in range(80)]
    found = await tried(tmp_path, *devices)
    assert most == module.AT_ONCE and not any(each.fault for each in found.values())
    monkeypatch.setattr(module, "WHOLE_S", 0.005)
    found = await tried(tmp_path, *devices)
    late = [each for each in found.values() if "not tried" in each.fault]
    assert len(found) == 160 and len(late) >= 160 - 2 * module.AT_ONCE
