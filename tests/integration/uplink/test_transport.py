"""The way to the platform is bounded in time and size, private where it says so, and says what is wrong."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from agent.errors import GongfuError
from agent.uplink.transport import Transport, Unreachable, checked_url, compress
from tests.support.uplink_platform import (
    ForwardProxy,
    ScriptedPlatform,
    drips,
    half_an_answer,
    hangs_up,
    private_ca,
    running,
    says,
    swallows,
)


async def ended(name: str) -> None:
    """Wait until no thread of this name is left."""
    async with asyncio.timeout(60):
        while left := [thread for thread in threading.enumerate() if thread.name == name]:
            await asyncio.to_thread(left[0].join, 0.05)


def test_the_clear_is_for_loopback_only() -> None:
    for url in ("https://p.example/api/v1/", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:8/x"):
        assert checked_url(url) == url.rstrip("/")
    for url in (
        "http://p.example/",
        "http://10.0.0.1/",
        "http://127.0.0.1.example/",
        "ftp://x/",
        "https://",
        "https://h:x/",
    ):
        with pytest.raises(GongfuError) as caught:
            checked_url(url)
        assert caught.value.remedy


def test_the_same_bytes_compress_to_the_same_bytes() -> None:
    assert compress(b"abc") == compress(b"abc") and compress(b"abc")[4:8] == b"\0\0\0\0"


async def test_an_exchange_over_one_connection() -> None:
    platform = ScriptedPlatform()
    async with running(platform):
        transport = Transport(platform.url)
        first = await transport.request("GET", "/gateways/g/digests/head")
        second = await transport.request("PUT", "/gateways/g/status", {"X-Test": "1"}, b"{}")
        transport.close()
    assert (first.status, first.json(), second.status) == (200, {"seq": 0, "hash": None}, 204)
    assert first.date_us is not None and second.sent > first.sent - 100
    assert platform.seen[1].headers["X-Test"] == "1" and platform.seen[1].body == b"{}"


async def test_L24_a_platform_that_swallows_bytes_is_given_up() -> None:
    platform = ScriptedPlatform()
    platform.faults = [swallows(platform), swallows(platform)]
    async with running(platform):
        transport = Transport(platform.url, read_s=0.1)
        with pytest.raises(Unreachable, match="fell silent") as caught:
            await transport.request("PUT", "/gateways/g/digests/1", {}, b"x" * 1000)
        assert caught.value.sent > 1000
        transport = Transport(platform.url, deadline_s=0.1)
        with pytest.raises(Unreachable, match="no whole answer"):
            await transport.request("PUT", "/gateways/g/digests/1", {}, b"x")
        await ended("uplink")  # cut, not left hanging until the platform thinks of something


async def test_L24_a_platform_that_drips_bytes_is_cut_off() -> None:
    platform = ScriptedPlatform()
    platform.faults = [drips(platform)]
    async with running(platform):
        transport = Transport(platform.url, deadline_s=0.3)
        with pytest.raises(Unreachable, match="no whole answer"):
            await transport.request("PUT", "/gateways/g/digests/1", {}, b"x")
        await ended("uplink")
        async with asyncio.timeout(60):  # a busy machine may need longer for one than was made the limit here
            while True:
                with suppress(Unreachable):
                    assert (await transport.request("GET", "/gateways/g/digests/head")).status == 200
                    break
        transport.close()


async def test_cancellation_cuts_the_exchange_at_once() -> None:
    platform = ScriptedPlatform()
    platform.faults = [swallows(platform)]
    async with running(platform):
        task = asyncio.create_task(Transport(platform.url).request("PUT", "/gateways/g/digests/1", {}, b"x"))
        await platform.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended("uplink")


async def test_broken_answers_are_no_answers() -> None:
    platform = ScriptedPlatform()
    platform.faults = [hangs_up, half_an_answer]
    async with running(platform):
        transport = Transport(platform.url)
        for _ in range(2):
            with pytest.raises(Unreachable) as caught:
                await transport.request("PUT", "/gateways/g/digests/1", {}, b"x")
            assert "\n" not in caught.value.line()
    with pytest.raises(Unreachable, match="no connection") as caught:
        await transport.request("PUT", "/gateways/g/digests/1", {}, b"x")
    assert caught.value.sent == 0


async def test_an_endless_answer_is_cut_off_and_a_redirect_not_followed() -> None:
    platform = ScriptedPlatform()
    platform.faults = [says(200, "x" * 3_000_000), says(307, Location="http://127.0.0.1:9/")]
    async with running(platform):
        transport = Transport(platform.url)
        assert len((await transport.request("GET", "/x")).body) == 1_000_000
        assert (await transport.request("PUT", "/x", {}, b"digest")).status == 307
        transport.close()
    assert len(platform.seen) == 2


async def test_a_private_ca_is_trusted_when_named_and_only_then(tmp_path: Path) -> None:
    ca_file, tls = private_ca(tmp_path)
    platform = ScriptedPlatform()
    async with running(platform, tls):
        with pytest.raises(Unreachable, match="TLS") as caught:
            await Transport(platform.url).request("GET", "/gateways/g/digests/head")
        assert "ca_file" in caught.value.remedy and "\n" not in caught.value.line()
        trusting = Transport(platform.url, ca_file=str(ca_file))
        assert (await trusting.request("GET", "/gateways/g/digests/head")).status == 200
        trusting.close()
        with pytest.raises(Unreachable, match="does not exist"):
            await Transport(platform.url, ca_file=str(tmp_path / "none.pem")).request("GET", "/x")


async def test_the_proxy_of_the_configuration_is_used_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file, tls = private_ca(tmp_path)
    proxy, secure, plain = ForwardProxy(), ScriptedPlatform(), ScriptedPlatform()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with proxy.running() as port, running(secure, tls), running(plain):
        for platform in (secure, plain):
            transport = Transport(platform.url, ca_file=str(ca_file), proxy=f"http://edge:s3cret@127.0.0.1:{port}")
            assert (await transport.request("GET", "/gateways/g/digests/head")).status == 200
            transport.close()
        direct = Transport(plain.url)
        assert (await direct.request("GET", "/gateways/g/digests/head")).status == 200
        direct.close()
    assert [line.split(" ")[0] for line in proxy.lines] == ["CONNECT", "GET"] and len(proxy.authorization) == 2


async def test_a_proxy_that_refuses_is_named_without_its_password(tmp_path: Path) -> None:
    ca_file, tls = private_ca(tmp_path)
    proxy, platform = ForwardProxy(refuse="407 Proxy Authentication Required"), ScriptedPlatform()
    async with proxy.running() as port, running(platform, tls):
        transport = Transport(platform.url, ca_file=str(ca_file), proxy=f"http://edge:s3cret@127.0.0.1:{port}")
        with pytest.raises(Unreachable, match="proxy") as caught:
            await transport.request("GET", "/x")
        assert "s3cret" not in caught.value.line() and "[platform] proxy" in caught.value.remedy
    assert platform.seen == []


@pytest.mark.parametrize("status", [200, 302])
async def test_b5_an_answer_that_unpacks_without_end_costs_no_memory(status: int) -> None:
    """200 kB of gzip are 200 MB; whatever the library's decoder does, no more than the limit is unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()

    async def bombs(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=bomb, headers={"Content-Encoding": "gzip", "Location": "/y"})

    platform = ScriptedPlatform(faults=[bombs])
    async with running(platform):
        transport = Transport(platform.url)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = await transport.request("GET", "/x")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        transport.close()
    assert len(answer.body) == 1_000_000 and answer.heard < len(bomb) + 1000 and grown < 50_000


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip", "x" * 5000])
async def test_b5_an_encoding_that_was_not_asked_for_is_not_unpacked(encoding: str) -> None:
    async def odd(request: web.Request) -> web.StreamResponse:
        return web.Response(body=zlib.compress(b"{}"), headers={"Content-Encoding": encoding})

    platform = ScriptedPlatform(faults=[odd])
    async with running(platform):
        transport = Transport(platform.url)
        with pytest.raises(Unreachable):
            await transport.request("GET", "/x")
        assert (await transport.request("PUT", "/gateways/g/status", {}, b"{}")).status == 204
        transport.close()


async def test_a11_what_a_platform_says_counts_even_where_it_never_ends() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        await answer.write(b"x" * 400_000)
        await platform.held.wait()
        return answer

    platform = ScriptedPlatform(faults=[endless])
    async with running(platform):
        transport = Transport(platform.url, deadline_s=1.0)
        with pytest.raises(Unreachable) as caught:
            await transport.request("GET", "/x")
        assert 300_000 < caught.value.heard < 500_000


@contextmanager
def swallowing(port: int) -> Iterator[None]:
    """127.0.0.2, where nobody takes a connection and nobody refuses one."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        for _ in range(3):  # fills the queue
            each = stack.enter_context(socket.socket())
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(("127.0.0.2", port))
        yield


async def test_f20_the_second_address_is_tried_while_the_first_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolves(host: str, port: int, *_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.2", "127.0.0.1")]

    platform = ScriptedPlatform()
    async with running(platform) as port:
        with swallowing(port):
            monkeypatch.setattr("agent.uplink.dial.socket.getaddrinfo", resolves)
            transport = Transport(f"http://localhost:{port}/api/v1", connect_s=5.0)
            assert (await transport.request("GET", "/gateways/g/digests/head")).status == 200
            transport.close()


async def test_f20_all_addresses_silent_is_one_timeout_and_a_refusal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: refuses
        port = taken.getsockname()[1]
        with swallowing(port):
            for addresses, words in ((["127.0.0.2"] * 2, "no connection to .* within"), (["127.0.0.1"], "refused")):
                found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]
                monkeypatch.setattr("agent.uplink.dial.socket.getaddrinfo", lambda *_, found=found: found)
                transport = Transport(f"http://localhost:{port}/api/v1", connect_s=0.6)
                with pytest.raises(Unreachable, match=words):
                    await transport.request("GET", "/x")
                transport.close()


async def test_f30_a_silent_name_server_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = threading.Event()
    monkeypatch.setattr("agent.uplink.dial.socket.getaddrinfo", lambda *_: silent.wait(30) or [])
    transports = [Transport("https://platform.example/api/v1") for _ in range(40)]
    asking = [asyncio.create_task(each.request("GET", "/x")) for each in transports]
    try:
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(lambda: 7) == 7  # the shared threads are free
    finally:
        for each in asking:
            each.cancel()
        silent.set()
        await asyncio.gather(*asking, return_exceptions=True)
