"""Who enrols has the key, and nobody else changes what secrets are sealed for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from agent.control.secrets import EncryptionKey
from agent.uplink.enrol import enroll
from tests.support.platform_gateway import FakeGateway, platform_with_gateway


def jwk(key: OKPKey) -> dict[str, Any]:
    return {name: key.as_dict(private=False)[name] for name in ("kty", "crv", "x")}


async def registered(gateway: FakeGateway) -> str:
    found = await gateway.running.platform.call(lambda store: store.gateway(gateway.id))
    return str(found.encryption_key)


async def test_b6_an_encryption_key_is_changed_by_the_identity_key_alone(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (running, gateway):
        first, second = (jwk(OKPKey.generate_key("X25519")) for _ in range(2))
        assert (
            await gateway.enroll(encryption_key=first)
        ).status == 201  # a gateway of version 1.0, for the first time
        kept = await registered(gateway)
        assert (await gateway.enroll()).status == 201  # known, and changes nothing
        assert (await gateway.enroll(encryption_key=first)).status == 201
        assert (await gateway.enroll(encryption_key=second)).status == 403
        token = await running.platform.make_token()
        thief = OKPKey.generate_key("Ed25519")
        for wrong in (
            gateway.proof(token, second, key=thief),
            gateway.proof(token, first),
            gateway.proof("AAAA-BBBB", second),
            gateway.proof(token, second, public_key=jwk(thief)),
            gateway.proof(token, second, time=None),
            gateway.proof(token, second, time=True),
            gateway.proof(token, second, typ="JWT"),
            gateway.token(),
        ):
            assert (await gateway.enroll(token, encryption_key=second, proof=wrong)).status == 403
        assert await registered(gateway) == kept
        right = gateway.proof(token, second)
        assert (await gateway.enroll(token, encryption_key=second, proof=right)).status == 201
        assert second["x"] in await registered(gateway)


async def test_b6_the_agent_proves_it_and_may_change_its_encryption_key(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path / "platform", enrolled=False) as (running, _):
        for number in (1, 2):
            key = EncryptionKey.load_or_create(tmp_path / f"keys-{number}").public_jwk()
            token = await running.platform.make_token()
            enrolled = await asyncio.to_thread(enroll, running.url, token, tmp_path / "identity", encryption_key=key)
            found = await running.platform.call(lambda store, id_=enrolled.gateway_id: store.gateway(id_))
            assert key["x"] in found.encryption_key


@pytest.mark.parametrize("value", ["", "a.b", "a..b", 7, None, "a.b.c" * 3000])
async def test_b6_a_proof_that_is_none_is_refused(tmp_path: Path, value: Any) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (_, gateway):
        assert (await gateway.enroll(proof=value)).status == 422
