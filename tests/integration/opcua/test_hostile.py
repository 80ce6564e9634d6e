"""A8 and its kind: a server made for malice costs one device, a bounded answer and one clear line."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from drivers.browsing import Wanted
from drivers.contract import Context, DriverError, Point, PointGroup
from drivers.opcua import DRIVER, Options, watching
from drivers.opcua.driver import OpcUaDriver
from drivers.quality import Quality
from tests.support.opcua_hostile import (
    HONEST,
    Hostile,
    Raw,
    Telling,
    chunk,
    endpoint,
    endpoints,
    error,
    read,
    refuse,
    session,
)

MB = 2**20
POINT = Point(index=0, name="a", address="ns=1;i=5")
GROUP = PointGroup((POINT,), 1.0)
HEADER = struct.pack("<qIIB", 0, 1, 0, 0) + b"\xff\xff\xff\xff" + b"\0\0\0"
"""Of an answer that is good."""
READ = b"\x01\x00" + struct.pack("<H", 634) + HEADER


def made(server: Hostile, **options: Any) -> OpcUaDriver:
    wanted = {"security": "none", "mode": "poll", "timeout": 2.0} | options
    return OpcUaDriver(Options(url=server.url, **wanted), [POINT], context())


def context() -> Context:
    return Context(device="press-1", now=lambda: time.time_ns() // 1000)


async def failure(server: Hostile, **options: Any) -> DriverError:
    """The error with which opening and reading end."""
    driver = made(server, **options)
    try:
        await driver.open()
        await driver.read(GROUP)
    except DriverError as failed:
        assert failed.remedy
        assert "\n" not in str(failed)
        return failed
    finally:
        await driver.close()
    raise AssertionError("nothing failed")


@asynccontextmanager
async def frugal(most: int) -> AsyncIterator[None]:
    """What happens in here takes no more memory than so many bytes."""
    before = getrusage(RUSAGE_SELF).ru_maxrss
    yield
    assert (getrusage(RUSAGE_SELF).ru_maxrss - before) * 1024 < most


@pytest.mark.parametrize("service", ["OpenSecureChannel", "GetEndpoints", "CreateSession", "Read"])
async def test_a8_a_message_without_end_is_cut_at_our_own_limits(service: str) -> None:
    """The acknowledge names no limits at all, and the server would send 240 MB."""
    number, kind = {"OpenSecureChannel": (1, b"OPN"), "GetEndpoints": (2, b"MSG")}.get(service, (0, b"MSG"))
    number = number or {"CreateSession": 2, "Read": 4}[service]
    first = {"OpenSecureChannel": 1, "GetEndpoints": 2, "CreateSession": 2, "Read": 4}[service]

    def answer(_: Any) -> Iterator[Raw]:
        return (Raw(chunk(b"\0" * 60_000, number, first + each, b"C", kind)) for each in range(4_000))

    async with Hostile((0, 0, 0, 0) if service != "Read" else (65536, 65536, 0, 0), **{service: answer}) as server:
        async with frugal(60 * MB):
            failed = await failure(server)
        assert failed.quality is Quality.MALFORMED
        assert server.sent < 60 * MB


@pytest.mark.parametrize("sends", [0, 1, 8192, 2**32 - 1])
@pytest.mark.parametrize("head", [b"MSGF", b"OPNF", b"ERRF", b"ACKF", b"MSGC", b"CLOF"])
async def test_a8_an_oversized_header_drops_the_connection_at_once(sends: int, head: bytes) -> None:
    """Nothing follows the header: who waits for the rest waits for ever."""
    answer = Raw(head + struct.pack("<I", 2**31 - 1))
    async with Hostile((65536, sends, 0, 0), OpenSecureChannel=lambda _: answer) as server:
        failed = await failure(server, timeout=30.0)
    assert failed.quality is Quality.MALFORMED
    assert "2147483647" in str(failed)


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad", b"\0" * 64, b"SSH-2.0-OpenSSH_9", b"ACKF\0\0\0\0", b"MSGX" * 4]
)
async def test_a8_what_is_no_opcua_server_is_told_apart_at_once(greeting: bytes) -> None:
    async with Hostile(Hello=lambda _: Raw(greeting)) as server:
        failed = await failure(server, timeout=30.0)
    assert failed.quality is Quality.MALFORMED


def variant(encoding: int, body: bytes) -> bytes:
    """A Read answer with one value."""
    return READ + struct.pack("<i", 1) + b"\x01" + bytes([encoding]) + body + struct.pack("<i", 0)


def nested(levels: int) -> bytes:
    """A value within a value within a value …"""
    return bytes([24]) * levels + b"\x01\x01"


def structure(type_id: int, body: bytes) -> bytes:
    return b"\x01\x00" + struct.pack("<H", type_id) + b"\x01" + struct.pack("<i", len(body)) + body


HUGE = struct.pack("<i", 2**31 - 1)
GIFTS = {
    "an array of nothing": variant(0x80, HUGE),
    "an array of two thousand million": variant(0x86, HUGE),
    "an array of negative length": variant(0x86, struct.pack("<i", -7)),
    "a text of two thousand million": variant(12, HUGE),
    "a text of negative length": variant(12, struct.pack("<i", -7)),
    "values within values": variant(24, nested(5_000)),
    "dimensions of a thousand million": variant(0xC6, struct.pack("<i3i", 1, 5, 1, 10**9)),
    "a list of two thousand million": READ + HUGE,
    "a million empty texts": variant(0x8C, struct.pack("<i", 1_000_000) + b"\xff" * 4_000_000),
    "a million empty texts with languages": variant(0x95, struct.pack("<i", 1_000_000) + b"\0" * 1_000_000),
    "four million diagnostics": READ + struct.pack("<i", 0) + struct.pack("<i", 4_000_000) + b"\0" * 4_000_000,
    "a structure that holds an array of nothing": variant(22, structure(597, b"\x80" + HUGE)),
    "diagnostics within diagnostics": b"\x01\x00\x7a\x02" + struct.pack("<qII", 0, 1, 0) + b"\x40" * 5_000,
    "nothing": b"",
    "another answer": bytes(struct_to_binary(ua.BrowseResponse())),
    "half an answer": READ[:11],
}


@pytest.mark.parametrize("name", GIFTS)
@pytest.mark.parametrize("at", ["facts", "values"])
async def test_a8_an_answer_is_measured_before_it_is_believed(name: str, at: str) -> None:
    """Both when the library decodes it (what the server says of itself) and when we do."""

    def answer(request: Any) -> Any:
        asked = request.Parameters.NodesToRead
        ours = len(asked) == 1 and asked[0].NodeId.NamespaceIndex == 1
        return GIFTS[name] if ours == (at == "values") else read(request)

    async with Hostile(Read=answer) as server:
        driver = made(server)
        async with frugal(110 * MB):
            try:
                await driver.open()
                samples = await driver.read(GROUP)
                assert at == "facts" or (samples.quality >= Quality.BAD).all()
            except DriverError as failed:
                assert failed.remedy
                assert failed.quality in (Quality.MALFORMED, Quality.DECODE, Quality.REFUSED)
            finally:
                await driver.close()


async def test_a8_endpoints_without_end_are_not_all_taken() -> None:
    entry = endpoint(EndpointUrl="opc.tcp://" + "x" * 10)
    async with Hostile(GetEndpoints=endpoints(*[entry] * 20_000)) as server, frugal(100 * MB):
        assert (await failure(server)).quality is Quality.MALFORMED


async def test_a8_an_answer_to_nothing_that_was_asked_ends_the_connection() -> None:
    def answer(request: Any) -> Raw:
        return Raw(chunk(READ, 4711, 4))

    async with Hostile(Read=answer) as server:
        failed = await failure(server)
        assert failed.quality is Quality.MALFORMED
        assert "4711" in str(failed)


async def test_a8_a_message_that_is_given_up_by_the_server_fails_its_request_only() -> None:
    """An abort chunk: the request is told why at once, and the connection goes on."""
    reasons = [0x80080000, 0]

    def answer(request: Any) -> Any:
        if not reasons or request.Parameters.NodesToRead[0].NodeId.NamespaceIndex != 1:
            return read(request)
        return Raw(
            chunk(struct.pack("<Ii", reasons.pop(), -1), server.requests["Read"] + 3, server.requests["Read"] + 3, b"A")
        )

    async with Hostile(Read=answer) as server:
        driver = made(server, timeout=30.0)
        try:
            await driver.open()
            with pytest.raises(DriverError, match="Read refused"):
                await driver.read(GROUP)
        finally:
            await driver.close()


@pytest.mark.parametrize(
    "name", ["BadTooManyOperations", "BadResponseTooLarge", "BadEncodingLimitsExceeded", "BadInternalError"]
)
async def test_a8_a_server_that_refuses_everything_is_not_asked_for_ever(name: str) -> None:
    def answer(request: Any) -> Any:
        return refuse(name)(request) if request.Parameters.NodesToRead[0].NodeId.NamespaceIndex == 1 else read(request)

    async with Hostile(Read=answer) as server:
        driver = made(server)
        try:
            await driver.open()
            with suppress(DriverError):
                assert (await driver.read(GROUP)).quality[0] >= Quality.BAD
        finally:
            await driver.close()
        assert server.requests["Read"] < 10


def reference(name: str) -> ua.ReferenceDescription:
    made = ua.ReferenceDescription()
    made.ReferenceTypeId, made.IsForward = ua.NodeId(ua.ObjectIds.Organizes), True
    made.NodeId = ua.ExpandedNodeId(name, 1)
    made.BrowseName, made.NodeClass = ua.QualifiedName(name, 1), ua.NodeClass.Object
    return made


async def test_a8_browsing_a_server_without_end_comes_to_one() -> None:
    count = [0]

    def more(results: Any, asked: int) -> Any:
        found = []
        for _ in range(asked):
            result = ua.BrowseResult()
            count[0] += 50
            result.References = [reference(f"\x1b[2J{count[0]}-{each}") for each in range(50)]
            result.ContinuationPoint = b"and so on"
            found.append(result)
        return found

    def first(request: Any) -> Any:
        answer = ua.BrowseResponse()
        answer.Results = more(answer, len(request.Parameters.NodesToBrowse))
        return answer

    def following(request: Any) -> Any:
        answer = ua.BrowseNextResponse()
        if not request.Parameters.ReleaseContinuationPoints:
            answer.Parameters.Results = more(answer, len(request.Parameters.ContinuationPoints))
        else:
            released.append(1)
            answer.Parameters.Results = [ua.BrowseResult()]
        return answer

    released: list[int] = []
    async with Hostile(Browse=first, BrowseNext=following) as server:
        assert DRIVER.browse is not None
        options = Options(url=server.url, security="none", timeout=5.0)
        tree = await DRIVER.browse(options, context(), Wanted(depth=5, most=300))
    assert len(tree.items) <= 301
    assert any("300" in note for note in tree.notes)
    assert released
    assert all(item.name.isprintable() for item in tree.items)


@pytest.mark.parametrize(
    "answer",
    [error(0x80AE0000, "shut"), error(0, "no reason at all"), error(0), Raw(b"ERRF\x09\0\0\0\0")],
    ids=["a status", "a good status", "nothing", "cut short"],
)
async def test_a8_a_connection_that_is_ended_with_an_error_is_told(answer: Raw) -> None:
    async with Hostile(Read=lambda _: answer) as server:
        assert (await failure(server, timeout=30.0)).remedy


async def test_f41_a_session_whose_endpoints_have_no_url_is_entered() -> None:
    """opcua-asyncio#119: EndpointUrl null."""
    for given in ([endpoint(EndpointUrl=None)], [], [endpoint(EndpointUrl=None, UserIdentityTokens=None)]):
        async with Hostile(CreateSession=session(*given), GetEndpoints=endpoints(endpoint(EndpointUrl=None))) as server:
            driver = made(server)
            try:
                await driver.open()
                assert (await driver.read(GROUP)).value.tolist() == [1.5]
            finally:
                await driver.close()


SUBSCRIBING = ["CreateSubscription", "CreateMonitoredItems", "Publish"]


@pytest.mark.parametrize(
    "service", ["OpenSecureChannel", "GetEndpoints", "CreateSession", "ActivateSession", "Read", *SUBSCRIBING]
)
async def test_f41_whatever_an_answer_lacks_is_a_typed_error_with_a_remedy(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut anywhere, and with bytes that say something else: no error of the library gets out."""
    monkeypatch.setattr(watching, "FIRST_S", 0.05)
    telling = Telling(publishing_s=0.02)
    services = HONEST | telling.services
    honest: list[bytes] = []
    mutants: list[bytes] = [b""]

    def answer(request: Any) -> Any:
        if not honest:
            found = telling._notification() if service == "Publish" else services[service](request)
            found.ResponseHeader.RequestHandle = request.RequestHeader.RequestHandle
            whole = bytes(struct_to_binary(found))
            honest.append(whole)
            step = max(1, len(whole) // 25)
            mutants[:] = [whole[:at] for at in range(0, len(whole), step)]
            mutants.extend(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :] for at in range(4, len(whole) - 4, step))
            mutants.extend(whole[:at] + b"\xfe" + whole[at + 1 :] for at in range(4, len(whole), step))
        return mutants.pop()

    async with Hostile(**telling.services | {service: answer}) as server:
        while mutants:
            driver = made(server, timeout=0.1, mode="subscribe" if service in SUBSCRIBING else "poll")
            with suppress(DriverError):
                await driver.open()
                await driver.read(GROUP)
            await driver.close()
    ours = [task for task in asyncio.all_tasks() if "opcua_hostile" not in repr(task.get_coro())]
    assert ours == [asyncio.current_task()]


async def test_a8_a_text_of_a_novel_is_not_recorded() -> None:
    def answer(request: Any) -> Any:
        made = read(request)
        for result in made.Results:
            if result.Value and result.Value.Value == 1.5:
                result.Value = ua.Variant("x" * 5 * MB)
        return made

    async with Hostile(Read=answer) as server:
        driver = made(server, timeout=10.0)
        try:
            await driver.open()
            samples = await driver.read(GROUP)
        finally:
            await driver.close()
    assert not samples.text
    assert samples.quality.tolist() == [Quality.INVALID]
    assert str(5 * MB) in str(samples.faults[0]) and samples.faults[0].remedy
