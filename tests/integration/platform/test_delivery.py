"""Enrolment, delivery, head, configuration and status; the client holds every answer against the contract."""

import asyncio
import gzip
import hashlib
import json
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from joserfc.jwk import OKPKey

from agent.uplink.contract import examples
from scripts.sandbox.platform import Settings
from scripts.sandbox.platform.jose import own_id
from scripts.sandbox.platform.store import Store
from tests.support.platform_contract import check_answer, errors
from tests.support.platform_gateway import FakeGateway, encode, make_digest, platform_with_gateway

# --- enrolment -------------------------------------------------------------------------------------------


async def test_enrolment_gives_the_id_that_the_key_implies(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        assert gateway.id == own_id(gateway.key.thumbprint())


async def test_a_token_works_once(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (running, gateway):
        token = await running.platform.make_token()
        assert (await gateway.enroll(token)).status == 201
        other = FakeGateway(running, gateway.session)
        assert (await other.enroll(token)).status == 403


async def test_a_repeated_enrolment_is_answered_as_the_first_time(tmp_path: Path) -> None:
    now = time.time()
    settings = Settings(clock=lambda: now)
    async with platform_with_gateway(tmp_path, enrolled=False, settings=settings) as (running, gateway):
        token = await running.platform.make_token(lifetime_s=60)
        first = await gateway.enroll(token)
        now += 3600
        again = await gateway.enroll(token.lower())
        assert (again.status, again.json) == (201, first.json)
        third = await gateway.enroll()
        assert third.json["gateway_id"] == first.json["gateway_id"]


async def test_an_expired_and_an_unknown_token_are_refused(tmp_path: Path) -> None:
    now = time.time()
    settings = Settings(clock=lambda: now)
    async with platform_with_gateway(tmp_path, enrolled=False, settings=settings) as (running, gateway):
        token = await running.platform.make_token(lifetime_s=60)
        now += 61
        assert "expired" in (await gateway.enroll(token)).json["detail"]
        assert (await gateway.enroll("AAAA-BBBB")).status == 403


async def test_enrolment_names_the_enterprise_and_the_administrators(tmp_path: Path) -> None:
    admin = OKPKey.generate_key("Ed25519").as_dict(private=False)
    (tmp_path / "admins.jwks").write_text(json.dumps({"keys": [admin], "threshold": 1}))
    async with platform_with_gateway(tmp_path, enrolled=False) as (running, gateway):
        answer = await gateway.enroll(await running.platform.make_token(enterprise="Example Press Works"))
        assert answer.json["enterprise"] == "Example Press Works"
        assert answer.json["admins"]["keys"] == [admin]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"token": 3}, "/token"),
        ({"public_key": "text"}, "/public_key"),
        ({"public_key": {"kty": "RSA", "n": "x", "e": "AQAB"}}, "/public_key"),
        ({"public_key": OKPKey.generate_key("Ed25519").as_dict(private=True)}, "/public_key"),
        ({"hostname": ["x"]}, "/hostname"),
        ({"encryption_key": OKPKey.generate_key("Ed25519").as_dict(private=False)}, "/encryption_key"),
        ({"encryption_key": OKPKey.generate_key("X25519").as_dict(private=True)}, "/encryption_key"),
    ],
)
async def test_a_wrong_enrolment_says_what_is_wrong(tmp_path: Path, changes: dict[str, Any], path: str) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (_, gateway):
        answer = await gateway.enroll(**changes)
        assert answer.status == 422
        assert answer.json["problems"][0]["path"].startswith(path)


async def test_a_private_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (_, gateway):
        private = gateway.key.as_dict(private=True)
        answer = await gateway.enroll(public_key=private)
        assert answer.status == 422
        assert str(private["d"]).encode() not in answer.body


async def test_the_newest_encryption_key_is_kept_and_none_takes_it_away(tmp_path: Path) -> None:
    first, second = (OKPKey.generate_key("X25519").as_dict(private=False) for _ in range(2))
    async with platform_with_gateway(tmp_path) as (running, gateway):
        kept = []
        for changes in ({}, {"encryption_key": first}, {"encryption_key": second}, {}):
            token = await running.platform.make_token()
            proof = gateway.proof(token, changes.get("encryption_key"))
            assert (await gateway.enroll(token, proof=proof, **changes)).status == 201
            known = await running.platform.call(Store.gateway, gateway.id)
            assert known is not None
            kept.append(known.encryption_key and json.loads(known.encryption_key)["x"])
        assert kept == ["", first["x"], second["x"], second["x"]]


def place(head: dict[str, Any]) -> dict[str, Any]:
    """A head without what a platform may add."""
    return {name: head[name] for name in ("seq", "hash")}


# --- digests ---------------------------------------------------------------------------------------------


async def test_digests_are_stored_in_order_and_the_head_follows(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        assert (await gateway.get("/digests/head")).json == {"seq": 0, "hash": None}
        for _ in range(3):
            answer = await gateway.deliver()
            assert (answer.status, answer.json) == (201, {"seq": gateway.seq, "hash": gateway.previous})
        head = (await gateway.get("/digests/head")).json
        assert place(head) == {"seq": 3, "hash": gateway.previous}
        assert head["kind"] == "period" and head["period_end"].endswith("Z")


async def test_L7_the_same_bytes_again_are_no_second_digest(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        body = gateway.next_body()
        assert (await gateway.put(body)).status == 201
        again = await gateway.put(body)
        assert (again.status, again.json) == (200, {"seq": 1, "hash": hashlib.sha256(body).hexdigest()})
        other = await gateway.put(gateway.next_body(kind="day"))
        assert (other.status, other.json["head"]) == (409, again.json)


async def test_two_deliveries_at_once_store_one(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        body = gateway.next_body()
        answers = await asyncio.gather(*(gateway.put(body) for _ in range(5)))
        assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 201]


async def test_an_uncompressed_digest_is_taken_too(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        assert (await gateway.put(gateway.next_body(), encoding="")).status == 201


async def test_a_digest_built_before_enrolment_stays_valid(tmp_path: Path) -> None:
    settings = Settings(assign_id=lambda thumbprint: "sh-hongkou-0001")
    async with platform_with_gateway(tmp_path, settings=settings) as (_, gateway):
        assert gateway.id == "sh-hongkou-0001"
        own = own_id(gateway.key.thumbprint())
        assert (await gateway.put(encode(make_digest(1, gateway.previous, own)))).status == 201


async def test_a_broken_chain_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        await gateway.deliver()
        head = {"seq": 1, "hash": gateway.previous}
        for body, seq in (
            (encode(make_digest(3, gateway.previous, gateway.id)), 3),
            (encode(make_digest(2, "f" * 64, gateway.id)), 2),
            (encode(make_digest(3, gateway.previous, gateway.id)), 2),
            (b"no json", 2),
        ):
            answer = await gateway.put(body, seq)
            assert (answer.status, answer.json["type"]) == (422, "urn:gongfu:problem:chain")
            assert (answer.json["head"], answer.json["stored"]) == (head, False)
        assert (await running.platform.reports())[0].digests == 1


async def test_the_chain_goes_on_after_a_digest_that_breaks_the_schema(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        await gateway.deliver()
        broken = gateway.next_body(tags="none")
        first = await gateway.deliver(tags="none")
        assert (first.status, first.json["stored"]) == (422, True)
        assert first.json["problems"][0]["path"] == "/tags"
        repeated = await gateway.put(broken, 2)
        assert (repeated.status, repeated.json["detail"]) == (422, first.json["detail"])
        assert (await gateway.put(make_digest_bytes(gateway, 2), 2)).status == 409
        assert place((await gateway.get("/digests/head")).json) == {"seq": 2, "hash": gateway.previous}
        assert (await gateway.deliver()).status == 201
        report = (await running.platform.reports())[0]
        assert (report.digests, report.verified, report.rejected, report.ok) == (3, 2, 1, True)


def make_digest_bytes(gateway: FakeGateway, seq: int) -> bytes:
    """Bytes that differ from everything delivered."""
    return encode(make_digest(seq, "e" * 64, gateway.id))


async def test_a_stream_has_a_chain_of_its_own(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        await gateway.deliver()
        body = encode(make_digest(1, "0" * 64, gateway.id))
        answer = await gateway.put(body, 1, stream="chain-owner")
        assert answer.status == 201
        assert place((await gateway.get("/streams/chain-owner/digests/head")).json) == answer.json
        assert (await gateway.get("/streams/park/digests/head")).json == {"seq": 0, "hash": None}
        assert (await gateway.get("/digests/head")).json["hash"] == gateway.previous


async def test_signature_and_sizes_are_checked_before_anything_else(tmp_path: Path) -> None:
    settings = Settings(max_digest=20_000, max_compressed=10_000)
    async with platform_with_gateway(tmp_path, settings=settings) as (running, gateway):
        body = gateway.next_body()
        cases: list[tuple[dict[str, Any], int]] = [
            ({"signature": None}, 400),
            ({"signature": "a..b"}, 400),
            ({"signature": gateway.sign(body, OKPKey.generate_key("Ed25519"))}, 400),
            ({"signature": gateway.sign(gzip.compress(body))}, 400),
            ({"sent": gzip.compress(body)[:-9]}, 400),
            ({"sent": body}, 400),
            ({"encoding": "br"}, 415),
            ({"sent": gzip.compress(b" " * 10_000_000)}, 413),
            ({"sent": b"x" * 10_001}, 413),
        ]
        for options, status in cases:
            assert (await gateway.put(body, **options)).status == status, options
        assert (await running.platform.reports())[0].digests == 0


async def test_what_was_acknowledged_survives_a_restart(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        await gateway.deliver()
    async with platform_with_gateway(tmp_path, enrolled=False) as (running, other):
        other.key, other.id = gateway.key, gateway.id
        assert place((await other.get("/digests/head")).json) == {"seq": 1, "hash": gateway.previous}
        assert [report.ok for report in await running.platform.reports()] == [True]


# --- authentication --------------------------------------------------------------------------------------


async def test_every_request_needs_this_gateways_fresh_token(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        other = FakeGateway(running, gateway.session)
        await other.enroll()
        requests = [
            ("GET", "/digests/head"),
            ("PUT", "/digests/1"),
            ("GET", "/streams/park/digests/head"),
            ("PUT", "/streams/park/digests/1"),
            ("GET", "/config"),
            ("PUT", "/status"),
        ]
        headers: list[dict[str, str]] = [{}, {"Authorization": "Basic eDp5"}, gateway.authorized(other.token())]
        for method, path in requests:
            for each in headers:
                answer = await gateway.request(method, f"/gateways/{gateway.id}{path}", headers=each)
                assert answer.status == 401, (method, path, each)
        assert (
            await gateway.request("GET", "/gateways/nobody/digests/head", headers=gateway.authorized())
        ).status == 401


async def test_a_token_is_good_for_one_request(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        headers = gateway.authorized()
        path = f"/gateways/{gateway.id}/digests/head"
        assert (await gateway.request("GET", path, headers=headers)).status == 200
        assert (await gateway.request("GET", path, headers=headers)).status == 401


async def test_L11_a_gateway_in_1970_learns_the_time_from_the_401(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        gateway.clock = lambda: 3600.0
        refused = await gateway.get("/digests/head")
        assert refused.status == 401
        learned = parsedate_to_datetime(refused.headers["Date"]).timestamp()
        gateway.clock = lambda: learned
        assert (await gateway.get("/digests/head")).status == 200


# --- configuration and status ----------------------------------------------------------------------------


async def test_a_long_poll_ends_by_itself(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        assert (await gateway.get("/config?wait=1")).status == 204


@pytest.mark.parametrize("wait", ["-1", "61", "soon", "1e3", "٣", ""])
async def test_a_wrong_wait_is_refused(tmp_path: Path, wait: str) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        assert (await gateway.get(f"/config?wait={wait}")).status == 400


STATUS = {"running_hash": "ab", "attempted_hash": "", "state": "UNSET", "last_error": "", "version": "0.1.0"}


async def test_the_latest_status_is_kept(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        path = f"/gateways/{gateway.id}/status"
        for state in ("UNSET", "APPLIED"):
            answer = await gateway.request(
                "PUT", path, json={**STATUS, "state": state, "extra": 1}, headers=gateway.authorized()
            )
            assert answer.status == 204
        kept = await running.platform.call(lambda store: store.gateway(gateway.id))
        assert json.loads(kept.status)["state"] == "APPLIED"
        wrong = await gateway.request("PUT", path, json={**STATUS, "state": "FINE"}, headers=gateway.authorized())
        assert (wrong.status, wrong.json["problems"][0]["path"]) == (422, "/state")


# --- the rest --------------------------------------------------------------------------------------------


async def test_the_files_of_the_contract_are_served(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (running, gateway):
        for name in ("openapi.json", "digest.schema.json", *examples()):
            async with gateway.session.get(f"{running.root}/{name}") as response:
                assert response.status == 200
                assert response.content_type == "application/json"
                assert isinstance(await response.json(), dict)


async def test_unknown_addresses_and_methods_are_problems(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        requests = [
            ("GET", "/nothing"),
            ("DELETE", f"/gateways/{gateway.id}/digests/1"),
            ("PUT", "/gateways/x/digests/0"),
        ]
        for method, path in requests:
            answer = await gateway.request(method, path, checked=False)
            assert answer.status in (404, 405)
            assert not errors({"$ref": "#/components/schemas/Problem"}, answer.json)


async def test_the_contract_check_itself_notices_a_wrong_answer() -> None:
    path, headers = "/gateways/gw-1/digests/head", {"Date": "now", "Content-Type": "application/json"}
    check_answer("GET", path, 200, headers, b'{"seq": 0, "hash": null}')
    for status, body in ((200, b'{"seq": 0, "hash": "00"}'), (200, b'{"seq": -1, "hash": null}'), (202, b"{}")):
        with pytest.raises(AssertionError):
            check_answer("GET", path, status, headers, body)


async def test_counts_are_given_on_loopback(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        await gateway.deliver()
        async with aiohttp.ClientSession() as session, session.get(running.url + "/gateways") as response:
            (counts,) = await response.json()
        assert counts == {
            "id": gateway.id, "stream": "", "digests": 1, "verified": 1, "rejected": 0,
            "head": {"seq": 1, "hash": gateway.previous}, "ok": True, "failures": [],
        }  # fmt: skip
