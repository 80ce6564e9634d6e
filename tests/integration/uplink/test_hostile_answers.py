"""Every answer of the contract with hostile values, through the real client into the real store."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.core.bounds import MAX_BODY, MAX_JUMP, MAX_RETRY_AFTER_S, MAX_SEQ
from agent.digest.chain import next_link
from agent.uplink.answers import Accepted, Conflict, Head, Rejected
from agent.uplink.client import Client, NotOffered
from agent.uplink.held import Held
from agent.uplink.transport import Transport
from tests.support.uplink_gateway import Gateway, gateway_in
from tests.support.uplink_platform import ScriptedPlatform, running

LIE = "cd" * 32
NUMBERS = [-1, 0, 1, 2, 4, 2**31, MAX_SEQ, MAX_SEQ + 1, 2**63 - 2, 2**63 - 1, 2**63, 2**64, 10**400, 1.5, 1e300]
SCALARS: list[Any] = [None, True, "", "0", LIE, LIE.upper(), LIE + "\n", "\x00", "\u202e", "x" * 5000, [], {}, [[]]]
DEEP = [b"[" * 100_000, b'{"a":' * 50_000, b'{"seq": ' + b"9" * 100_000 + b"}"]
RAW = [b"", b"null", b"[]", b"{", b"NaN", b'{"seq": NaN, "hash": Infinity}', b'{"seq": 1e999}', b"\xff\xfe\x00"]
RAW += [b"<html>Welcome</html>", b" " * 2_000_000, *DEEP]
GOOD = [200, 200, 200, 201, 201, 204, 304, 409, 409]
STATUSES = [*GOOD, 100, 199, 202, 206, 301, 302, 307, 400, 401, 403, 404, 413, 415, 422, 429, 500, 503, 503, 999]
DATES = ["", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 99 Foo 2026 99:99:99 +9999"]
DATES += ["0", "-1", "x" * 9000, "Tue, 01 Dec 2026 00:00:00 -2359", "Tue, 01 Dec 99999999999 00:00:00 GMT"]
AFTER = ["0", "1", "-1", "1e9", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "\u0663", "soon", "nan", "inf"]
MEMBERS = [
    "seq",
    "hash",
    "kind",
    "period_end",
    "signature",
    "contract",
    "title",
    "detail",
    "status",
    "prescriptions",
    "payload",
    "admins",
    "type",
    "head",
]


def body_of(rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return rng.choice(RAW)
    value = {name: rng.choice([*NUMBERS, *SCALARS]) for name in rng.sample(MEMBERS, rng.randrange(1, 9))}
    if rng.random() < 0.5:
        value |= {"seq": rng.choice(NUMBERS), "hash": rng.choice([LIE, LIE, None, "x"])}
    return json.dumps(value).encode()


def answer_of(rng: random.Random) -> bytes:
    """A whole answer as it travels."""
    body, headers = body_of(rng), []
    if rng.random() < 0.2:
        body = gzip.compress(body + b" " * rng.choice([0, 5_000_000]))
        headers.append("Content-Encoding: " + rng.choice(["gzip", "gzip", "deflate", "br", "gzip, gzip"]))
        body = body[: rng.choice([len(body), len(body), len(body) // 2])]
    for name, values in (("Date", DATES), ("Retry-After", AFTER), ("ETag", ['"a"', "x" * 9000, '"\x07"'])):
        if rng.random() < 0.5:
            headers.append(f"{name}: {rng.choice(values)}")
    length = rng.choice([len(body)] * 6 + [0, len(body) + 7, -1, "x", 10**30])
    headers.append(rng.choice([f"Content-Length: {length}"] * 5 + ["Transfer-Encoding: chunked", "Connection: close"]))
    if rng.random() < 0.05:
        headers += [f"X-{number}: y" for number in range(300)]
    media = rng.choice(["application/json", "application/jose+json", "text/html", "", "application/problem+json"])
    first = f"HTTP/1.1 {rng.choice(STATUSES)} {rng.choice(['', 'OK', 'x' * 500])}"
    text = "\r\n".join([first, f"Content-Type: {media}", "Location: http://127.0.0.1:9/", *headers])
    return text.encode("utf-8", "replace") + b"\r\n\r\n" + body


@asynccontextmanager
async def malicious(answers: Callable[[], bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers each request with the next of these bytes and hangs up; the requests' first lines."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head.split(b"\r\n")[0])
            writer.write(answers())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1", seen


@pytest.mark.parametrize("seed", range(6))
async def test_a1_no_answer_is_more_than_a_bounded_value(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with gateway_in(tmp_path) as gateway, malicious(lambda: answer_of(rng)) as (url, _):
        await gateway.build(3)
        record = await gateway.store.digest(2)
        assert record is not None
        gateway.clock.trusted = False
        async with gateway.running("http://127.0.0.1:9/api/v1") as uplink:
            budget = uplink.budget
        client = Client(gateway.identity, gateway.clock, Transport(url, read_s=5.0, deadline_s=5.0), budget)
        for number in range(60):
            try:
                match number % 5:
                    case 0:
                        head = await client.head()
                        assert isinstance(head, Head) and 0 <= head.seq <= MAX_SEQ and len(head.hash) == 64
                        assert not head.vouched_by and (head.kind, head.period_end) == ("", 0)
                    case 1:
                        verdict = await client.offer(record)
                        assert isinstance(verdict, Accepted | Rejected | Conflict)
                        assert isinstance(verdict, Accepted) or len(verdict.reason) <= 300
                    case 2:
                        await client.report({})
                    case 3:
                        bundle, etag = await client.desired("", 0)
                        assert len(bundle or b"") <= MAX_BODY and len(etag) <= 256
                    case _:
                        listed, etag = await client.prescriptions("")
                        assert len(listed or b"") <= MAX_BODY and len(etag) <= 256
            except NotOffered:
                pass
            except Held as held:
                assert held.after_s is None or 0 <= held.after_s <= MAX_RETRY_AFTER_S
                assert "\n" not in str(held) and len(str(held)) < 600
            finally:
                client.close()
            gateway.clock.now_us = 1_800_100_800_000_000


async def sound(gateway: Gateway) -> None:
    """Whatever was said, the next digest has a place that every platform takes."""
    seq, previous = await next_link(gateway.store)
    assert 1 <= seq <= MAX_JUMP + 10 and len(previous) == 64


@pytest.mark.parametrize("seed", range(6))
async def test_a1_b8_after_any_answers_an_honest_platform_gets_every_digest(tmp_path: Path, seed: int) -> None:
    rng, told, enough = random.Random(1000 + seed), 0, asyncio.Event()

    def answers() -> bytes:
        nonlocal told
        told += 1
        if told >= 120:
            enough.set()
        return answer_of(rng)

    async with gateway_in(tmp_path) as gateway:
        await gateway.build(4)
        bodies = [each.body for each in reversed(await gateway.store.digests(9))]
        async with malicious(answers) as (url, _), gateway.running(url, deadline_s=5.0):
            async with asyncio.timeout(60):
                await enough.wait()
        await sound(gateway)
        for record in await gateway.store.digests(99):
            if record.state != "pending":  # whatever it was led to believe, an honest head says what is there
                await gateway.store.mark(record.seq, "pending")
        honest = ScriptedPlatform()
        async with running(honest), gateway.running(honest.url):
            await gateway.until_states("aaaa")
        assert [honest.stored[seq] for seq in sorted(honest.stored)] == bodies
