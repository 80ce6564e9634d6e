"""Which endpoint is chosen, and that less than was asked for is never settled for."""

from __future__ import annotations

from pathlib import Path

import pytest
from asyncua import ua

from drivers.contract import Context, FailureKind
from drivers.opcua import trust
from drivers.opcua.options import Options
from tests.support.opcua_secure import Pair, Users, connected, context, failure, serving

P = ua.SecurityPolicyType
EVERYTHING = (
    P.NoSecurity,
    P.Basic256Sha256_Sign,
    P.Basic256Sha256_SignAndEncrypt,
    P.Aes128Sha256RsaOaep_Sign,
    P.Aes128Sha256RsaOaep_SignAndEncrypt,
    P.Aes256Sha256RsaPss_Sign,
    P.Aes256Sha256RsaPss_SignAndEncrypt,
)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair.make()


async def test_every_policy_and_mode_by_name_with_anonymous_and_with_a_user(tmp_path: Path, pair: Pair) -> None:
    async with serving(EVERYTHING, pair, users=Users()) as (_, url):
        async with connected(Options(url=url), context(tmp_path, trust=True)) as (_, chosen):
            assert chosen == "Aes256_Sha256_RsaPss, SignAndEncrypt"
        for user in ({}, {"username": "operator", "password": "s3cret"}):
            for policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"):
                for mode in ("Sign", "SignAndEncrypt"):
                    options = Options(url=url, security=f"{policy}:{mode}", **user)
                    async with connected(options, context(tmp_path)) as (client, chosen):
                        assert chosen == f"{policy}, {mode}"
                        assert client.security_policy.Mode.name == mode
                        assert await client.nodes.server_state.read_value() == ua.ServerState.Running
                async with connected(Options(url=url, security=policy, **user), context(tmp_path)) as (_, chosen):
                    assert chosen == f"{policy}, SignAndEncrypt"
        async with connected(Options(url=url, security="none"), context(None)) as (client, chosen):
            assert chosen == "none"
            assert await client.nodes.server_state.read_value() == ua.ServerState.Running


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((P.NoSecurity, P.Basic256Sha256_Sign), "Basic256Sha256, Sign"),
        ((P.Aes256Sha256RsaPss_Sign, P.Basic256Sha256_SignAndEncrypt), "Basic256Sha256, SignAndEncrypt"),
        ((P.Basic256Sha256_Sign, P.Aes128Sha256RsaOaep_Sign), "Aes128_Sha256_RsaOaep, Sign"),
    ],
)
async def test_auto_takes_encryption_first_then_the_strongest_policy(
    offered: tuple[ua.SecurityPolicyType, ...], chosen: str, tmp_path: Path, pair: Pair
) -> None:
    ctx = context(tmp_path, trust=True)
    async with serving(offered, pair) as (_, url), connected(Options(url=url), ctx) as (_, found):
        assert found == chosen


async def test_auto_never_falls_back_to_an_insecure_endpoint(tmp_path: Path, pair: Pair) -> None:
    for certificate in (pair, None):
        async with serving((P.NoSecurity,), certificate) as (_, url):
            for options in (Options(url=url), Options(url=url, security="Basic256Sha256")):
                error = await failure(options, context(tmp_path, trust=True))
                assert error.kind is FailureKind.PERMANENT
            assert 'security = "none"' in (await failure(Options(url=url), context(tmp_path))).remedy
    assert not list(tmp_path.rglob("*.json"))


async def test_auto_takes_no_broken_policy(tmp_path: Path, pair: Pair) -> None:
    async with serving((P.Basic256_SignAndEncrypt, P.Basic128Rsa15_Sign), pair) as (_, url):
        error = await failure(Options(url=url), context(tmp_path, trust=True))
        assert error.kind is FailureKind.PERMANENT
        assert "Basic256Sha256" in error.remedy


async def test_what_is_not_offered_is_told_with_what_is(tmp_path: Path, pair: Pair) -> None:
    async with serving((P.Basic256Sha256_SignAndEncrypt,), pair) as (_, url):
        error = await failure(Options(url=url, security="Aes256_Sha256_RsaPss"), context(tmp_path))
        assert "Basic256Sha256:SignAndEncrypt" in error.remedy
        error = await failure(Options(url=url, security="none"), context(tmp_path))
        assert '"auto"' in error.remedy
        assert error.kind is FailureKind.PERMANENT


async def test_an_endpoint_stripped_from_the_list_is_noticed(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers.opcua import security

    honest = security._endpoints

    async def stripped(options: Options, context: Context) -> list[ua.EndpointDescription]:
        return [each for each in await honest(options, context) if each.SecurityMode == ua.MessageSecurityMode.Sign]

    async with serving((P.Basic256Sha256_Sign, P.Basic256Sha256_SignAndEncrypt), pair) as (_, url):
        monkeypatch.setattr(security, "_endpoints", stripped)
        error = await failure(Options(url=url), context(tmp_path, trust=True))
        assert error.kind is FailureKind.PERMANENT
        assert "Basic256Sha256:SignAndEncrypt" in str(error)


async def test_a_server_that_names_itself_by_an_unroutable_host_is_reached_at_ours(tmp_path: Path, pair: Pair) -> None:
    advertised = "opc.tcp://PLC_1.invalid:4840/UA/Server"
    ctx = context(tmp_path, trust=True)
    async with (
        serving(EVERYTHING, pair, advertised=advertised) as (_, url),
        connected(Options(url=url), ctx) as (client, _),
    ):
        assert client.server_url.geturl() == f"{url}/UA/Server"
        assert await client.nodes.server_state.read_value() == ua.ServerState.Running


async def test_the_servers_pin_outlives_its_restart(tmp_path: Path, pair: Pair) -> None:
    async with serving(EVERYTHING, pair) as (_, url):
        options = Options(url=url)
        async with connected(options, context(tmp_path, trust=True)):
            pass
    error = await failure(options, context(tmp_path))
    assert error.kind is FailureKind.TRANSIENT
    async with serving(EVERYTHING, pair, port=options.port) as (_, _), connected(options, context(tmp_path)) as (c, _):
        assert await c.nodes.server_state.read_value() == ua.ServerState.Running
    assert trust.pinned(tmp_path, f"{options.host}:{options.port}") is not None
