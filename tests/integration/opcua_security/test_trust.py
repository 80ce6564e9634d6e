"""Certificates: pinned by an operator only, refused when they change or end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from drivers.contract import Context, FailureKind
from drivers.opcua import security, trust
from drivers.opcua.options import Options
from tests.support.opcua_secure import Pair, connected, context, failure, serving

P = ua.SecurityPolicyType
SECURE = (P.Basic256Sha256_SignAndEncrypt,)
YEAR_US = 365 * 86_400_000_000


async def test_an_unknown_certificate_is_refused_until_an_operator_trusts_it(tmp_path: Path) -> None:
    pair = Pair.make()
    async with serving(SECURE, pair) as (_, url):
        options = Options(url=url)
        error = await failure(options, context(tmp_path))
        assert error.kind is FailureKind.PERMANENT
        assert trust.fingerprint(pair.certificate) in str(error)
        assert "gongfu-edge check --connect --trust cnc-1" in error.remedy
        async with connected(options, context(tmp_path, trust=True)):
            pass
        async with connected(options, context(tmp_path)) as (client, _):
            assert await client.nodes.server_state.read_value() == ua.ServerState.Running


async def test_a_changed_certificate_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    old, new = Pair.make(), Pair.make()
    async with serving(SECURE, old) as (_, url):
        options = Options(url=url)
        async with connected(options, context(tmp_path, trust=True)):
            pass
    async with serving(SECURE, new, port=options.port):
        error = await failure(options, context(tmp_path))
        assert error.kind is FailureKind.PERMANENT
        assert trust.fingerprint(old.certificate) in str(error)
        assert trust.fingerprint(new.certificate) in str(error)
        assert "--trust" in error.remedy
        async with connected(options, context(tmp_path, trust=True)):
            pass
        async with connected(options, context(tmp_path)):
            pass


async def test_an_expired_certificate_needs_an_operator_who_has_seen_it(tmp_path: Path) -> None:
    async with serving(SECURE, Pair.make(days=-1)) as (_, url):
        options = Options(url=url)
        assert "expired" in str(await failure(options, context(tmp_path)))
        async with connected(options, context(tmp_path, trust=True)):
            pass
        async with connected(options, context(tmp_path)):
            pass


async def test_a_certificate_that_ends_after_it_was_trusted_is_refused(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    async with serving(SECURE, Pair.make()) as (_, url):
        options = Options(url=url)
        async with connected(options, context(tmp_path, trust=True)):
            pass
        error = await failure(options, context(tmp_path, now=now + YEAR_US))
        assert error.kind is FailureKind.PERMANENT
        assert "ended" in str(error)
        error = await failure(options, context(tmp_path, now=now - 10 * YEAR_US))
        assert error.kind is FailureKind.TRANSIENT
        assert "clock" in error.remedy


async def test_a_server_that_does_not_trust_the_gateway_is_told_how(tmp_path: Path) -> None:
    async def distrust(_certificate: object, _application: object) -> None:
        raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    async with serving(SECURE, Pair.make()) as (server, url):
        server.iserver.certificate_validator = distrust
        error = await failure(Options(url=url), context(tmp_path, trust=True))
        assert error.kind is FailureKind.PERMANENT
        assert str(tmp_path / "application.der") in error.remedy


async def test_the_gateways_certificate_says_who_it_is(tmp_path: Path) -> None:
    shown = []

    async def look(certificate: object, application: ua.ApplicationDescription) -> None:
        shown.append((certificate, application.ApplicationUri))

    async with serving(SECURE, Pair.make()) as (server, url):
        server.iserver.certificate_validator = look
        for _ in range(2):
            async with connected(Options(url=url), context(tmp_path, trust=True)):
                pass
    own = trust.application(tmp_path, own_now())
    assert shown == [(own.certificate, own.uri)] * 2


def own_now() -> trust.datetime:
    return trust.datetime.now(trust.UTC)


async def test_without_a_folder_there_is_no_security_and_it_is_said(tmp_path: Path) -> None:
    async with serving((P.NoSecurity, *SECURE), Pair.make()) as (_, url):
        error = await failure(Options(url=url), context(None))
        assert error.kind is FailureKind.PERMANENT
        async with connected(Options(url=url, security="none"), context(None)):
            pass


async def test_what_is_no_rsa_certificate_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, shown = security._endpoints, [b""]

    async def endpoints(options: Options, context: Context) -> list[ua.EndpointDescription]:
        found = await honest(options, context)
        for each in found:
            each.ServerCertificate = shown[0]
        return found

    monkeypatch.setattr(security, "_endpoints", endpoints)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elliptic")])
    key, now = ec.generate_private_key(ec.SECP256R1()), own_now()
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now.replace(year=now.year + 1))
    elliptic = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    async with serving(SECURE, Pair.make()) as (_, url):
        for shown[0], word in ((elliptic, "RSA"), (b"nonsense", "cannot be read"), (b"", "no certificate")):
            error = await failure(Options(url=url), context(tmp_path, trust=True))
            assert error.kind is FailureKind.PERMANENT
            assert word in str(error)
            assert error.remedy
    assert not (tmp_path / "trusted").exists()
