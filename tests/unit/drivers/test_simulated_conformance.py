"""The simulated driver keeps the contract, and the kit finds drivers that do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from drivers.conformance import CHECKS, Check, NotConforming, check_name, conform
from drivers.contract import Context, DriverError, DriverType, FailureKind, Point, PointGroup, Samples
from drivers.quality import Quality
from drivers.registry import load
from drivers.simulated import Options

ADDRESSES = ("sine:10,50,60", "counter:2", "state:0,1,2@10", "text:SN-7", "bad:timeout", "constant:7", "noise")


class Simulated:
    """The simulated device on a cable that is a file."""

    bound_s = 5.0

    def __init__(self, cable: Path, driver: DriverType | None = None, **options: Any) -> None:
        self.cable = cable
        self.type = driver or load("simulated")
        self.options = Options(cable=str(cable), **options)
        self.points = [Point(index=i, name=f"p{i}", address=address) for i, address in enumerate(ADDRESSES)]

    async def plug(self) -> None:
        self.cable.touch()

    async def unplug(self) -> None:
        self.cable.unlink(missing_ok=True)

    def writes(self) -> Sequence[object]:
        return ()


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
async def test_simulated_driver_conforms(check: Check, tmp_path: Path) -> None:
    await check(Simulated(tmp_path / "cable", drop=("p5",), latency="1ms"))


def test_conform_needs_no_test_runner(tmp_path: Path) -> None:
    assert conform(lambda: Simulated(tmp_path / "cable")) == {}


class Faulty:
    """A simulated driver with one method replaced; ``background`` keeps what it leaks alive."""

    background: list[Any]

    def __init__(self, context: Context, real: Any, **methods: Callable[..., Any]) -> None:
        self.context, self.real, self.methods, self.background = context, real, methods, []

    async def open(self) -> None:
        await self._call("open")

    async def read(self, group: PointGroup) -> Samples:
        return await self._call("read", group)  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self._call("close")

    def observations(self) -> Mapping[str, Any]:
        return self.methods["observations"](self) if "observations" in self.methods else {}  # type: ignore[no-any-return]

    async def _call(self, name: str, *arguments: Any) -> Any:
        return await (
            self.methods[name](self, *arguments) if name in self.methods else getattr(self.real, name)(*arguments)
        )


def faulty(**methods: Callable[..., Any]) -> DriverType:
    real = load("simulated")

    def create(options: Any, points: Sequence[Point], context: Context) -> Faulty:
        return Faulty(context, real.create(options, points, context), **methods)

    return DriverType("faulty", real.options, create, real.check)


async def read_all_but_one(self: Faulty, group: PointGroup) -> Samples:
    return await self.real.read(PointGroup(group.points[1:], 1.0))  # type: ignore[no-any-return]


async def read_invented(self: Faulty, group: PointGroup) -> Samples:
    samples = await self.real.read(group)
    return Samples(samples.index, samples.time, np.nan_to_num(samples.value), samples.quality, samples.text)


async def read_float32(self: Faulty, group: PointGroup) -> Samples:
    samples = await self.real.read(group)
    samples.value = samples.value.astype(np.float32)
    return samples  # type: ignore[no-any-return]


async def read_stale(self: Faulty, group: PointGroup) -> Samples:
    samples = await self.real.read(group)
    self.background.append(samples)
    return self.background[0]  # type: ignore[no-any-return]


async def read_swallowing(self: Faulty, group: PointGroup) -> Samples:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    return await self.real.read(group)  # type: ignore[no-any-return]


async def read_permanent(self: Faulty, group: PointGroup) -> Samples:
    try:
        return await self.real.read(group)  # type: ignore[no-any-return]
    except DriverError as error:
        raise DriverError(str(error), kind=FailureKind.PERMANENT) from error


async def read_last_known(self: Faulty, group: PointGroup) -> Samples:
    try:
        self.background = [await self.real.read(group)]
    except DriverError:
        return Samples.bad(group.points, self.context.now(), Quality.CONNECTION)
    return self.background[0]  # type: ignore[no-any-return]


async def read_os_error(self: Faulty, group: PointGroup) -> Samples:
    try:
        return await self.real.read(group)  # type: ignore[no-any-return]
    except DriverError as error:
        raise ConnectionResetError(str(error)) from error


async def open_with_a_file(self: Faulty) -> None:
    await self.real.open()
    self.background.append(Path("/dev/null").open())  # noqa: ASYNC230, SIM115


async def open_with_a_shared_thing(self: Faulty) -> None:
    await self.real.open()
    self.context.shared["bus"] = object()


async def close_with_an_error(self: Faulty) -> None:
    raise DriverError("cannot close")


@pytest.mark.parametrize(
    ("methods", "check"),
    [
        ({"read": read_all_but_one}, "one_row_a_point"),
        ({"read": read_invented}, "columns"),
        ({"read": read_float32}, "columns"),
        ({"read": read_stale}, "stamps"),
        ({"read": read_swallowing}, "cancelled_read"),
        ({"read": read_permanent}, "unplugged_while_open"),
        ({"read": read_last_known}, "unplugged_while_open"),
        ({"read": read_os_error}, "unplugged_while_open"),
        ({"open": open_with_a_file}, "open_and_close_again"),
        ({"open": open_with_a_shared_thing}, "two_devices"),
        ({"close": close_with_an_error}, "open_and_close_again"),
        ({"observations": lambda self: {"x": object()}}, "create_does_not_connect"),
    ],
    ids=lambda value: next(iter(value.values())).__name__ if isinstance(value, dict) else value,
)
async def test_kit_finds_a_driver_that_breaks_the_contract(
    methods: dict[str, Any], check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.conformance.SETTLE_S", 0.05)
    (chosen,) = [each for each in CHECKS if check_name(each) == check]
    with pytest.raises(NotConforming):
        await chosen(Simulated(tmp_path / "cable", faulty(**methods), latency="1ms"))


async def test_kit_finds_a_task_that_a_cancelled_open_leaves_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.conformance.SETTLE_S", 0.05)
    left: list[asyncio.Task[None]] = []

    async def open_in_background(self: Faulty) -> None:
        left.append(asyncio.create_task(asyncio.sleep(3600)))
        await self.real.open()
        left.pop().cancel()

    (check,) = [each for each in CHECKS if check_name(each) == "cancelled_open"]
    try:
        with pytest.raises(NotConforming):
            await check(Simulated(tmp_path / "cable", faulty(open=open_in_background), latency="1ms"))
    finally:
        for task in left:
            task.cancel()


def test_options_reject_unknown_keys() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"latancy": 1}, Options)
