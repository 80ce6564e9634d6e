"""What happened to others on the way to their platform, and must not happen here."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.digest.chain import next_link
from agent.errors import GongfuError
from agent.evidence.chain import digest_hash
from agent.evidence.identity import Identity
from agent.uplink.enrol import enroll
from scripts.sandbox.platform import RunningPlatform, serve
from tests.support.platform_gateway import encode, make_digest
from tests.support.uplink_gateway import PATIENT_S, Gateway, gateway_in, until
from tests.support.uplink_platform import ScriptedPlatform, running, says


async def test_L4_an_outage_of_days_over_restarts_loses_no_digest(tmp_path: Path) -> None:
    """Nothing waits in memory: what was built is on disk, and sent, pending and ledgered together are all of it."""
    platform = ScriptedPlatform()
    async with running(platform) as port, gateway_in(tmp_path) as gateway, gateway.running(platform.url):
        await gateway.build(3)
        await gateway.until_states("aaa")
    for _ in range(3):
        async with gateway_in(tmp_path) as gateway, gateway.running(platform.url) as uplink:
            await gateway.build(96)
            await until(lambda: _failing(uplink), True)
    again = ScriptedPlatform(stored=platform.stored)
    async with running(again, port=port), gateway_in(tmp_path) as gateway:
        counts = await gateway.store.digest_counts()
        assert (counts["accepted"], counts["pending"]) == (3, 288)
        async with gateway.running(again.url):
            await gateway.until_states("a" * 291)
        assert again.puts() == list(range(4, 292)) and await gateway.causes() == []
        assert gateway.waits.count(0.05) == 288  # a backlog drains at a bounded rate


async def test_L4_digests_that_the_disk_had_to_shed_do_not_stop_those_behind_them(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        async with gateway.running(platform.url):
            await gateway.until_states("aaa")
        await gateway.build(5)
        await gateway.store._db.write(lambda transaction: transaction.run("DELETE FROM digest WHERE seq IN (4, 5)", ()))
        async with gateway.running(platform.url) as uplink:
            await gateway.until_states("aaa")
            kept = await gateway.store.set_aside(undecided=True)
            assert [each.record.seq for each in kept] == [6, 7, 8]  # for the builder to say again in their new place
            seq, previous = await next_link(gateway.store)
            assert (seq, previous) == (4, platform.head()["hash"])
            for each in kept:
                body = json.dumps({"header": {"seq": seq, "previous": previous}, "said": each.record.seq}).encode()
                again = dataclasses.replace(
                    each.record, seq=seq, previous=previous, body=body, hash=digest_hash(body),
                    jws=gateway.identity.sign_detached(body),
                )  # fmt: skip
                await gateway.store.relink(each.number, again)
                seq, previous = seq + 1, again.hash
            gateway.wake.set()
            await gateway.until_states("aaaaaa")
            assert uplink.snapshot().state == "connected" and sorted(platform.stored) == [1, 2, 3, 4, 5, 6]
        assert await gateway.causes() == ["digest_set_aside"]


async def _failing(uplink: object) -> bool:
    return uplink.snapshot().state == "failing"  # type: ignore[attr-defined,no-any-return]


FAULTS = ["error", "unavailable", "busy", "slow", "garbage", "swallow", "lost_answer", "reset"]


@pytest.mark.parametrize("kind", FAULTS)
async def test_L9_L24_whatever_the_platform_does_is_said_once_and_gone_on_from(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(serve(tmp_path / "platform"))
        gateway = await stack.enter_async_context(gateway_in(tmp_path / "gateway", enrolled=False))
        await enrolled(gateway, platform)
        caplog.set_level(logging.INFO, "agent.uplink")
        uplink = await stack.enter_async_context(gateway.running(platform.url))
        await build(gateway, 2)
        await gateway.until_states("aa")
        gateway.hurry(0.3)
        platform.faults.start(kind, delay=0.6, path="/digests/")
        await build(gateway, 3)
        met = len(gateway.waits) + 6

        async def tried() -> bool:
            return len(gateway.waits) >= met or await gateway.states() == "aaaaa"

        await until(tried, True)
        assert platform.faults.hits >= 1
        gateway.hurry(PATIENT_S)
        platform.faults.stop()
        await gateway.until_states("aaaaa")
        await until(lambda: _failing(uplink), False)
        report = (await platform.platform.reports())[0]
        assert (report.digests, report.verified, report.rejected, report.ok) == (5, 5, 0, True)
        assert await gateway.causes() == []
    began = [record for record in caplog.records if "digests are kept" in record.getMessage()]
    ended = [record for record in caplog.records if "takes digests again" in record.getMessage()]
    assert len(began) == len(ended) and len(caplog.records) == len(began) + len(ended)
    # A lost answer may bring the digest home each time, so that it is trouble anew; the rest is one outage.
    assert len(began) == 1 or kind == "lost_answer"


async def enrolled(gateway: Gateway, platform: RunningPlatform) -> None:
    """Make the gateway known, and let it keep the platform's time."""
    token = await platform.platform.make_token()
    answer = await platform.platform.enroll({"token": token, "public_key": gateway.identity.public_jwk()})
    gateway.identity.save_enrolment(answer["gateway_id"], platform.url, {"keys": []})
    gateway.clock.now_us = int(platform.platform.settings.clock() * 1e6)


async def build(gateway: Gateway, count: int) -> None:
    """More digests, as the contract has them."""
    await gateway.build(
        count, body=lambda seq, previous: encode(make_digest(seq, previous, gateway.identity.gateway_id))
    )


@pytest.mark.parametrize("gateway_id", ["../../etc", "/etc/passwd", "a/b", "", ".", "a\0b", "x" * 65, "名"])
async def test_L30_an_id_that_is_a_path_is_refused_and_nothing_is_written(tmp_path: Path, gateway_id: str) -> None:
    answer = json.dumps({"gateway_id": gateway_id, "admins": {"keys": [{"kid": "../../x", "kty": "OKP"}]}})
    platform = ScriptedPlatform(faults=[says(201, answer, "application/json")])
    async with running(platform):
        with pytest.raises(GongfuError, match=r"none|platform does"):
            await asyncio.to_thread(enroll, platform.url, "K7QF", tmp_path / "data" / "identity")
    assert [path.name for path in tmp_path.rglob("*.json")] == ["key.json"]
    assert Identity.load_or_create(tmp_path / "data" / "identity").enrolment is None


def test_L30_there_is_no_shell_and_nothing_that_runs_text() -> None:
    forbidden = {"subprocess", "pty", "code", "codeop", "runpy", "pickle", "marshal", "shelve"}
    calls = {"eval", "exec", "system", "popen", "execv", "execve", "spawnv", "create_subprocess_shell"}
    found = []
    for path in _sources("agent"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [(path, each.name) for each in node.names if each.name.partition(".")[0] in forbidden]
            elif isinstance(node, ast.ImportFrom):
                found += [(path, node.module)] if (node.module or "").partition(".")[0] in forbidden else []
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                found += [(path, name)] if name in calls else []
    assert found == []


def _sources(package: str) -> Iterator[Path]:
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    yield from Path(spec.submodule_search_locations[0]).rglob("*.py")
