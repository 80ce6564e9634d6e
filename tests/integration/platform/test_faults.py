"""The switches that make the platform misbehave do what they say, and only as long as they say."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from scripts.sandbox.platform import FAULT_KINDS, Settings
from tests.support.platform_gateway import FakeGateway, platform_with_gateway, until


async def test_errors_are_problems_with_retry_after(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start("unavailable", retry_after=7)
        answer = await gateway.get("/digests/head")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
        running.faults.start("busy", retry_after=3)
        answer = await gateway.get("/digests/head")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
        running.faults.start("error")
        assert (await gateway.request("GET", "/gateways/x/digests/head", checked=False)).status == 500
        running.faults.stop()
        assert (await gateway.get("/digests/head")).status == 200
        assert running.faults.hits == 3


async def test_a_fault_ends_after_its_count_and_concerns_its_path_only(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start("unavailable", count=2, path="/head")
        assert (await gateway.get("/config")).status == 204
        assert [(await gateway.get("/digests/head")).status for _ in range(3)] == [503, 503, 200]
        assert running.faults.active == ""


async def test_a_fault_ends_after_its_time(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start("unavailable", seconds=0.0)
        assert (await gateway.get("/digests/head")).status == 200


async def test_garbage_is_a_page_with_status_200(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start("garbage")
        answer = await gateway.request("GET", f"/gateways/{gateway.id}/digests/head", checked=False)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


async def test_a_slow_answer_is_right(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start("slow", delay=0.05)
        assert (await gateway.deliver()).status == 201


@pytest.mark.parametrize(("kind", "stored"), [("lost_answer", 1), ("reset", 0)])
async def test_a_cut_connection_before_or_after_the_work(tmp_path: Path, kind: str, stored: int) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start(kind, count=1)
        body = gateway.next_body()
        with pytest.raises(aiohttp.ClientConnectionError):
            await gateway.put(body)
        assert (await running.platform.reports())[0].digests == stored
        assert (await gateway.put(body)).status == (200 if stored else 201)


async def test_L24_swallowed_bytes_are_neither_answered_nor_stored(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start("swallow", count=1)
        waiting = asyncio.create_task(gateway.put(gateway.next_body()))
        await until(lambda: running.faults.hits)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await running.platform.reports())[0].digests == 0
        assert (await gateway.deliver()).status == 201


async def test_b11_without_the_switch_for_tests_nobody_switches_faults(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        assert await _switch(gateway, running.root + "/sandbox/faults", {"kind": "unavailable"}) in (404, 405)


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}, {"Via": "1.1 proxy"}, {"Host": "evil.example"}],
)
async def test_b11_behind_a_proxy_on_this_machine_nobody_is_local(tmp_path: Path, headers: dict[str, str]) -> None:
    async with platform_with_gateway(tmp_path, settings=Settings(faults=True)) as (running, gateway):
        for method, path in (
            ("PUT", "/sandbox/faults"),
            ("DELETE", "/sandbox/faults"),
            ("GET", "/api/v1/gateways"),
            ("GET", "/"),
        ):
            async with gateway.session.request(method, running.root + path, headers=headers, json={}) as response:
                assert response.status == 403


async def test_faults_are_switched_over_http_on_loopback(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path, settings=Settings(faults=True)) as (running, gateway):
        url = running.root + "/sandbox/faults"
        async with gateway.session.put(url, json={"kind": "unavailable", "seconds": 60, "retry_after": 2}) as response:
            assert response.status == 204
        assert (await gateway.get("/digests/head")).status == 503
        async with gateway.session.delete(url) as response:
            assert response.status == 204
        assert (await gateway.get("/digests/head")).status == 200
        for wrong in ({"kind": "earthquake"}, {}, {"kind": "slow", "colour": "red"}, [], 3):
            assert await _switch(gateway, url, wrong) == 400


async def _switch(gateway: FakeGateway, url: str, body: object) -> int:
    async with gateway.session.put(url, json=body) as response:
        return response.status


async def test_the_swallowing_platform_still_stops_at_once(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        running.faults.start("swallow")
        waiting = asyncio.create_task(gateway.put(gateway.next_body()))
        await until(lambda: running.faults.hits)
    with pytest.raises((aiohttp.ClientError, asyncio.CancelledError)):
        await waiting


def test_every_kind_of_fault_says_what_it_does() -> None:
    assert all(FAULT_KINDS.values())
