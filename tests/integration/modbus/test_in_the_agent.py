"""Faults of a plant under the agent: it keeps running, says what happened once, and goes on by itself."""

from __future__ import annotations

import fcntl
import logging
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.backoff import Backoff
from drivers.contract import Point
from drivers.modbus import reading
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import HANG_UP, HEALTHY, SILENT, React, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_agents import modbus_device, said, supervised
from tests.support.modbus_devices import Bank, points
from tests.support.modbus_faults import LATE_S, TIMEOUT_S, on, to
from tests.support.ports import free_port

GOOD = [10.0, 1.5, 1.0]
"""What the three points of the device hold."""


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """No long pauses, neither between attempts nor before a missing register is tried again."""
    monkeypatch.setattr(Backoff, "next", lambda self: 0.01)
    monkeypatch.setattr(reading, "AGAIN_EVERY", 1)
    caplog.set_level(logging.INFO)


def three(bank: Bank) -> list[Point]:
    """A register, a float and a coil."""
    bank.put(20, struct.pack(">f", 1.5))
    return points("holding:10", {"address": "holding:20", "type": "float32"}, "coil:1")


def to_registers(reaction: Reaction) -> Callable[[Request], Reaction]:
    """React so to every request for holding registers."""
    return lambda request: reaction if request.function == 3 else HEALTHY


def react(how: React) -> Callable[[NetServer, Bank], None]:
    """Make a server react so."""

    def do(server: NetServer, bank: Bank) -> None:
        server.react = how

    return do


@dataclass(frozen=True)
class Fault:
    """Something done to a plant: which quality the register then has, and how it is undone."""

    do: Callable[[NetServer, Bank], Awaitable[None] | None]
    undo: Callable[[NetServer, Bank], Awaitable[None] | None]
    quality: Quality
    state: str
    lines: int = 1
    """Lines of the log that say it, at most."""


def reacting(reaction: Reaction, quality: Quality) -> Fault:
    """A server that answers requests for registers in such a way."""

    return Fault(react(to_registers(reaction)), react(lambda request: HEALTHY), quality, "degraded")


def keep(**changes: object) -> Callable[[NetServer, Bank], None]:
    """Set attributes of the bank."""

    def do(server: NetServer, bank: Bank) -> None:
        for name, value in changes.items():
            setattr(bank, name, value)

    return do


FAULTS = {
    "L10 wrong register map": Fault(keep(holes={10}), keep(holes=set()), Quality.ADDRESS, "degraded"),
    "L21 function refused": Fault(keep(refuse={3: 1}), keep(refuse={}), Quality.REFUSED, "degraded"),
    "device busy": Fault(keep(refuse={3: 6}), keep(refuse={}), Quality.DEVICE, "degraded"),
    # A connection that breaks while an answer is due, and then a port that refuses: two things to say.
    "PLC restart": Fault(lambda plc, _: plc.stop(), lambda plc, _: plc.start(), Quality.CONNECTION, "down", 2),
    "half-open connection": Fault(react(lambda _: SILENT), react(lambda _: HEALTHY), Quality.TIMEOUT, "down"),
    "connection reset at each request": reacting(HANG_UP, Quality.CONNECTION),
    "L13 late frames": reacting(Reaction(delay_s=LATE_S), Quality.TIMEOUT),
    "L13 wrong transaction id": reacting(Reaction(tid_shift=7), Quality.MALFORMED),
    "L13 answers of another unit": reacting(Reaction(unit=77), Quality.MALFORMED),
    "L13 frames cut off": reacting(Reaction(alter=lambda frame: frame[:-1]), Quality.MALFORMED),
    "L13 too few registers": reacting(Reaction(pdu=b"\x03\x02\x00\x63"), Quality.MALFORMED),
    "L15 no Modbus at all": reacting(Reaction(alter=lambda frame: b"SSH-2.0-x\r\n"), Quality.MALFORMED),
}


async def do(step: Awaitable[None] | None) -> None:
    if step is not None:
        await step


@pytest.mark.parametrize("what", FAULTS)
async def test_a_fault_on_the_network_is_got_over(what: str, caplog: pytest.LogCaptureFixture) -> None:
    fault, bank = FAULTS[what], Bank()
    async with (
        NetServer("127.0.0.1", free_port(), {1: bank}) as server,
        NetServer("127.0.0.1", free_port(), {1: Bank()}) as elsewhere,
    ):
        plc = modbus_device("plc", to(server, timeout=TIMEOUT_S), three(bank))
        other = modbus_device("other", to(elsewhere), points("holding:7"))
        async with supervised(plc, other) as agent:
            await agent.until(lambda: agent.latest("plc") == GOOD and agent.latest("other") == [7.0])
            await do(fault.do(server, bank))
            await agent.until(lambda: agent.latest("plc")[0] is fault.quality)
            await agent.attempts("plc", 5)
            assert agent.latest("plc")[0] is fault.quality
            assert agent.snapshot("plc").state == fault.state
            await agent.attempts("other", 5)
            assert agent.latest("other") == [7.0]
            lines = said(caplog.records, "plc")
            assert 1 <= len(lines) == len(set(lines)) <= fault.lines, "said once"
            await do(fault.undo(server, bank))
            await agent.until(lambda: agent.latest("plc") == GOOD)
            assert agent.snapshot("plc").state == "running"
            assert not said(caplog.records, "other")
            assert good_again(caplog.records) == 1
    values = [value for series, _, value, code in agent.sinks["plc"].samples if series == 0 and code < Quality.BAD]
    assert values == [10.0, 10.0], "never another's answer, and nothing repeated in between"


def good_again(records: list[logging.LogRecord]) -> int:
    """How often it was said that the device is well again."""
    ends = ("device plc: delivers again", "device plc: all points good again")
    return sum(record.getMessage() in ends for record in records)


async def test_nan_is_no_value_and_no_event(caplog: pytest.LogCaptureFixture) -> None:
    bank = Bank()
    async with (
        NetServer("127.0.0.1", free_port(), {1: bank}) as server,
        supervised(modbus_device("plc", to(server), three(bank))) as agent,
    ):
        await agent.until(lambda: agent.latest("plc") == GOOD)
        bank.put(20, struct.pack(">f", float("nan")))
        await agent.until(lambda: agent.latest("plc") == [10.0, Quality.INVALID, 1.0])
        await agent.attempts("plc", 3)
        assert agent.snapshot("plc").state == "degraded"
        bank.put(20, struct.pack(">f", 2.5))
        await agent.until(lambda: agent.latest("plc") == [10.0, 2.5, 1.0])
        assert said(caplog.records, "plc") == []


async def test_a_serial_port_that_is_missing_at_start_and_comes_and_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bank = Bank()
    line = SerialLine(tmp_path / "ttyUSB0", 115_200, {1: bank})
    async with supervised(modbus_device("plc", on(line, timeout=TIMEOUT_S), three(bank))) as agent:
        await agent.attempts("plc", 5)
        assert agent.latest("plc") == [Quality.CONNECTION] * 3
        assert len(said(caplog.records, "plc")) == 1
        assert "does not exist" in said(caplog.records, "plc")[0]
        for _ in range(2):
            async with line:
                await agent.until(lambda: agent.latest("plc") == GOOD)
            await agent.until(lambda: agent.snapshot("plc").state == "down")
            await agent.attempts("plc", 5)
    lines = said(caplog.records, "plc")
    # Pulled out twice: the port that fails or falls silent, and then the one that does not exist.
    assert len(lines) <= 1 + 2 * 2


async def test_a_serial_port_that_another_program_uses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bank = Bank()
    async with SerialLine(tmp_path / "tty", 115_200, {1: bank}) as line:
        with line.link.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            async with supervised(modbus_device("plc", on(line), three(bank))) as agent:
                await agent.attempts("plc", 5)
                assert agent.latest("plc") == [Quality.CONNECTION] * 3
                [said_once] = said(caplog.records, "plc")
                assert "in use by another program" in said_once
                assert "fuser" in said_once
                fcntl.flock(other, fcntl.LOCK_UN)
                await agent.until(lambda: agent.latest("plc") == GOOD)
                assert said(caplog.records, "plc") == [said_once]


async def test_L21_a_dead_unit_on_a_serial_line_leaves_the_others_running(tmp_path: Path) -> None:
    units: dict[int, Bank] = {1: Bank()}
    async with SerialLine(tmp_path / "tty", 115_200, units) as line:
        one = modbus_device("one", on(line, unit=1, timeout=TIMEOUT_S), points("holding:7"))
        two = modbus_device("two", on(line, unit=2, timeout=TIMEOUT_S), points("holding:8"))
        async with supervised(one, two) as agent:
            await agent.until(lambda: agent.snapshot("two").state == "down" and agent.latest("one") == [7.0])
            await agent.attempts("one", 5)
            assert agent.snapshot("one").state == "running"
            units[2] = Bank()
            await agent.until(lambda: agent.latest("two") == [8.0])


class Counting(Bank):
    """Every answer has its own number."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0

    def read(self, function: int, address: int, count: int) -> bytes | int:
        self.answers += 1
        return self.answers.to_bytes(2, "big") * count


async def test_L23_L32_a_slow_device_is_read_late_and_nothing_is_repeated() -> None:
    bank = Counting()
    async with NetServer("127.0.0.1", free_port(), {1: bank}, delay=0.03) as server:
        slow = modbus_device("slow", to(server), points("holding:0"), interval=0.005)
        async with supervised(slow) as agent:
            await agent.attempts("slow", 10)
            snapshot, sink = agent.snapshot("slow"), agent.sinks["slow"]
            assert len(server.requests) <= snapshot.scans + 1, "one request in flight, none queued up"
            assert snapshot.late >= snapshot.scans, "each scan took several intervals"
            assert snapshot.late == sum(late for _, _, late in sink.scans)
        values = [value for _, _, value, _ in sink.samples]
        assert values == [float(number) for number in range(1, len(values) + 1)]
        stamps = [time for _, time, _, _ in sink.samples]
        assert sorted(set(stamps)) == stamps


async def test_L33_two_hundred_connections_need_no_thread_and_one_request_each() -> None:
    async with NetServer("127.0.0.1", free_port(), {1: Counting()}) as server:
        devices = [
            modbus_device(f"d{number}", to(server, share=False), points("holding:0"), interval=0.2)
            for number in range(200)
        ]
        before = threading.active_count()
        async with supervised(*devices) as agent:
            await agent.until(lambda: all(agent.snapshot(device.name).scans >= 2 for device in devices))
            assert threading.active_count() == before
            assert server.accepted == 200
        values = [value for sink in agent.sinks.values() for _, _, value, _ in sink.samples]
        assert len(values) == len(set(values)) >= 400, "every value is an answer of its own"
