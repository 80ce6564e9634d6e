"""The simulated device: values are functions of the clock; faults come when asked for."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from drivers.contract import Context, Driver, DriverError, FailureKind, Point, PointGroup, Samples
from drivers.quality import Quality
from drivers.registry import load
from drivers.simulated.options import Options, seconds
from drivers.simulated.signals import AddressError, parse

DRIVER = load("simulated")
NOON = 1_700_000_000_000_000


def points(*addresses: str, **common: object) -> list[Point]:
    return [
        Point(index=i, name=f"p{i}", address=address, **common)  # type: ignore[arg-type]
        for i, address in enumerate(addresses)
    ]


class Time:
    def __init__(self, us: int = NOON) -> None:
        self.us = us

    def __call__(self) -> int:
        return self.us


def make(wanted: list[Point], time: Time | None = None, **options: object) -> tuple[Driver, PointGroup]:
    converted = msgspec.convert(options, Options)
    driver = DRIVER.create(converted, wanted, Context(device="d", now=time or Time()))
    return driver, PointGroup(tuple(wanted), 1.0)


async def read(*addresses: str, time: Time | None = None, **common: object) -> Samples:
    driver, group = make(points(*addresses, **common), time)
    await driver.open()
    try:
        return await driver.read(group)
    finally:
        await driver.close()


@pytest.mark.parametrize(
    ("address", "at_s", "value"),
    [
        ("constant:7.5", 3, 7.5),
        ("sine:10,50,60", 0, 50.0),
        ("sine:10,50,60", 15, 60.0),
        ("sine:10,50,60", 45, 40.0),
        ("ramp", 30, 50.0),
        ("ramp:10,20,10", 5, 15.0),
        ("square:1,9,10", 4, 1.0),
        ("square:1,9,10", 5, 9.0),
        ("counter:2", 100, 200.0),
        ("counter:2,65536", 32768, 0.0),
        ("counter:0.5", 3, 1.0),
        ("state:0,1,2@10", 9.999, 0.0),
        ("state:0,1,2@10", 10, 1.0),
        ("state:0,1,2@10", 35, 0.0),
        ("clock", 1234.5, 1234.5),
    ],
)
async def test_signal_is_a_function_of_the_clock(address: str, at_s: float, value: float) -> None:
    samples = await read(address, time=Time(round(at_s * 1e6)))
    assert samples.value[0] == pytest.approx(value, abs=1e-9)
    assert samples.quality[0] == Quality.GOOD
    assert samples.time[0] == round(at_s * 1e6)


async def test_noise_stays_within_its_spread_and_can_be_had_again() -> None:
    addresses = ["noise:100,5"] * 200
    first, again = await read(*addresses), await read(*addresses)
    assert (np.abs(first.value - 100) <= 5).all()
    assert len(set(first.value)) == 200
    assert (first.value == again.value).all()
    later = await read(*addresses, time=Time(NOON + 1))
    assert (first.value != later.value).all()


async def test_text_is_text_and_a_bad_signal_has_its_cause() -> None:
    samples = await read("text:SN-007 铣床", "bad:timeout", "constant:1")
    assert samples.text == {0: "SN-007 铣床"}
    assert samples.quality.tolist() == [Quality.GOOD, Quality.TIMEOUT, Quality.GOOD]
    assert np.isnan(samples.value).tolist() == [True, True, False]


async def test_scale_offset_invalid_and_types_apply_to_the_raw_value() -> None:
    samples = await read("constant:7.9", type="int16", scale=0.1, offset=1.0)
    assert samples.value[0] == pytest.approx(1.7)
    samples = await read("constant:7.9", "constant:8", type="uint16", invalid=(8.0,))
    assert samples.quality.tolist() == [Quality.GOOD, Quality.INVALID]
    assert math.isnan(samples.value[1])
    assert (await read("constant:5", type="bool")).value[0] == 1.0


async def test_elements_of_an_array_are_seconds_apart() -> None:
    wanted = [Point(index=i, name=f"a[{i}]", address="counter:1", element=i) for i in range(3)]
    driver, group = make(wanted, Time(10_000_000))
    await driver.open()
    assert (await driver.read(group)).value.tolist() == [10, 11, 12]


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("sin:1,2,3", '"sine"'),
        ("sine:1,2,3,4", "sine:1,0,60"),
        ("sine:1,2,0", "another"),
        ("constant", "constant:0"),
        ("constant:x", "sine:10,50,60"),
        ("constant:nan", "sine:10,50,60"),
        ("state:1,2@0", "state:0,1,2@10"),
        ("bad:good", "timeout"),
    ],
)
def test_address_that_means_nothing_is_explained(address: str, remedy: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(address)
    assert remedy in caught.value.remedy
    (problem,) = DRIVER.check(Options(), points(address))
    assert (problem.field, problem.point) == ("address", 0)


def test_check_finds_wrong_types_and_options() -> None:
    wanted = [
        *points("constant:1", type="float23"),
        Point(index=1, name="t", address="text:a", type="int16"),
        Point(index=2, name="n", address="ramp", type="string"),
    ]
    options = Options(latency="soon", fail_every=-1, drop=("p9",))
    fields = [problem.field for problem in DRIVER.check(options, wanted)]
    assert fields == ["connection.latency", "connection.fail_every", "connection.drop", "type", "type", "type"]


def test_durations_may_have_units() -> None:
    assert [seconds(text) for text in (0.5, "250ms", "2 s", "1.5m")] == [0.5, 0.25, 2.0, 90.0]


async def test_first_attempts_to_open_fail_as_asked() -> None:
    driver, group = make(points("ramp"), fail_open=2)
    for _ in range(2):
        with pytest.raises(DriverError):
            await driver.open()
        await driver.close()
    await driver.open()
    assert len(await driver.read(group)) == 1


async def test_every_third_read_fails_permanently() -> None:
    driver, group = make(points("ramp"), fail_every=3, failure="permanent")
    await driver.open()
    await driver.read(group)
    await driver.read(group)
    with pytest.raises(DriverError) as caught:
        await driver.read(group)
    assert caught.value.kind is FailureKind.PERMANENT
    assert len(await driver.read(group)) == 1


async def test_dropped_points_are_bad_and_the_others_flow() -> None:
    driver, group = make(points("constant:1", "constant:2"), drop=["p1"])
    await driver.open()
    samples = await driver.read(group)
    assert samples.quality.tolist() == [Quality.GOOD, Quality.ADDRESS]
    assert math.isnan(samples.value[1])
    (fault,) = samples.faults
    assert (fault.kind, fault.points) == (FailureKind.PARTIAL, (1,))


async def test_outage_follows_the_clock() -> None:
    time = Time(60_000_000)
    driver, group = make(points("ramp"), time, outage_every="60s", outage_for="10s")
    with pytest.raises(DriverError):
        await driver.open()
    time.us = 70_000_000
    await driver.open()
    await driver.read(group)
    time.us = 125_000_000
    with pytest.raises(DriverError):
        await driver.read(group)


async def test_device_answers_only_while_its_cable_exists(tmp_path: Path) -> None:
    cable = tmp_path / "cable"
    driver, group = make(points("ramp"), cable=str(cable))
    with pytest.raises(DriverError):
        await driver.open()
    cable.touch()
    await driver.open()
    await driver.read(group)


async def test_answer_slower_than_the_timeout_is_a_timeout() -> None:
    driver, _ = make(points("ramp"), latency="1h", timeout="1ms")
    with pytest.raises(DriverError) as caught:
        await driver.open()
    assert caught.value.quality is Quality.TIMEOUT
