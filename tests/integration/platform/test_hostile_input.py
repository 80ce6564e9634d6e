"""Nothing that a stranger or a damaged gateway sends makes the platform fail or store anything."""

import base64
import gzip
import json
import random
from pathlib import Path

import aiohttp
import pytest
from joserfc.jwk import OctKey, OKPKey

from tests.support.platform_gateway import FakeGateway, encode, make_digest, platform_with_gateway


def _bodies(gateway: FakeGateway, dice: random.Random) -> list[bytes]:
    good = gateway.next_body()
    damaged = []
    for _ in range(40):
        copy = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            copy[dice.randrange(len(copy))] = dice.randrange(256)
        damaged.append(bytes(copy[: dice.randint(1, len(copy))]))
    nested = b'{"header":' * 3000 + b"1" + b"}" * 3000
    return [
        b"", b"\0", b"null", b"[]", b"{}", b"[" * 100_000, nested, b'{"header":{"seq":1e400}}',
        b'{"header":{"seq":' + b"9" * 5000 + b"}}", b'"\\ud800"', *damaged,
        *(dice.randbytes(dice.randint(1, 400)) for _ in range(40)),
    ]  # fmt: skip


async def test_random_and_damaged_bodies_never_fail_the_platform(tmp_path: Path) -> None:
    dice = random.Random(20)
    async with platform_with_gateway(tmp_path) as (running, gateway):
        for body in _bodies(gateway, dice):
            # Correctly signed nonsense, nonsense under a right signature, and nonsense for gzip.
            signature = gateway.sign(body) if body else "a..b"
            for options in (
                {"signature": signature},
                {"signature": gateway.sign(b"other")},
                {"signature": signature, "sent": body},
                {"signature": signature, "sent": gzip.compress(body)[: dice.randint(0, 30)]},
            ):
                answer = await gateway.put(body, **options)
                assert answer.status in (400, 413, 422), (body[:80], options)
        report = (await running.platform.reports())[0]
        assert report.ok
        assert report.verified == 0
        gateway.seq, gateway.previous = report.head_seq, report.head_hash
        assert (await gateway.deliver()).status == 201


async def test_text_that_no_encoding_holds_is_kept_and_shown(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        token = await running.platform.make_token()
        raw = json.dumps({"token": token, "public_key": gateway.public_key, "hostname": "\ud800<b>"}).encode()
        assert (await gateway.request("POST", "/enrollments", data=raw)).status == 201
        digest = make_digest(1, gateway.previous, gateway.id)
        digest["affiliation"]["enterprise"] = "\udfff"
        assert (await gateway.put(json.dumps(digest).encode())).status == 201
        rejected = make_digest(2, (await gateway.get("/digests/head")).json["hash"], gateway.id, kind="\ud900")
        assert (await gateway.put(json.dumps(rejected).encode(), 2)).status == 422
        for page in (
            "/",
            f"/gateways/{gateway.id}",
            f"/gateways/{gateway.id}/digests/1",
            f"/gateways/{gateway.id}/digests/2",
        ):
            async with gateway.session.get(running.root + page) as response:
                assert response.status == 200
                assert "<b>&lt;" not in await response.text()


def _unsecured(gateway: FakeGateway, header: dict[str, object], signature: str = "") -> str:
    claims = {
        "iss": gateway.id,
        "sub": gateway.id,
        "aud": gateway.running.url,
        "exp": gateway.clock() + 200,
        "jti": "a",
    }
    parts = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (header, claims))
    return ".".join([*parts, signature])


async def test_hostile_tokens_are_401_and_nothing_else(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        stranger = OKPKey.generate_key("Ed25519")
        public = json.dumps(gateway.public_key)
        now = int(gateway.clock())
        tokens = [
            _unsecured(gateway, {"alg": "none"}),
            _unsecured(gateway, {"alg": ["EdDSA"]}),
            _unsecured(gateway, {"alg": {"a": 1}}, "c2ln"),
            _unsecured(gateway, {"alg": "EdDSA"}, "c2ln"),
            _unsecured(gateway, {"alg": "EdDSA", "b64": False, "crit": ["b64"]}, "c2ln"),
            gateway.token(key=stranger),
            gateway.token(key=stranger, header={"alg": "EdDSA", "jwk": stranger.as_dict(private=False)}),
            gateway.token(key=OctKey.import_key(public), header={"alg": "HS256"}),
            gateway.token(exp=now - 60),
            gateway.token(exp=now + 86_400),
            gateway.token(exp=10**30),
            gateway.token(aud="http://elsewhere/api/v1"),
            gateway.token(jti=None),
            *("x" * length for length in (1, 100, 5000)),
            "..", "a.b.c.d", "e30.e30.e30",
        ]  # fmt: skip
        body = gateway.next_body()
        for token in tokens:
            assert (await gateway.put(body, token=token)).status == 401, token[:100]
        assert (await running.platform.reports())[0].digests == 0


@pytest.mark.parametrize("path", ["/enrollments", "/gateways/{id}/status"])
async def test_hostile_json_never_fails_the_platform(tmp_path: Path, path: str) -> None:
    dice = random.Random(7)
    async with platform_with_gateway(tmp_path) as (_, gateway):
        for body in _bodies(gateway, dice):
            for encoding in ({}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "zstd"}):
                answer = await gateway.request(
                    "POST" if path == "/enrollments" else "PUT",
                    path.format(id=gateway.id),
                    data=body,
                    headers={**gateway.authorized(), **encoding},
                )
                assert answer.status in (400, 403, 413, 415, 422)


async def test_strange_addresses_never_fail_the_platform(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        paths = [
            "/gateways/%00/digests/head", "/gateways/%FF/digests/head", "/gateways/../../etc/passwd",
            f"/gateways/{gateway.id}/digests/999999999999999", f"/gateways/{gateway.id}/digests/99999999999999999999",
            f"/gateways/{gateway.id}/digests/-1", "/gateways/" + "x" * 5000 + "/status",
            f"/gateways/{gateway.id}/streams/%3Cscript%3E/digests/head",
        ]  # fmt: skip
        async with aiohttp.ClientSession() as session:
            for root in (running.url, running.root):
                for path in paths:
                    for method in ("GET", "PUT", "POST"):
                        async with session.request(method, root + path, headers=gateway.authorized()) as response:
                            assert 400 <= response.status < 500, (method, path)


async def test_a_digest_of_right_form_from_another_gateways_key_is_refused(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        other = FakeGateway(running, gateway.session)
        await other.enroll()
        body = encode(make_digest(1, "0" * 64, gateway.id))
        assert (await gateway.put(body, signature=other.sign(body))).status == 400
        rejected = await other.put(body)  # its own signature, about somebody else
        assert (rejected.status, rejected.json["problems"][0]["path"]) == (422, "/header/gateway")
