"""What a device refuses costs only that, and is remembered."""

from __future__ import annotations

import pytest

from drivers.contract import DriverError, FailureKind
from drivers.modbus import reading
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import HEALTHY, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from tests.support.modbus_devices import Bank, Device, points
from tests.support.modbus_faults import TIMEOUT_S, to

ADDRESS = Quality.ADDRESS


def asked(server: NetServer) -> list[tuple[int, int]]:
    """(address, count) of every request since the last call."""
    found = [(request.address, request.count) for request in server.requests]
    server.requests.clear()
    return found


async def test_L10_hole_is_bisected_and_remembered(server: NetServer, bank: Bank) -> None:
    bank.holes = {37}
    async with Device(to(server), points(*(f"holding:{at}" for at in range(100)))) as device:
        wanted = [float(at) if at != 37 else ADDRESS for at in range(100)]
        assert await device.read() == wanted
        assert device.faults == ["the device has nothing at holding:37"]
        extra = len(asked(server)) - 1
        assert extra <= 2 * 7, "halving"
        assert await device.read() == wanted
        assert asked(server) == [(0, 37), (38, 62)]
        assert device.driver.observations()["holes"] == ["holding:37"]
        assert device.faults == ["the device has nothing at holding:37"]


async def test_L10_a_gap_that_nobody_wants_is_no_longer_read(server: NetServer, bank: Bank) -> None:
    bank.holes = {5}
    async with Device(to(server), points("holding:0", "holding:9", "holding:11")) as device:
        assert await device.read() == [0, 9, 11]
        assert device.faults == []
        asked(server)
        assert await device.read() == [0, 9, 11]
        assert asked(server) == [(0, 1), (9, 3)]
        assert device.driver.observations()["gaps_not_read"] == ["holding:1-8"]


async def test_L10_what_the_device_does_not_read_together_is_not_joined_again(server: NetServer, bank: Bank) -> None:
    bank.borders = {64}
    async with Device(to(server), points(*(f"holding:{at}" for at in range(40, 100)))) as device:
        assert await device.read() == list(range(40, 100))
        assert await device.read() == list(range(40, 100))
        asked(server)
        assert await device.read() == list(range(40, 100))
        assert all(not address < 64 < address + count for address, count in asked(server))
        assert "holding:64" in device.driver.observations()["not_read_across"]


async def test_L10_a_device_with_short_requests_is_found_out(server: NetServer, bank: Bank) -> None:
    bank.largest = 50
    async with Device(to(server), points(*(f"holding:{at}" for at in range(200)))) as device:
        assert await device.read() == list(range(200))
        asked(server)
        assert await device.read() == list(range(200))
        assert all(count <= 50 for _, count in asked(server))
        assert device.driver.observations()["largest_request"]["holding"] <= 50


async def test_L10_a_wholly_wrong_map_is_learned_in_bounded_steps(server: NetServer, bank: Bank) -> None:
    bank.holes = set(range(1000, 1200))
    of = points("holding:0", *(f"holding:{at}" for at in range(1000, 1200)))
    async with Device(to(server), of) as device:
        said = set()
        for _ in range(40):
            assert await device.read() == [0, *[ADDRESS] * 200]
            assert len(asked(server)) <= 3 + reading.EXTRA_REQUESTS + 200
            said.add(tuple(device.faults))
        assert said == {("the device has nothing at holding:1000-1199",)}, "said once, in the same words"
        asked(server)
        for _ in range(2):
            await device.read()
        assert asked(server)[-1:] == [(0, 1)], "nothing that was never there is asked for, but now and then"


async def test_L10_extra_requests_of_a_scan_are_bounded(server: NetServer, bank: Bank) -> None:
    bank.holes = set(range(0, 125, 2))
    async with Device(to(server), points(*(f"holding:{at}" for at in range(125)))) as device:
        await device.read()
        assert len(server.requests) <= 1 + reading.EXTRA_REQUESTS
        for _ in range(10):
            got = await device.read()
        assert got == [ADDRESS if at % 2 == 0 else at for at in range(125)]


async def test_L10_a_value_of_two_registers_is_refused_as_a_whole(server: NetServer, bank: Bank) -> None:
    bank.holes = {11}
    of = points({"address": "holding:10", "type": "float32"}, "holding:10", "holding:12", "holding:9")
    async with Device(to(server), of) as device:
        assert await device.read() == [ADDRESS, 10, 12, 9]
        assert await device.read() == [ADDRESS, 10, 12, 9]


async def test_L10_hole_survives_a_reconnect_and_is_tried_again(server: NetServer, bank: Bank) -> None:
    bank.holes = {1, 3}
    async with Device(to(server), points(*(f"holding:{at}" for at in range(5)))) as device:
        await device.read()
        await device.driver.close()
        await device.driver.open()
        asked(server)
        assert await device.read() == [0, ADDRESS, 2, ADDRESS, 4]
        assert asked(server) == [(0, 1), (2, 1), (4, 1), (1, 1), (3, 1)], "a new connection may mean a new program"
        await device.read()
        assert asked(server) == [(0, 1), (2, 1), (4, 1)], "and no more until it is time"
        bank.holes = set()
        for _ in range(reading.AGAIN_EVERY):
            got = await device.read()
        assert got == [0, 1, 2, 3, 4]
        assert device.driver.observations()["holes"] == []
        asked(server)
        await device.read()
        assert asked(server) == [(0, 5)]


async def test_L10_a_device_that_has_nothing_of_ours_is_still_watched(server: NetServer, bank: Bank) -> None:
    bank.holes = {5}
    async with Device(to(server), points("holding:5")) as device:
        for _ in range(3):
            assert await device.read() == [ADDRESS]
        await server.stop()
        with pytest.raises(DriverError):
            await device.read()


async def test_L21_one_refused_table_leaves_the_others(server: NetServer, bank: Bank) -> None:
    bank.refuse = {4: 1}
    of = points("input:0", "holding:1", "coil:1", "input:500", "discrete:1")
    async with Device(to(server), of) as device:
        assert await device.read() == [Quality.REFUSED, 1, 1, Quality.REFUSED, 1]
        server.requests.clear()
        assert await device.read() == [Quality.REFUSED, 1, 1, Quality.REFUSED, 1]
        assert [request.function for request in server.requests] == [1, 2, 3], "what is refused is not asked for"
        assert device.faults == ["input:0, input:500: illegal function (exception 1)"]
        fault = device.samples.faults[0]
        assert fault.kind is FailureKind.PARTIAL
        assert fault.points == (0, 3)
        assert fault.remedy


@pytest.mark.parametrize("code", [4, 5, 6, 8, 99])
async def test_L21_a_fault_of_the_device_is_not_remembered(server: NetServer, bank: Bank, code: int) -> None:
    bank.refuse = {3: code}
    async with Device(to(server), points("holding:1", "holding:2", "coil:1")) as device:
        assert await device.read() == [Quality.DEVICE, Quality.DEVICE, 1]
        assert f"(exception {code})" in device.faults[0]
        bank.refuse = {}
        assert await device.read() == [1, 2, 1]
        assert device.faults == []
        assert device.driver.observations()["holes"] == []
        server.requests.clear()
        assert await device.read() == [1, 2, 1]
        assert len(server.requests) == 2


@pytest.mark.parametrize("code", [10, 11])
async def test_L21_a_unit_that_is_away_behind_a_gateway_fails_as_a_whole(
    server: NetServer, bank: Bank, code: int
) -> None:
    bank.refuse = {3: code, 1: code}
    async with Device(to(server), points("holding:1", "coil:1", "holding:900")) as device:
        with pytest.raises(DriverError, match="gateway") as caught:
            await device.read()
        assert (caught.value.kind, caught.value.quality) == (FailureKind.TRANSIENT, Quality.DEVICE)
        assert len(server.requests) == 1


async def test_L21_one_silent_request_costs_its_own_points(server: NetServer) -> None:
    def deaf_to_inputs(request: Request) -> Reaction:
        return Reaction(silent=True) if request.function == 4 else HEALTHY

    of = points("holding:1", "input:1", "coil:1", "holding:900")
    async with Device(to(server, timeout=TIMEOUT_S), of) as device:
        assert await device.read() == [1, 1, 1, 900]
        server.react = deaf_to_inputs
        assert await device.read() == [1, Quality.TIMEOUT, 1, 900]
        assert "no answer" in device.faults[0]
        server.react = lambda request: HEALTHY
        assert await device.read() == [1, 1, 1, 900]


async def test_L21_silence_on_some_requests_starves_no_other(server: NetServer) -> None:
    """Two requests without an answer end a scan; the next one begins with the others."""
    silent, of = Quality.TIMEOUT, points(*(f"holding:{at}" for at in range(0, 50, 10)))
    async with Device(to(server, max_gap=0, timeout=TIMEOUT_S), of) as device:
        await device.read()
        server.react = lambda request: Reaction(silent=request.address in (10, 20))
        assert await device.read() == [0, silent, silent, silent, silent], "the rest is not asked"
        assert await device.read() == [0, silent, silent, 30, 40]
        server.react = lambda request: Reaction(silent=request.address in (0, 30))
        with pytest.raises(DriverError):
            await device.read()
        assert await device.read() == [silent, 10, 20, silent, 40]


async def test_a_device_that_ignores_our_first_request_still_comes_up(server: NetServer) -> None:
    server.react = lambda request: Reaction(silent=request.address == 0)
    async with Device(to(server, max_gap=0, timeout=TIMEOUT_S), points("holding:0", "holding:50")) as device:
        with pytest.raises(DriverError):
            await device.read()
        await device.driver.close()
        await device.driver.open()
        assert await device.read() == [Quality.TIMEOUT, 50]


async def test_a_refusal_without_a_code_is_a_fault_of_the_device(server: NetServer) -> None:
    server.react = lambda request: Reaction(pdu=b"\x83") if request.function == 3 else HEALTHY
    async with Device(to(server, timeout=TIMEOUT_S), points("coil:1", "holding:1")) as device:
        assert await device.read() in ([1, Quality.DEVICE], [1, Quality.MALFORMED], [1, Quality.TIMEOUT])
