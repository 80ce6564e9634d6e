"""Every digest arrives once and in order, or is kept, or is accounted for; whatever the platform does."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from agent.evidence.chain import digest_hash
from tests.support.uplink_gateway import NOON_US, gateway_in, until
from tests.support.uplink_platform import (
    Fault,
    ScriptedPlatform,
    drips,
    half_an_answer,
    hangs_up,
    problem,
    running,
    says,
    swallows,
)

WELCOME = says(200, "<html>Please log in</html>", "text/html")


def refuses(status: int, kind: str) -> Fault:
    async def fault(request: object) -> object:
        return problem(status, kind)

    return fault  # type: ignore[return-value]


async def test_a_backlog_goes_in_order_and_new_digests_follow(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(5)
        async with gateway.running(platform.url) as uplink:
            await gateway.until_states("aaaaa")
            await gateway.build(2)
            await gateway.until_states("aaaaaaa")
            await until(lambda: _state(uplink), "connected")
        uploads = [each for each in await gateway.store.uploads(0, 2**62) if each.kind == "digest"]
        assert platform.puts() == [1, 2, 3, 4, 5, 6, 7] and gateway.waits.count(0.05) == 7
        assert [each.seq for each in uploads] == [1, 2, 3, 4, 5, 6, 7] and {each.status for each in uploads} == {201}
        put = next(each for each in platform.seen if each.method == "PUT")
        record = await gateway.store.digest(1)
        assert record is not None and put.headers["Digest-Signature"] == record.jws and put.body == record.body
        tokens = [each.headers["Authorization"].removeprefix("Bearer ") for each in platform.seen]
        key = OKPKey.import_key(gateway.identity.public_jwk())
        claims = jwt.decode(tokens[0], key, algorithms=["EdDSA"]).claims
        assert claims["aud"] == platform.url and claims["sub"] == "plant-7" and len(set(tokens)) == len(tokens)


async def _state(uplink: object) -> str:
    return uplink.snapshot().state  # type: ignore[attr-defined,no-any-return]


FAULTS = {
    "error": lambda platform: says(500),
    "captive portal": lambda platform: WELCOME,
    "created by nobody": lambda platform: says(201),
    "receipt for other bytes": lambda platform: says(201, '{"seq": 1, "hash": "00"}', "application/json"),
    "redirect": lambda platform: says(302, Location="/login"),
    "swallows": swallows,
    "drips": drips,
    "hangs up": lambda platform: hangs_up,
    "half an answer": lambda platform: half_an_answer,
    "forbidden": lambda platform: says(403),
    "damaged on the way": lambda platform: says(400),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("at", [0, 1], ids=["at the head", "at the digest"])
async def test_L24_only_the_platforms_own_word_settles_a_digest(tmp_path: Path, name: str, at: int) -> None:
    platform = ScriptedPlatform()
    fault = FAULTS[name](platform)

    async def well(request: object) -> object:
        return platform_head(platform)

    platform.faults = [well, fault, fault][1 - at :]  # type: ignore[list-item]
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(2)
        async with gateway.running(platform.url, deadline_s=0.2):
            await gateway.until_states("aa")
        assert sorted(platform.stored) == [1, 2] and await gateway.causes() == []


def platform_head(platform: ScriptedPlatform):  # type: ignore[no-untyped-def]
    from aiohttp import web

    return web.json_response(platform.head())


async def test_L7_a_lost_answer_and_a_restart_send_nothing_twice(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        async with gateway.running(platform.url):
            await gateway.until_states("aaa")
        await gateway.store.mark(3, "pending")  # stored there, but the answer was lost
        async with gateway.running(platform.url):
            await gateway.until_states("aaa")
        async with gateway.running(platform.url) as uplink:
            await until(lambda: _state(uplink), "connected")
        assert platform.puts() == [1, 2, 3, 3] and sorted(platform.stored) == [1, 2, 3]


async def test_L9_a_platform_that_is_down_is_said_once_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    platform = ScriptedPlatform()
    async with running(platform) as port:
        pass
    async with gateway_in(tmp_path) as gateway:
        await gateway.build(1)
        with caplog.at_level(logging.INFO, "agent.uplink"):
            async with gateway.running(platform.url) as uplink:
                await until(lambda: _least(len(gateway.waits), 8), True)
                assert uplink.snapshot().state == "failing" and "no connection" in uplink.snapshot().last_error
                assert await gateway.store.uploads(0, 2**62) == []
                platform = ScriptedPlatform()
                async with running(platform, port=port):
                    await gateway.until_states("a")
                    await until(lambda: _state(uplink), "connected")
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert gateway.waits[:4] == pytest.approx([0.55, 1.1, 2.2, 4.4]) and max(gateway.waits) <= 60


async def _least(count: int, least: int) -> bool:
    return count >= least


@pytest.mark.parametrize("date", ["7", format_datetime(datetime.fromtimestamp(NOON_US / 1e6 + 7, UTC), usegmt=True)])
async def test_retry_after_is_obeyed(tmp_path: Path, date: str) -> None:
    platform = ScriptedPlatform(date=format_datetime(datetime.fromtimestamp(NOON_US / 1e6, UTC), usegmt=True))
    platform.faults = [says(503, Retry_After=date), says(429, Retry_After=date)]
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(1)
        async with gateway.running(platform.url):
            await gateway.until_states("a")
        assert all(7 <= wait < 8 for wait in gateway.waits[:2]) and gateway.waits[2] == 0.05


@pytest.mark.parametrize(("status", "tombstone"), [(422, True), (422, False), (413, True)])
async def test_a_rejected_digest_is_kept_ledgered_and_not_in_the_way(
    tmp_path: Path, status: int, tombstone: bool
) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        second = await gateway.store.digest(2)
        assert second is not None

        async def refuse(request: object) -> object:
            if tombstone:
                platform.tombstones[2], platform.signatures[2] = second.hash, second.jws
            else:
                platform._deliver = lambda seq, body, _: (
                    platform.stored.__setitem__(seq, body) or says_stored(seq, body)
                )  # type: ignore[method-assign,assignment,func-returns-value]
            return problem(status, "schema", stored=tombstone)

        platform.faults = [_pass(platform), _pass(platform), refuse]  # type: ignore[list-item]
        async with gateway.running(platform.url):
            await gateway.until_states("ara")
        assert platform.puts().count(2) == 1 and await gateway.causes() == ["digest_rejected"]
        record = await gateway.store.digest(2)
        assert record is not None and record.reason.startswith(str(status)) and record.body == second.body


def says_stored(seq: int, body: bytes):  # type: ignore[no-untyped-def]
    from aiohttp import web

    return web.json_response({"seq": seq, "hash": digest_hash(body)}, status=201)


def _pass(platform: ScriptedPlatform) -> Fault:
    """No fault: behave well."""

    async def well(request):  # type: ignore[no-untyped-def]
        return await platform._behave(request, await request.read())

    return well


async def test_a_digest_that_blocks_the_chain_keeps_those_behind_it(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        platform.faults = [_pass(platform), refuses(413, "too-large"), _pass(platform), _pass(platform)]
        platform.faults += [refuses(413, "too-large")]
        async with gateway.running(platform.url):
            await gateway.until_states("aaa")  # the limit was raised meanwhile
        assert platform.puts() == [1, 1, 1, 2, 3] and await gateway.causes() == ["digest_rejected"]


async def test_a_restored_disk_goes_on_behind_the_platforms_head(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform):
        async with gateway_in(tmp_path / "first") as gateway:
            await gateway.build(5)
            async with gateway.running(platform.url):
                await gateway.until_states("aaaaa")
        async with gateway_in(tmp_path / "restored", copy_of=tmp_path / "first") as gateway:
            await gateway.build(2)  # the same bytes as the first ones
            async with gateway.running(platform.url) as uplink:
                await uplink.reconciled.wait()
                head = json.loads(await gateway.store.meta("chain_head") or "{}")
                assert head == {"seq": 5, "hash": platform.head()["hash"], "by": "key"}
                await gateway.build(1, after=(head["seq"], head["hash"]))
                await gateway.until_states("aaa")
            assert sorted(platform.stored) == [1, 2, 3, 4, 5, 6] and await gateway.causes() == ["head_ahead"]


async def test_a_forked_disk_overwrites_nothing(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform):
        async with gateway_in(tmp_path / "first") as gateway:
            await gateway.build(5)
            async with gateway.running(platform.url):
                await gateway.until_states("aaaaa")
        stored = dict(platform.stored)
        async with gateway_in(tmp_path / "restored", copy_of=tmp_path / "first") as gateway:
            await gateway.build(1)
            await gateway.store.mark(1, "accepted")
            await gateway.build(3, note="built before the platform was asked")
            async with gateway.running(platform.url) as uplink:
                await gateway.until_states("a")
                await uplink.reconciled.wait()
                head = json.loads(await gateway.store.meta("chain_head") or "{}")
                await gateway.build(1, after=(head["seq"], head["hash"]))
                await gateway.until_states("aa")
            assert platform.puts().count(2) == 2 and platform.puts().count(3) == 1  # of the branch only its first
            aside = await gateway.store.set_aside(undecided=True)
            assert [(each.record.seq, each.record.state) for each in aside] == [
                (2, "pending"),
                (3, "pending"),
                (4, "pending"),
            ]
            assert sorted(await gateway.causes()) == ["digest_set_aside", "head_ahead"]
        assert {seq: platform.stored[seq] for seq in stored} == stored


async def test_a_branch_is_set_aside_from_where_it_parts_and_not_before(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform):
        async with gateway_in(tmp_path / "first") as gateway:
            await gateway.build(5)
            async with gateway.running(platform.url):
                await gateway.until_states("aaaaa")
        for count in (1, 6):  # the branch ends before the platform's head, and after it
            async with gateway_in(tmp_path / f"restored-{count}", copy_of=tmp_path / "first") as gateway:
                await gateway.build(2)  # on the copy these had no answer yet
                await gateway.build(count, note="built before the platform was asked")
                async with gateway.running(platform.url) as uplink:
                    await uplink.reconciled.wait()
                    await gateway.until_states("aa")
                assert [each.record.seq for each in await gateway.store.set_aside()] == list(range(3, 3 + count))
                assert sorted(await gateway.causes()) == ["digest_set_aside", "head_ahead"]
        assert sorted(platform.stored) == [1, 2, 3, 4, 5]


async def test_a_chain_that_the_platform_accepted_and_replaced_is_left_to_its_operator(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path / "first") as gateway:
        await gateway.build(3)
        async with gateway.running(platform.url):
            await gateway.until_states("aaa")
        other = json.dumps({"header": {"seq": 3, "previous": ""}, "note": "signed by a disk that is gone"}).encode()
        platform.stored[3], platform.signatures[3] = other, gateway.identity.sign_detached(other)
        await gateway.build(1)
        async with gateway.running(platform.url) as uplink:
            await until(lambda: _state(uplink), "refused")
            assert "accepted digest 3 once" in uplink.snapshot().last_error
        assert await gateway.states() == "aaap" and await gateway.store.set_aside() == []


async def test_digests_behind_a_given_up_branch_are_kept(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform):
        async with gateway_in(tmp_path / "first") as gateway:
            await gateway.build(3)
            async with gateway.running(platform.url):
                await gateway.until_states("aaa")
        async with gateway_in(tmp_path / "restored", copy_of=tmp_path / "first") as gateway:
            await gateway.build(4, note="another branch")
            async with gateway.running(platform.url):
                await gateway.until_states("")
                await gateway.build(2, note="still on that branch")
                await gateway.until_states("")
            assert [each.record.seq for each in await gateway.store.set_aside()] == [1, 1, 2, 2, 3, 4]
            assert sorted(platform.stored) == [1, 2, 3]


async def test_a_platform_restored_from_an_old_copy_gets_again_what_it_lacks(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(4)
        async with gateway.running(platform.url):
            await gateway.until_states("aaaa")
        del platform.stored[3], platform.stored[4]
        await gateway.build(1)
        async with gateway.running(platform.url):
            await gateway.until_states("aaaaa")
        assert sorted(platform.stored) == [1, 2, 3, 4, 5]


async def test_a_401_corrects_an_untrusted_clock_and_is_tried_again_once(tmp_path: Path) -> None:
    true_time = format_datetime(datetime.fromtimestamp(NOON_US / 1e6, UTC), usegmt=True)
    platform = ScriptedPlatform(date=true_time, faults=[says(401)])
    async with running(platform), gateway_in(tmp_path) as gateway:
        gateway.clock.now_us, gateway.clock.trusted = 86_400_000_000, False  # a Pi in January 1970
        await gateway.build(1)
        async with gateway.running(platform.url):
            await gateway.until_states("a")
        assert gateway.clock.now_us == NOON_US and gateway.waits[0] == 0.05

    platform = ScriptedPlatform(date=true_time, faults=[says(401), says(401), says(401)])
    async with running(platform), gateway_in(tmp_path / "trusted") as gateway:
        await gateway.build(1)
        async with gateway.running(platform.url):
            await gateway.until_states("a")
        assert min(gateway.waits[:3]) >= 1.5  # not at once, not in a loop


async def test_the_daily_budget_holds_and_survives_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(5)
        for _ in range(2):
            caplog.clear()
            async with gateway.running(platform.url, budget=3500) as uplink:
                await until(lambda: _state(uplink), "waiting")
                await until(lambda: _least(len(gateway.waits), 6), True)
                sent = await gateway.store.uploaded_bytes(NOON_US - 43_200_000_000)
                assert 0 < sent <= 3500 and 600.0 in gateway.waits
            assert len([each for each in caplog.records if "used up" in each.getMessage()]) == 1
        before = len(platform.stored)
        gateway.clock.now_us += 86_400_000_000
        async with gateway.running(platform.url, budget=3500):
            await until(lambda: _least(len(platform.stored), before + 1), True)
        assert await gateway.causes() == []


async def test_a_gateway_that_is_not_enrolled_waits_until_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path, enrolled=False) as gateway:
        await gateway.build(1)
        async with gateway.running(platform.url) as uplink:
            await until(lambda: _least(len(gateway.waits), 3), True)
            assert uplink.snapshot().state == "waiting" and uplink.reconciled.is_set() and platform.seen == []
            other = type(gateway.identity).load_or_create(tmp_path / "identity")
            other.save_enrolment("plant-7", platform.url, {"keys": []})
            await gateway.until_states("a")
        assert len([each for each in caplog.records if "not enrolled" in each.getMessage()]) == 1


async def test_L34_cancellation_leaves_the_digest_pending_and_the_bytes_ledgered(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    platform.faults = [_pass(platform), swallows(platform)]
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(1)
        async with gateway.running(platform.url):
            while len(platform.seen) < 2:
                platform.arrived.clear()
                await platform.arrived.wait()
        head, upload = await gateway.store.uploads(0, 2**62)
        assert (head.kind, head.status) == ("head", 200)
        assert await gateway.states() == "p" and (upload.seq, upload.status) == (1, 0) and upload.bytes > 0


async def test_trouble_after_a_restored_disk_rejects_nothing_new(tmp_path: Path) -> None:
    """The head is unknown here for good once it was ahead; that says nothing against what follows it."""
    platform = ScriptedPlatform()
    async with running(platform):
        async with gateway_in(tmp_path / "first") as gateway:
            await gateway.build(5)
            async with gateway.running(platform.url):
                await gateway.until_states("aaaaa")
        async with gateway_in(tmp_path / "restored", copy_of=tmp_path / "first") as gateway:
            head = platform.head()
            await gateway.build(1, after=(head["seq"], head["hash"]))
            platform.faults = [_pass(platform), says(500), _pass(platform)]
            async with gateway.running(platform.url):
                await gateway.until_states("a")
