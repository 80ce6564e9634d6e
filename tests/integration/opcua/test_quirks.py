"""What field reports tell of OPC UA servers, each as a server made by hand: F10 to F41."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from drivers.contract import Context, DriverError, FailureKind, LearnedRecord, Point, PointGroup, Unkept
from drivers.opcua import Options, liveness, watching
from drivers.opcua import channel as channels
from drivers.opcua.driver import OpcUaDriver
from drivers.quality import Quality
from tests.support.opcua_devices import until
from tests.support.opcua_hostile import (
    Hostile,
    Telling,
    endpoint,
    endpoints,
    error,
    opened,
    read,
    refuse,
    session,
)
from tests.support.opcua_secure import Pair


def points(count: int = 1, interval: float = 1.0) -> tuple[Point, ...]:
    return tuple(
        Point(index=index, name=f"t{index}", address=f"ns=1;i={index + 1}", interval=interval) for index in range(count)
    )


@asynccontextmanager
async def device(
    server: Hostile,
    of: Sequence[Point],
    folder: Path | None = None,
    learned: LearnedRecord | None = None,
    **options: Any,
) -> AsyncIterator[OpcUaDriver]:
    """An open device."""
    driver = made(server, of, folder, learned, **options)
    try:
        await driver.open()
        yield driver
    finally:
        await driver.close()


def made(
    server: Hostile,
    of: Sequence[Point],
    folder: Path | None = None,
    learned: LearnedRecord | None = None,
    **options: Any,
) -> OpcUaDriver:
    wanted = {"security": "none", "timeout": 5.0} | options
    context = Context(
        device="press-1", now=lambda: time.time_ns() // 1000, state_dir=folder, learned=learned or Unkept()
    )
    return OpcUaDriver(Options(url=server.url, **wanted), of, context)


async def failure(server: Hostile, folder: Path | None = None, **options: Any) -> DriverError:
    with pytest.raises(DriverError) as caught:
        async with device(server, points(), folder, **options):
            pass
    assert caught.value.remedy
    return caught.value


# -- F10: a session is kept alive whatever the tags' intervals -----------------------------------------------


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_f10_a_session_is_kept_alive_though_nobody_reads(mode: str) -> None:
    """The server grants three seconds, the tags are read every two minutes."""
    telling = Telling(publishing_s=0.2)
    async with (
        Hostile(CreateSession=session(endpoint(), timeout_ms=3_000.0), **telling.services) as server,
        device(server, points(interval=120.0), mode=mode) as driver,
    ):
        asked = server.requests.total()
        await until(lambda: server.requests.total() >= asked + 2, "two signs of life")
        assert (await driver.read(PointGroup(points(interval=120.0), 120.0))).value.tolist() == [1.5]
        assert server.connections == 2
        assert all(wanted <= 10 for wanted in telling.wanted), "the first value is not waited for for two minutes"


async def test_f10_the_secure_channel_is_renewed_though_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LIFETIME_S", 1.0)
    async with Hostile() as server, device(server, points(), mode="poll") as driver:
        await until(lambda: server.requests["OpenSecureChannel"] >= 4, "two renewals")
        assert (await driver.read(PointGroup(points(), 1.0))).value.tolist() == [1.5]
        assert server.connections == 2


@pytest.mark.parametrize("lifetime_ms", [0, 1])
async def test_f10_a_server_that_grants_nothing_is_not_asked_without_end(lifetime_ms: int) -> None:
    def brief(request: Any) -> Any:
        made = opened(request)
        made.Parameters.SecurityToken.RevisedLifetime = lifetime_ms
        return made

    grants = {"OpenSecureChannel": brief, "CreateSession": session(endpoint(), timeout_ms=float("nan"))}
    async with Hostile(**grants) as server, device(server, points(), mode="poll") as driver:
        for _ in range(50):
            await driver.read(PointGroup(points(), 1.0))
        assert server.requests["OpenSecureChannel"] < 10


async def test_f10_a_session_that_ended_meanwhile_costs_no_bad_sample() -> None:
    """It is found out between two reads, and the next one is over a new connection."""
    ended: list[int] = []

    def answer(request: Any) -> Any:
        if ended and server.connections == 2:
            return refuse("BadSessionIdInvalid")(request)
        return read(request)

    grants = {"Read": answer, "CreateSession": session(endpoint(), timeout_ms=3_000.0)}
    async with Hostile(**grants) as server, device(server, points(), mode="poll") as driver:
        ended.append(1)
        assert driver._connection is not None
        await until(lambda: bool(driver._connection and driver._connection.ended), "the end of the session")
        assert (await driver.read(PointGroup(points(), 1.0))).value.tolist() == [1.5]
        assert server.connections == 4
        assert driver.observations()["reconnects"] == 1


# -- F13: what the server receives and sends -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_f13_requests_are_as_small_as_the_server_wants_them_and_answers_as_large(mode: str) -> None:
    """node-opcua#1263: it receives 8192 bytes in one chunk, and sends chunks of 65536."""
    of = points(600)

    def answer(request: Any) -> Any:
        made = read(request)
        for result in made.Results:
            if result.Value and result.Value.Value == 1.5:
                result.Value = ua.Variant("x" * 60)
        return made

    async with Hostile((8192, 65536, 8192, 1), Read=answer, **Telling().services) as server:
        driver = made(server, of, mode=mode)
        for opening in range(2):
            before = server.requests["Read"] + server.requests["CreateMonitoredItems"]
            await driver.open()
            samples = await driver.read(PointGroup(of, 1.0))
            assert (samples.quality == Quality.GOOD).all()
            assert len(samples.text) == (600 if mode == "poll" else 0)
            cost = server.requests["Read"] + server.requests["CreateMonitoredItems"] - before
            assert opening == 0 or cost <= 12, "what was learned is not learned again"
        await driver.close()
    assert max(server.sizes) <= 8192


async def test_f13_a_server_that_hangs_up_on_large_requests_is_asked_for_less() -> None:
    """Without a word, or with one: BadTcpMessageTooLarge."""
    of, largest = points(600), 100

    def answer(request: Any) -> Any:
        return error(0x80800000) if len(request.Parameters.NodesToRead) > largest else read(request)

    async with Hostile(Read=answer) as server:
        driver = made(server, of, mode="poll")
        for _ in range(6):
            await driver.open()
            try:
                samples = await driver.read(PointGroup(of, 1.0))
            except DriverError:
                continue
            break
        assert (samples.quality == Quality.GOOD).all()
        assert driver.observations()["nodes_per_read"] <= largest
        await driver.close()


class Record(Unkept):
    """A record of what was learned that outlives a driver."""

    def __init__(self, **known: Any) -> None:
        self.known: dict[str, Any] = dict(known)
        self.reset = False

    def recall(self, of: str) -> Mapping[str, Any]:
        assert of.startswith("opc.tcp://")
        return self.known

    def keep(self, of: str, learned: Mapping[str, Any], *, closing: bool = False) -> None:
        self.known = dict(learned)

    def forgotten(self) -> bool:
        reset, self.reset = self.reset, False
        return reset


async def test_f13_what_was_learned_outlives_the_process_until_an_operator_resets_it() -> None:
    of, record = points(600), Record()
    group = PointGroup(of, 1.0)
    async with Hostile((8192, 65536, 8192, 1)) as server:
        async with device(server, of, mode="poll", learned=record) as driver:
            await driver.read(group)
        assert record.known == {"nodes_per_read": 300}
        async with device(server, of, mode="poll", learned=record) as driver:
            assert driver.observations()["nodes_per_read"] == 300
            record.reset, record.known = True, {}
            await driver.read(group)
            assert record.known == {}
            await driver.open()
            assert driver.observations()["nodes_per_read"] == 1000


@pytest.mark.parametrize("edited", [True, -1, 0, 1.5, "7", None, 10**9, [1]])
async def test_f13_a_record_that_somebody_edited_is_not_believed(edited: Any) -> None:
    record = Record(nodes_per_read=edited, items_per_call=edited, no_subscriptions="a\x1b[2J")
    async with Hostile() as server, device(server, points(), mode="auto", learned=record) as driver:
        assert driver.observations()["nodes_per_read"] == 1000
        assert (await driver.read(PointGroup(points(), 1.0))).value.tolist() == [1.5]


async def test_f18_a_server_that_knows_no_subscriptions_is_not_asked_for_one_again() -> None:
    record = Record()
    async with Hostile() as server:
        for _ in range(2):
            async with device(server, points(), mode="auto", learned=record) as driver:
                samples = await driver.read(PointGroup(points(), 1.0))
                assert "BadServiceUnsupported" in str(samples.faults[0])
                assert driver.observations()["mode"] == "poll"
        assert server.requests["CreateSubscription"] == 1


async def test_f13_a_server_that_receives_next_to_nothing_is_told() -> None:
    async with Hostile((16, 65536, 0, 0)) as server:
        failed = await failure(server)
    assert failed.quality is Quality.MALFORMED
    assert "16 bytes" in str(failed)


# -- F16, F18, F33: what the server makes of a subscription ---------------------------------------------------


async def test_f16_a_revised_sampling_interval_is_taken_over_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """node-opcua#1208: the value changes all the time, and the server looks at it once a minute."""
    monkeypatch.setattr(liveness, "AUDIT_S", 0.05)
    count = [0.0]

    def moving(request: Any) -> Any:
        made = read(request)
        for result in made.Results:
            if result.Value and result.Value.Value == 1.5:
                count[0] += 1
                result.Value = ua.Variant(count[0])
        return made

    of = points(interval=0.05)
    async with (
        Hostile(Read=moving, **Telling(sampling_s=60.0).services) as server,
        device(server, of, timeout=0.2) as driver,
    ):
        while count[0] < 12:
            await driver.read(PointGroup(of, 0.05))
        seen = driver.observations()
        assert seen["sampled_slower"] == {"t0": 60.0}
        assert seen["made_anew"] == 0
        assert server.connections == 2


@pytest.mark.parametrize("mode", ["subscribe", "auto"])
async def test_f16_a_pause_between_notifications_that_is_revised_to_an_hour_is_filled_by_reading(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same kind: the tag is read once a second, the server tells once an hour."""
    monkeypatch.setattr(watching, "FIRST_S", 0.3)
    of = points(interval=0.05)
    telling = Telling(publishing_s=3600.0)
    async with Hostile(**telling.services) as server, device(server, of, mode=mode, timeout=0.2) as driver:
        for _ in range(3):
            assert (await driver.read(PointGroup(of, 0.05))).value.tolist() == [1.5]
        assert driver.observations()["publishing_interval_s"] == 3600.0
        assert server.connections == 2


@pytest.mark.parametrize("room", [0, 10])
@pytest.mark.parametrize("all_or_nothing", [False, True])
async def test_f18_what_the_server_has_no_room_for_is_polled_in_auto(room: int, all_or_nothing: bool) -> None:
    """thingsboard-gateway#1987: 30 monitored items, room for 10."""
    of = points(30)
    telling = Telling(publishing_s=0.05, room=room, all_or_nothing=all_or_nothing)
    async with Hostile(**telling.services) as server, device(server, of, mode="auto") as driver:
        samples = await driver.read(PointGroup(of, 1.0))
        assert (samples.quality == Quality.GOOD).all()
        assert sorted(set(samples.index.tolist())) == list(range(30))
        assert not samples.faults
        seen = driver.observations()
        assert seen["mode"] == "subscribe"
        assert seen["monitored"] == max(0, room - 1)  # one is the server's clock
        assert server.requests["CreateMonitoredItems"] < 15
        assert set(seen["polled"].values()) == {"BadTooManyMonitoredItems"}
        part = of[28:]
        before = server.requests["Read"]
        assert (await driver.read(PointGroup(part, 1.0))).value.tolist() == [1.5, 1.5]
        assert server.requests["Read"] == before + 1


async def test_f18_subscribe_says_that_there_is_no_room_and_what_to_write() -> None:
    of = points(30)
    telling = Telling(publishing_s=0.05, room=11)  # one is the server's clock
    async with Hostile(**telling.services) as server, device(server, of, mode="subscribe") as driver:
        samples = await driver.read(PointGroup(of, 1.0))
        (fault,) = samples.faults
        assert len(fault.points) == 20
        assert "BadTooManyMonitoredItems" in str(fault)
        assert '"auto"' in fault.remedy
        assert fault.kind is FailureKind.PARTIAL


@pytest.mark.parametrize(
    ("interval", "publishing_s", "least"), [(0.2, 2.0, 11), (0.2, None, 2), (0.01, 86_400.0, 1000)]
)
async def test_f33_queues_are_as_long_as_the_revised_pause_between_notifications(
    interval: float, publishing_s: float | None, least: int
) -> None:
    telling = Telling(publishing_s=publishing_s)
    of = points(interval=interval)
    async with Hostile(**telling.services) as server:
        driver = made(server, of, mode="subscribe", timeout=0.5)
        try:
            opening = asyncio.ensure_future(driver.open())
            await until(lambda: 0 in telling.asked, "the monitored item")
            assert telling.asked[0].RequestedParameters.QueueSize == least
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        finally:
            await driver.close()


# -- F19: certificates that nothing needs ----------------------------------------------------------------------


def sequence(der: bytes) -> list[tuple[int, bytes]]:
    """The elements of a DER sequence: tag and content."""
    found, at = [], 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            octets = size & 0x7F
            size, at = int.from_bytes(der[at : at + octets], "big"), at + octets
        found.append((tag, der[at : at + size]))
        at += size
    return found


def encoded(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (bytes([size]) if size < 0x80 else bytes([0x80 | len(octets)]) + octets) + content


def with_false_written_out(der: bytes) -> bytes:
    """The certificate with ``critical = FALSE`` written out in its extensions, which DER forbids."""
    ((_, whole),) = sequence(der)
    (_, body), *rest = sequence(whole)
    fields = sequence(body)
    (_, listed) = fields[-1]  # [3] extensions
    ((_, extensions),) = sequence(listed)
    changed = b""
    for _, extension in sequence(extensions):
        parts = sequence(extension)
        if len(parts) == 2:
            parts.insert(1, (0x01, b"\0"))
        changed += encoded(0x30, b"".join(encoded(*part) for part in parts))
    fields[-1] = (0xA3, encoded(0x30, changed))
    body = encoded(0x30, b"".join(encoded(*each) for each in fields))
    return encoded(0x30, body + b"".join(encoded(*each) for each in rest))


async def test_f19_a_certificate_is_not_looked_at_where_nothing_needs_it(tmp_path: Path) -> None:
    """opcua-asyncio#1525: extensions that write out ``critical = FALSE``."""
    faulty = with_false_written_out(Pair.make().der)
    for shown in (faulty, b"no certificate at all"):
        plain = endpoint(ServerCertificate=shown)
        services = {"GetEndpoints": endpoints(plain), "CreateSession": session(plain, ServerCertificate=shown)}
        async with Hostile(**services) as server, device(server, points(), tmp_path, mode="poll") as driver:
            assert (await driver.read(PointGroup(points(), 1.0))).value.tolist() == [1.5]
        policy = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
        mode = ua.MessageSecurityMode.SignAndEncrypt
        secured = endpoint(ServerCertificate=shown, SecurityPolicyUri=policy, SecurityMode=mode)
        async with Hostile(GetEndpoints=endpoints(secured)) as server:
            failed = await failure(server, tmp_path, security="auto")
        assert "certificate" in str(failed) and "cannot be read" in str(failed)
        assert failed.kind is FailureKind.PERMANENT


# -- F40: clocks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["GetEndpoints", "CreateSession", "ActivateSession", "Read"])
@pytest.mark.parametrize(
    ("behind", "to_set"),
    [(timedelta(days=3000), "set the server's clock"), (timedelta(hours=3), "set the clock that is wrong")],
)
async def test_f40_clocks_that_differ_are_told_and_which_to_set(service: str, behind: timedelta, to_set: str) -> None:
    """UA-.NETStandard#717."""
    server_says = datetime.now(UTC) - behind
    async with Hostile(**{service: refuse("BadInvalidTimestamp", server_says)}) as server:
        failed = await failure(server, mode="poll")
    assert f"{server_says:%Y-%m-%d %H:%M}" in str(failed)
    assert failed.remedy.startswith(to_set)


async def test_f40_a_server_that_hangs_up_for_it_names_no_time() -> None:
    async with Hostile(OpenSecureChannel=lambda _: error(0x80230000)) as server:
        failed = await failure(server)
    assert "clock" in str(failed) and "clock" in failed.remedy


# -- F20, F30: names ------------------------------------------------------------------------------------------


def named(server: Hostile) -> Options:
    return Options(url=f"opc.tcp://plc.test:{server.port}", security="none", mode="poll", timeout=2.0)


async def test_f20_the_second_address_of_a_name_is_tried_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """fluux-messenger#532: the first address swallows what is sent to it."""
    async with Hostile() as server:
        swallowing = socket.socket()
        swallowing.bind(("127.0.0.9", server.port))
        swallowing.listen(0)
        filling = [socket.socket() for _ in range(3)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(swallowing.getsockname())

        def found(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            assert host == "plc.test"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.9", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", found)
        context = Context(device="press-1", now=lambda: time.time_ns() // 1000)
        driver = OpcUaDriver(named(server), points(), context)
        try:
            await driver.open()
            assert (await driver.read(PointGroup(points(), 1.0))).value.tolist() == [1.5]
        finally:
            await driver.close()
            for each in (swallowing, *filling):
                each.close()


async def test_f30_a_silent_name_server_costs_nobody_else_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:
        silence.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    async with Hostile() as server:
        context = Context(device="press-1", now=lambda: time.time_ns() // 1000)
        drivers = [OpcUaDriver(named(server), points(), context) for _ in range(40)]
        opening = [asyncio.ensure_future(driver.open()) for driver in drivers]
        await asyncio.sleep(0)
        async with asyncio.timeout(25):
            assert await asyncio.to_thread(lambda: 7) == 7
        assert not silence.is_set()
        silence.set()
        for failed in await asyncio.gather(*opening, return_exceptions=True):
            assert isinstance(failed, DriverError) and failed.remedy
