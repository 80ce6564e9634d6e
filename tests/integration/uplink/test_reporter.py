"""The status reaches the platform when there is something to tell, and is never in the way of digests."""

from __future__ import annotations

import gzip
import json
import logging
import time
from pathlib import Path

import pytest

from agent.uplink.client import Client
from agent.uplink.held import Held
from agent.uplink.outbox import Uplink
from agent.uplink.reporter import GAP_S, STEADY_S
from agent.uplink.transport import Transport
from scripts.sandbox.platform import serve
from tests.support.platform_contract import check_answer
from tests.support.uplink_gateway import STATUS, Gateway, gateway_in, until
from tests.support.uplink_platform import Fault, ScriptedPlatform, running, says, swallows


def at_status(platform: ScriptedPlatform, fault: Fault) -> None:
    """Let every status report, and nothing else, meet the fault."""
    behave = platform._behave

    async def faulty(request, body):  # type: ignore[no-untyped-def]
        return await (fault(request) if request.path.endswith("/status") else behave(request, body))

    platform._behave = faulty  # type: ignore[method-assign,assignment]


async def reported(gateway: Gateway, count: int) -> None:
    """Wait until so many reports have got their answer, or none."""

    async def reports() -> bool:
        return [each.kind for each in await gateway.store.uploads(0, 2**62)].count("status") >= count

    await until(reports, True)


async def test_the_latest_state_is_told_when_it_changes_and_now_and_then(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        async with gateway.running(platform.url, reports=True):
            await reported(gateway, 1)
            for state in ("b", "c", "d"):  # within the gap: only the last one counts
                gateway.state = {"note": state}
                await _looks(gateway)
            gateway.seconds += GAP_S
            await reported(gateway, 2)
            gateway.seconds += STEADY_S
            await reported(gateway, 3)
            await _looks(gateway)
        assert [each.get("note") for each in platform.statuses()] == [None, "d", "d"]
        (first, *_) = [each for each in platform.seen if each.path.endswith("/status")]
        assert first.path == "/api/v1/gateways/plant-7/status" and first.headers["Content-Encoding"] == "gzip"
        assert first.headers["Authorization"].startswith("Bearer ")


async def _looks(gateway: Gateway) -> None:
    """Give the reporter time to look several times: a digest built, sent and settled."""
    await gateway.build(1)
    await gateway.until_states("a" * len(await gateway.states()))


@pytest.mark.parametrize("name", ["swallows", "error", "garbage"])
async def test_L24_a_status_that_is_not_taken_costs_the_digests_nothing(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    platform = ScriptedPlatform()
    fault = {"swallows": swallows(platform), "error": says(500), "garbage": says(302)}[name]
    async with running(platform), gateway_in(tmp_path) as gateway:
        well = platform._behave
        at_status(platform, fault)
        with caplog.at_level(logging.INFO, "agent.uplink"):
            async with gateway.running(platform.url, reports=True, report_deadline_s=0.2) as uplink:
                for count in range(1, 6):
                    await reported(gateway, count)
                    await gateway.build(1)
                    await gateway.until_states("a" * count)
                    gateway.seconds += 4000
                assert uplink.snapshot().state == "connected" and uplink.snapshot().last_error == ""
                platform._behave = well  # type: ignore[method-assign]

                async def taken_again() -> int:
                    gateway.seconds += 4000  # on a busy machine more than one report may come too late
                    return await _said(caplog, "taken again")

                await until(taken_again, 1)
        assert await _said(caplog, "was not taken") == 1 and len(caplog.records) == 2


async def _said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


async def test_no_status_is_sent_while_digests_are_not_taken(tmp_path: Path) -> None:
    platform, met = ScriptedPlatform(), 0
    well = platform._behave

    async def refuse(request, body):  # type: ignore[no-untyped-def]
        nonlocal met
        met += 1
        return await says(500)(request)

    async def often() -> bool:
        return met >= 20

    platform._behave = refuse  # type: ignore[method-assign,assignment]
    async with running(platform), gateway_in(tmp_path) as gateway, gateway.running(platform.url, reports=True):
        await until(often, True)
        assert platform.statuses() == []
        platform._behave = well  # type: ignore[method-assign]
        await reported(gateway, 1)


async def test_the_status_has_a_part_of_the_days_bytes_and_digests_the_rest(tmp_path: Path) -> None:
    platform, budget = ScriptedPlatform(), 60_000
    async with running(platform), gateway_in(tmp_path) as gateway:
        for _ in range(2):  # also over a restart
            async with gateway.running(platform.url, budget=budget, reports=True) as uplink:
                for number in range(15):
                    gateway.seconds += STEADY_S * 2
                    gateway.state = {"note": str(number)}
                    await _looks(gateway)
                assert uplink.snapshot().state == "connected"
        uploads = await gateway.store.uploads(0, 2**62)
        assert 1000 < sum(each.bytes for each in uploads if each.kind == "status") <= budget / 10
        assert "p" not in await gateway.states()
        assert uplink.snapshot().bytes_today == sum(each.bytes for each in uploads)


async def test_every_request_counts_with_its_headers(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(2)
        async with gateway.running(platform.url, reports=True):
            await gateway.until_states("aa")
            await reported(gateway, 1)
            await until(lambda: _kinds(gateway), ["digest", "digest", "head", "status"])
        # Status reports go beside the digests, on a connection of their own: arrived first is not always entered first.
        arrived = {(seen.method, seen.path.rpartition("/")[2]): seen for seen in platform.seen}
        assert len(arrived) == len(platform.seen) == 4
        for upload in await gateway.store.uploads(0, 2**62):
            seen = arrived[("GET", "head") if upload.kind == "head" else ("PUT", str(upload.seq or upload.kind))]
            wire = len(f"{seen.method} {seen.path} HTTP/1.1\r\n\r\n") + sum(
                len(name) + len(value) + 4 for name, value in seen.headers.items()
            )
            wire += len(gzip.compress(seen.body, mtime=0)) if seen.body else 0
            # The answer counts, too: 150 to 300 bytes of headers and a receipt.
            assert wire * 0.9 + 100 < upload.bytes < wire * 1.25 + 400


async def test_the_head_is_asked_for_once_however_long_there_is_nothing_to_send(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway, gateway.running(platform.url) as uplink:
        await uplink.reconciled.wait()
        for _ in range(3):
            waits = len(gateway.waits)
            gateway.wake.set()

            async def woken(before: int = waits) -> bool:
                return len(gateway.waits) > before

            await until(woken, True)
        await _looks(gateway)
        assert [each.method for each in platform.seen] == ["GET", "PUT"]


async def _kinds(gateway: Gateway) -> list[str]:
    return sorted(each.kind for each in await gateway.store.uploads(0, 2**62))


async def test_the_reference_platform_takes_keeps_and_shows_it(tmp_path: Path) -> None:
    async with serve(tmp_path / "platform") as platform, gateway_in(tmp_path, enrolled=False) as gateway:
        token = await platform.platform.make_token()
        enrolled = await platform.platform.enroll({"token": token, "public_key": gateway.identity.public_jwk()})
        gateway.identity.save_enrolment(enrolled["gateway_id"], platform.url, {"keys": []})
        gateway.clock.now_us = time.time_ns() // 1000
        client = _client(gateway, platform.url)
        told = STATUS | {"health": {"healthy": True, "status": "running"}, "running_hash": "cd" * 32}
        await client.report(told)
        client.close()
        kept = await platform.platform.call(lambda store: store.gateway(gateway.identity.gateway_id))
        assert json.loads(kept.status) == told and kept.status_at >= kept.last_seen > 0
        with pytest.raises(Held, match="422") as caught:
            await client.report(STATUS | {"state": "FINE"})
        assert "/state" in str(caught.value)


def _client(gateway: Gateway, url: str) -> Client:
    uplink = Uplink(gateway.store, gateway.identity, _section(url), gateway.clock)
    return Client(gateway.identity, gateway.clock, Transport(url), uplink.budget)


def _section(url: str):  # type: ignore[no-untyped-def]
    from agent.config.model import PlatformSection

    return PlatformSection(url=url)


async def test_the_scripted_platform_answers_as_the_contract_has_it(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        transport = Transport(platform.url)
        path = f"/gateways/{gateway.identity.gateway_id}"
        for method, tail in (("PUT", "/status"), ("GET", "/digests/head")):
            answer = await transport.request(method, path + tail, {}, b"{}" if method == "PUT" else None)
            named = {name.title(): value for name, value in answer.headers.items()}
            check_answer(method, path + tail, answer.status, named, answer.body)
        transport.close()
