"""Refusals that mean less, or something else, than they say; named after the reports they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers.contract import DriverError, FailureKind
from drivers.modbus import reading, remedies
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import HEALTHY, SILENT, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from tests.support.modbus_devices import Bank, Device, points
from tests.support.modbus_faults import TIMEOUT_S, read_until, to

CODES = [1, 2, 3, 4, 5, 6, 8, 10, 11, 99]


@dataclass
class Kept:
    """A record that outlives the driver, as the agent lends it."""

    of: str = ""
    learned: Mapping[str, Any] = field(default_factory=dict)
    reset: bool = False

    def recall(self, of: str) -> Mapping[str, Any]:
        return self.learned if of == self.of else {}

    def keep(self, of: str, learned: Mapping[str, Any], *, closing: bool = False) -> None:
        self.of, self.learned = of, learned

    def forgotten(self) -> bool:
        reset, self.reset = self.reset, False
        return reset


def refusing(code: int, which: Callable[[range], bool]) -> Callable[[Request], Reaction]:
    """Refuse with a code whatever reaches over certain registers."""

    def react(request: Request) -> Reaction:
        span = range(request.address, request.address + request.count)
        return Reaction(pdu=bytes([request.function | 0x80, code])) if which(span) else HEALTHY

    return react


def asked(server: NetServer) -> list[tuple[int, int]]:
    found = [(request.address, request.count) for request in server.requests]
    server.requests.clear()
    return found


@pytest.mark.parametrize("code", CODES)
async def test_f14_one_register_spoils_no_block_whatever_the_code(server: NetServer, code: int) -> None:
    server.react = refusing(code, lambda span: 105 in span)
    of = points(*(f"input:{at}" for at in (*range(100, 108), 300, 301)))
    async with Device(to(server), of) as device:
        got = await device.read()
        assert [value for value in got if isinstance(value, float)] == [100, 101, 102, 103, 104, 106, 107, 300, 301]
        assert got[5] in (Quality.REFUSED, Quality.ADDRESS, Quality.DEVICE)
        await device.read()
        asked(server)
        assert (await device.read())[:5] == [100, 101, 102, 103, 104]
        assert len(asked(server)) <= 4, "and is learned"


@pytest.mark.parametrize("code", CODES)
async def test_f14_two_neighbours_are_found_too(server: NetServer, code: int) -> None:
    server.react = refusing(code, lambda span: 0 in span or 1 in span or 63 in span)
    async with Device(to(server), points(*(f"holding:{at}" for at in range(64)))) as device:
        for _ in range(3):
            got = await device.read()
        assert got[2:63] == list(range(2, 63))
        assert all(isinstance(got[at], Quality) for at in (0, 1, 63))


@pytest.mark.parametrize("code", CODES)
async def test_f14_a_passing_refusal_is_not_remembered(server: NetServer, code: int) -> None:
    of = points(*(f"holding:{at}" for at in (1, 2, 3, 40, 41)))
    async with Device(to(server), of) as device:
        assert await device.read() == [1, 2, 3, 40, 41]
        left = [7]

        def some(span: range) -> bool:
            left[0] -= 1
            return left[0] >= 0

        server.react = refusing(code, some)
        for _ in range(4):
            try:
                got = await device.read()
            except DriverError:
                await device.driver.close()
                await device.driver.open()
        assert got == [1, 2, 3, 40, 41]
        asked(server)
        await device.read()
        assert asked(server) == [(1, 41)], "and asked for as before"
        assert device.driver.observations()["largest_request"] == {}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("most", [1, 8, 10])
async def test_f17_a_limit_is_searched_for_before_the_unit_is_called_dead(
    server: NetServer, code: int, most: int
) -> None:
    server.react = refusing(code, lambda span: len(span) > most)
    of = points(*(f"input:{at}" for at in (*range(37, 50), 91)))
    async with Device(to(server), of) as device:
        assert await device.read() == [*range(37, 50), 91]
        await device.read()
        asked(server)
        assert await device.read() == [*range(37, 50), 91]
        sizes = [count for _, count in asked(server)]
        assert max(sizes) == most
        assert sum(sizes) == 14
        if most > 1:
            assert device.driver.observations()["largest_request"] == {"input": most}


async def test_f17_a_limit_is_kept_and_shown(server: NetServer) -> None:
    server.react = refusing(11, lambda span: len(span) > 8)
    of, kept = points(*(f"input:{at}" for at in range(37, 50))), Kept()
    async with Device(to(server), of, learned=kept) as device:
        await device.read()
    assert kept.learned == {"largest_request": {"input": 8}}
    async with Device(to(server), of, learned=kept) as device:
        asked(server)
        assert await device.read() == list(range(37, 50))
        assert [count for _, count in asked(server)] == [8, 5], "nothing is searched for again"
    async with Device(to(server, max_registers=100), of, learned=kept) as device:
        asked(server)
        await device.read()
        assert asked(server)[0] == (37, 13), "other settings are another device"


async def test_f17_requests_that_are_too_large_may_be_ignored(
    server: NetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.modbus.bus.FRESH_S", 0.0)
    server.react = lambda request: SILENT if request.count > 8 else HEALTHY
    of = points(*(f"input:{at}" for at in range(37, 50)))
    device = Device(to(server, timeout=TIMEOUT_S / 4), of)
    await device.driver.open()
    await read_until(device, lambda got: got == list(range(37, 50)))
    await device.driver.close()


async def test_f17_a_dead_unit_behind_a_gateway_names_the_limit(server: NetServer) -> None:
    server.react = refusing(11, lambda span: True)
    async with Device(to(server), points("holding:1", "holding:2", "holding:3")) as device:
        with pytest.raises(DriverError) as caught:
            await device.read()
        assert caught.value.kind is FailureKind.TRANSIENT
        assert "max_registers" in caught.value.remedy
        assert len(server.requests) == 4, "the block, and three values of it"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("at_night", [False, True], ids=["started by day", "started at night"])
async def test_f32_what_was_refused_at_night_is_back_within_a_few_scans(
    server: NetServer, code: int, at_night: bool
) -> None:
    night = refusing(code, lambda span: any(at < 60 for at in span))
    of, kept = points(*(f"holding:{at}" for at in (*range(40), 100, 101))), Kept()
    async with Device(to(server), of, learned=kept) as device:
        if not at_night:
            await device.read()
        server.react = night
        for _ in range(12):
            assert (await device.read())[40:] == [100, 101]
        asked(server)
        await device.read()
        assert len(asked(server)) <= 1 + reading.EXTRA_REQUESTS // 2, "the night is cheap"
    async with Device(to(server), of, learned=kept) as device:
        for _ in range(3):
            await device.read()
        server.react = lambda request: HEALTHY
        for _ in range(reading.AGAIN_EVERY):
            got = await device.read()
        assert got == [*range(40), 100, 101]
        assert device.driver.observations()["holes"] == []


async def test_f32_a_register_that_never_was_does_not_hide_the_sunrise(server: NetServer, bank: Bank) -> None:
    bank.holes = {0, 20}
    server.react = refusing(2, lambda span: any(at < 60 for at in span))
    async with Device(to(server), points(*(f"holding:{at}" for at in (*range(40), 100)))) as device:
        for _ in range(8):
            await device.read()
        server.react = lambda request: HEALTHY
        for _ in range(2 * reading.AGAIN_EVERY):
            got = await device.read()
        assert got == [Quality.ADDRESS if at in bank.holes else at for at in (*range(40), 100)]


async def test_learned_can_be_reset_while_it_runs(server: NetServer, bank: Bank) -> None:
    bank.holes, kept = {5}, Kept()
    async with Device(to(server), points(*(f"holding:{at}" for at in range(9))), learned=kept) as device:
        await device.read()
        assert kept.learned == {"holes": {"exception 2": ["holding:5"]}}
        bank.holes, kept.learned, kept.reset = set(), {}, True
        assert await device.read() == list(range(9))


HOSTILE: list[dict[str, Any]] = [
    {"holes": ["holding:1"]},
    {"holes": {"exception 2": "holding:1", "exception x": ["holding:1"], "exception 999": ["holding:1"]}},
    {"holes": {"exception 2": [1, None, {}, "holding:70000", "holding:9-3", "coil:-1", "x:1", "holding:٣"]}},
    {"holes": {f"exception {'9' * 5000}": ["holding:1"], "exception ²": ["holding:2"]}},
    {"largest_request": {"holding": 0, "coil": "7", "input": True, "x": 5}, "gaps_not_read": {"a": 1}},
    {"largest_request": [1], "not_read_across": 7, "come_and_go": ["holding:1"], "transaction_id": []},
]


@pytest.mark.parametrize("learned", HOSTILE)
async def test_learned_that_makes_no_sense_is_left_out(server: NetServer, learned: dict[str, Any]) -> None:
    of = points(*(f"holding:{at}" for at in range(20)))
    async with Device(to(server), of) as device:
        about = device.driver._of
    async with Device(to(server), of, learned=Kept(about, learned)) as device:
        assert await device.read() == list(range(20))


async def test_learned_is_bounded(server: NetServer) -> None:
    server.react = refusing(2, lambda span: True)
    kept = Kept()
    async with Device(to(server), points(*(f"holding:{at}" for at in range(0, 2100, 2))), learned=kept) as device:
        for _ in range(44):
            await device.read()
        assert sum(map(len, kept.learned["holes"].values())) <= 1000


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 77, 255])
async def test_every_exception_has_a_remedy_of_its_own(server: NetServer, bank: Bank, code: int) -> None:
    fits = {
        1: "table", 2: "address", 3: "max_registers", 4: "display", 5: "interval", 6: "fewer programs", 7: "state",
        8: "memory", 10: "gateway knows this unit id", 11: "behind the gateway", 77: "77", 255: "255",
    }  # fmt: skip
    server.react = refusing(code, lambda span: 5 in span)
    async with Device(to(server), points("holding:1", "holding:5")) as device:
        await device.read()
        [fault] = device.samples.faults
    assert fits[code] in fault.remedy
    assert fits[code] in remedies.as_error(code).remedy
    others = {remedies.exception_remedy(other) for other in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12) if other != code}
    assert remedies.exception_remedy(code) not in others
