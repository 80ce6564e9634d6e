"""A head that a platform invents changes nothing, and an honest platform afterwards finds a sound gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.digest import main as digest_command
from agent.core.bounds import MAX_JUMP, MAX_SEQ
from agent.digest.chain import next_link
from agent.errors import GongfuError
from tests.support.uplink_gateway import Gateway, gateway_in, until
from tests.support.uplink_platform import Fault, ScriptedPlatform, problem, running, says

LIE = "cd" * 32


def shows(head: dict[str, Any]) -> Fault:
    return says(200, json.dumps(head), "application/json")


async def _state(uplink: Any) -> str:
    return str(uplink.snapshot().state)


async def refused(gateway: Gateway, platform: ScriptedPlatform, head: dict[str, Any]) -> str:
    """What the status says after such a head."""
    platform.faults = [shows(head)] * 500
    async with gateway.running(platform.url) as uplink:
        await until(lambda: _state(uplink), "refused")
        snapshot = uplink.snapshot()
        assert not uplink.reconciled.is_set()
    platform.faults = []
    return f"{snapshot.last_error} → {snapshot.remedy}"


async def then_an_honest_platform_works(gateway: Gateway, platform: ScriptedPlatform, count: int) -> None:
    async with gateway.running(platform.url):
        await gateway.until_states("a" * count)
    assert sorted(platform.stored) == list(range(1, count + 1))


@pytest.mark.parametrize("contract", ["", "1.1"])
@pytest.mark.parametrize("seq", [2**63 - 1, 2**63 - 2, MAX_SEQ + 1, MAX_SEQ, MAX_JUMP + 4, 10**30])
async def test_a1_a_head_far_ahead_is_not_followed(tmp_path: Path, seq: int, contract: str) -> None:
    platform = ScriptedPlatform(contract=contract)
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        platform.faults = [shows({"seq": seq, "hash": LIE, **({"contract": contract} if contract else {})})] * 500
        async with gateway.running(platform.url) as uplink:
            await until(lambda: _wrong(uplink), True)
            snapshot = uplink.snapshot()
        platform.faults = []
        assert snapshot.remedy and await gateway.store.meta("chain_head") is None
        assert await gateway.states() == "ppp" and await gateway.causes() == []
        assert (await next_link(gateway.store))[0] == 4
        await then_an_honest_platform_works(gateway, platform, 3)


async def _wrong(uplink: Any) -> bool:
    return uplink.snapshot().state in ("failing", "refused")


@pytest.mark.parametrize(
    "members", [{"contract": "1.1"}, {"signature": "e30..AAAA"}, {"contract": "1.1", "signature": "x" * 2048}]
)
async def test_b8_a_head_that_our_key_did_not_sign_changes_nothing_and_is_told(
    tmp_path: Path, members: dict[str, str]
) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        said = await refused(gateway, platform, {"seq": 9, "hash": LIE, **members})
        assert "not signed by this gateway's key" in said and f"digest follow 9:{LIE[:16]}" in said
        assert await gateway.store.meta("chain_head") is None and await gateway.causes() == []
        await then_an_honest_platform_works(gateway, platform, 3)


async def test_b8_a_signature_counts_for_its_own_digest_and_chain_only(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        record = await gateway.store.digest(2)
        assert record is not None
        other = {"header": {"seq": 9, "previous": LIE, "audience": "park"}, "kind": "period"}
        stranger = gateway.identity.sign_detached(json.dumps(other).encode())
        for head in (
            {"seq": 9, "hash": record.hash, "signature": record.jws},
            {"seq": 9, "hash": LIE, "signature": record.jws},
            {"seq": 9, "hash": LIE, "signature": stranger},
        ):
            await refused(gateway, platform, {**head, "contract": "1.1"})
        assert await gateway.store.meta("chain_head") is None
        await then_an_honest_platform_works(gateway, platform, 3)


@pytest.mark.parametrize("contract", ["", "1.1"])
async def test_b8_a_conflict_and_a_lying_period_end_set_nothing_aside(tmp_path: Path, contract: str) -> None:
    platform = ScriptedPlatform(contract=contract)
    lie = {"seq": 40, "hash": LIE, "kind": "period", "period_end": "2099-01-01T00:00:00Z"}
    asked = 0

    async def conflict(request: Any) -> Any:
        nonlocal asked
        asked += 1
        if request.method == "PUT":
            return problem(409, "other-bytes", head=lie)
        return await shows(lie | ({"contract": contract} if contract else {}))(request)

    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(4)
        platform.faults = [conflict] * 500
        async with gateway.running(platform.url) as uplink:
            await until(lambda: _state(uplink), "refused")
        assert asked and await gateway.states() == "pppp" and await gateway.store.set_aside() == []
        assert await gateway.causes() == []
        platform.faults = []
        await then_an_honest_platform_works(gateway, platform, 4)


async def test_b8_a_conflict_about_a_digest_that_its_own_head_shows_sets_nothing_aside(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(3)
        record = await gateway.store.digest(2)
        assert record is not None

        async def conflict(request: Any) -> Any:
            if request.method == "PUT":
                return problem(409, "other-bytes")
            head = {"seq": 2, "hash": record.hash, "signature": record.jws, "contract": "1.1"}
            return await shows(head)(request)

        platform.faults = [conflict] * 500
        async with gateway.running(platform.url) as uplink:
            await until(lambda: _state(uplink), "refused")
        assert await gateway.states() == "ppp" and await gateway.store.set_aside() == []
        platform.faults = []
        await then_an_honest_platform_works(gateway, platform, 3)


async def test_b8_a_platform_of_1_0_is_followed_where_no_digest_gives_way(tmp_path: Path) -> None:
    platform = ScriptedPlatform(contract="")
    async with running(platform):
        async with gateway_in(tmp_path / "first") as gateway:
            await gateway.build(5)
            async with gateway.running(platform.url):
                await gateway.until_states("aaaaa")
        async with gateway_in(tmp_path / "restored", copy_of=tmp_path / "first") as gateway:
            await gateway.build(2)
            async with gateway.running(platform.url) as uplink:
                await uplink.reconciled.wait()
                await gateway.build(1, after=(5, platform.head()["hash"]))
                await gateway.until_states("aaa")
        assert sorted(platform.stored) == [1, 2, 3, 4, 5, 6]


async def test_b8_a_platform_of_1_1_cannot_go_back_to_1_0(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(2)
        async with gateway.running(platform.url):
            await gateway.until_states("aa")
        async with gateway.running(platform.url) as uplink:  # which shows its head, and ours is signed
            await uplink.reconciled.wait()
        said = await refused(gateway, platform, {"seq": 9, "hash": LIE})
        assert "not signed" in said and await gateway.store.meta("chain_head") is None


async def test_b8_the_engineer_may_follow_what_nobody_signed(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform), gateway_in(tmp_path) as gateway:
        platform.faults = [shows({"seq": 3_000_000, "hash": LIE, "contract": "1.1"})] * 500
        (tmp_path / "config.toml").write_text(f'[gateway]\nname = "g"\ndata_dir = "{tmp_path}"\n')
        config = ["--config", str(tmp_path / "config.toml")]
        for wrong in ("3000000", f"0:{LIE}", f"3000000:{LIE[:15]}", f"{10**15}:{LIE}", "../x:" + LIE):
            with pytest.raises(GongfuError, match="is no head"):
                digest_command(["follow", wrong, *config])
        assert digest_command(["follow", f"3000000:{LIE[:16]}", *config]) == 0
        async with gateway.running(platform.url):
            await until(lambda: next_link(gateway.store), (3_000_001, LIE))
        assert gateway.identity.may_follow("", 3_000_000, LIE)
        assert not gateway.identity.may_follow("", 3_000_000, "ab" * 32)
        assert not gateway.identity.may_follow("park", 3_000_000, LIE)


async def test_a1_a_chain_that_was_led_astray_comes_back_to_an_honest_platform(tmp_path: Path) -> None:
    """A liar of version 1.0 had a jump followed and even took what came behind it."""
    platform = ScriptedPlatform(contract="")
    async with running(platform), gateway_in(tmp_path) as gateway:
        await gateway.build(2)
        async with gateway.running(platform.url):
            await gateway.until_states("aa")
        platform.tombstones[900] = LIE
        async with gateway.running(platform.url) as uplink:
            await uplink.reconciled.wait()
            await gateway.build(2, after=(900, LIE))
            await gateway.until_states("aaaa")
        honest = ScriptedPlatform(stored={seq: platform.stored[seq] for seq in (1, 2)})
        async with running(honest):
            async with gateway.running(honest.url) as uplink:
                await uplink.reconciled.wait()
                await gateway.until_states("aa")
            assert [each.record.seq for each in await gateway.store.set_aside(undecided=True)] == [901, 902]
            assert (await next_link(gateway.store))[0] == 3
            await gateway.build(1)
            await then_an_honest_platform_works(gateway, honest, 3)
