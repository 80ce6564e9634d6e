"""Users: by name, by certificate, and that a password never travels readable."""

from __future__ import annotations

from pathlib import Path

import msgspec
from asyncua import ua

from drivers.contract import FailureKind
from drivers.opcua.options import Options
from drivers.quality import Quality
from tests.support.opcua_secure import Pair, Users, connected, context, failure, serving, tapped

P = ua.SecurityPolicyType
PASSWORD = "s3cret"


def by_name(port: int) -> Options:
    return Options(url=f"opc.tcp://127.0.0.1:{port}", security="none", username="operator", password=PASSWORD)


async def test_a_wrong_password_is_refused_with_its_remedy(tmp_path: Path) -> None:
    users = Users()
    async with serving((P.Basic256Sha256_SignAndEncrypt,), Pair.make(), users=users) as (_, url):
        right = Options(url=url, username="operator", password=PASSWORD)
        async with connected(right, context(tmp_path, trust=True)):
            pass
        error = await failure(Options(url=url, username="operator", password="wrong"), context(tmp_path))
    assert (error.kind, error.quality) == (FailureKind.PERMANENT, Quality.REFUSED)
    assert "password" in error.remedy
    assert "wrong" not in error.remedy
    assert users.seen == [("operator", PASSWORD), ("operator", "wrong")]


async def test_a_password_is_encrypted_even_where_messages_are_not(tmp_path: Path) -> None:
    users = Users()
    policies = (P.NoSecurity, P.Basic256Sha256_SignAndEncrypt)
    async with (
        serving(policies, Pair.make(), users=users) as (server, _),
        tapped(server.endpoint.port) as (port, sent),
        connected(by_name(port), context(tmp_path, trust=True)),
    ):
        pass
    assert users.seen == [("operator", PASSWORD)]
    assert b"operator" in sent
    assert PASSWORD.encode() not in sent


async def test_a_password_is_encrypted_for_a_trusted_certificate_only(tmp_path: Path) -> None:
    users, policies = Users(), (P.NoSecurity, P.Basic256Sha256_SignAndEncrypt)
    async with serving(policies, Pair.make(), users=users) as (server, _):
        port = server.endpoint.port
        async with connected(by_name(port), context(tmp_path, trust=True)):
            pass
    users.seen.clear()
    async with serving(policies, Pair.make("somebody else"), users=users, port=port):
        error = await failure(by_name(port), context(tmp_path))
    assert error.kind is FailureKind.PERMANENT
    assert "has changed" in str(error)
    assert users.seen == []


async def test_a_password_that_would_travel_readable_is_not_sent(tmp_path: Path) -> None:
    users = Users()
    for pair in (None, Pair.make()):
        async with (
            serving((P.NoSecurity,), pair, users=users) as (server, _),
            tapped(server.endpoint.port) as (port, sent),
        ):
            options = Options(
                url=f"opc.tcp://127.0.0.1:{port}", security="none", username="operator", password=PASSWORD
            )
            error = await failure(options, context(tmp_path))
        assert error.kind is FailureKind.PERMANENT
        assert error.remedy
        assert PASSWORD.encode() not in sent
    assert users.seen == []


async def test_f42_a_readable_password_is_an_explicit_choice_of_each_device(tmp_path: Path) -> None:
    """LibUA#79: an M241 takes nothing else."""
    for pair in (None, Pair.make()):
        users = Users()
        async with (
            serving((P.NoSecurity,), pair, users=users) as (server, _),
            tapped(server.endpoint.port) as (port, sent),
        ):
            error = await failure(by_name(port), context(tmp_path))
            assert "plaintext_password = true" in error.remedy
            assert PASSWORD.encode() not in sent
            chosen = msgspec.structs.replace(by_name(port), plaintext_password=True)
            async with connected(chosen, context(tmp_path)):
                pass
            assert PASSWORD.encode() in sent
        assert users.seen == [("operator", PASSWORD)]


async def test_f42_the_choice_changes_nothing_where_passwords_can_be_encrypted(tmp_path: Path) -> None:
    users = Users()
    async with (
        serving((P.NoSecurity, P.Basic256Sha256_SignAndEncrypt), Pair.make(), users=users) as (server, _),
        tapped(server.endpoint.port) as (port, sent),
        connected(msgspec.structs.replace(by_name(port), plaintext_password=True), context(tmp_path)),
    ):
        pass
    assert users.seen == [("operator", PASSWORD)]
    assert PASSWORD.encode() not in sent


async def test_b7_a_password_needs_a_pinned_certificate_where_nothing_else_is_secured(tmp_path: Path) -> None:
    users = Users()
    async with serving((P.NoSecurity, P.Basic256Sha256_SignAndEncrypt), Pair.make(), users=users) as (server, _):
        port = server.endpoint.port
        error = await failure(by_name(port), context(tmp_path))
        assert error.kind is FailureKind.PERMANENT
        assert "not trusted yet" in str(error)
        assert "--trust" in error.remedy
        assert users.seen == []
        async with connected(by_name(port), context(tmp_path, trust=True)):
            pass
        async with connected(by_name(port), context(tmp_path)):
            pass
    assert users.seen == [("operator", PASSWORD)] * 2


async def test_a_user_by_certificate(tmp_path: Path) -> None:
    user, other = Pair.make("a user"), Pair.make("another user")
    policies = (P.NoSecurity, P.Aes128Sha256RsaOaep_SignAndEncrypt)
    async with serving(policies, Pair.make(), users=Users(user.der)) as (_, url):
        certificate, key = user.write(tmp_path)
        for security in ("auto", "none"):
            options = Options(url=url, security=security, certificate=certificate, private_key=key)
            async with connected(options, context(tmp_path, trust=True)) as (client, _):
                assert await client.nodes.server_state.read_value() == ua.ServerState.Running
        certificate, key = other.write(tmp_path, "other")
        error = await failure(Options(url=url, certificate=certificate, private_key=key), context(tmp_path))
        assert (error.kind, error.quality) == (FailureKind.PERMANENT, Quality.REFUSED)


async def test_a_users_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    certificate, key = Pair.make("a user").write(tmp_path)
    _, other_key = Pair.make("another user").write(tmp_path, "other")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"-----BEGIN nothing")
    async with serving((P.Basic256Sha256_SignAndEncrypt,), Pair.make()) as (_, url):
        for given in ((certificate, other_key), (str(damaged), key), (certificate, str(tmp_path / "absent"))):
            options = Options(url=url, certificate=given[0], private_key=given[1])
            error = await failure(options, context(tmp_path, trust=True))
            assert error.kind is FailureKind.PERMANENT
            assert str(tmp_path) in str(error)
            assert error.remedy


async def test_a_kind_of_user_that_the_server_does_not_take(tmp_path: Path) -> None:
    only_names = [ua.UserNameIdentityToken]
    async with serving((P.Basic256Sha256_Sign,), Pair.make(), users=Users(), tokens=only_names) as (_, url):
        error = await failure(Options(url=url), context(tmp_path, trust=True))
        assert (error.kind, error.quality) == (FailureKind.PERMANENT, Quality.REFUSED)
        assert "user name" in str(error)
        assert "username" in error.remedy
