"""Bundles, offers, the fleet and the audit trail; the client holds every answer against the contract."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.config.model import Chain, EnterpriseSection
from agent.control.bundle import Bundle
from scripts.sandbox.platform import RunningPlatform
from tests.support.control_bundles import Signer, b64, claims, envelope, judged, trusting
from tests.support.platform_admin import ALWAYS, FakeAdmin, lasting, pin
from tests.support.platform_gateway import FakeGateway, platform_with_gateway, until

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

WANG, LI, STRANGER = Signer("Wang Wei"), Signer("Li"), Signer("Mallory")
PARK = {"district": "310109", "town": "", "park": "hongkou-01", "chains": ["auto-parts", "textiles"]}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    pin(tmp_path, WANG)
    async with platform_with_gateway(tmp_path) as (running, gateway):
        yield Lab(tmp_path, running, gateway)


class Lab:
    """A platform with one administrator and one gateway that says where it belongs."""

    def __init__(self, folder: Path, running: RunningPlatform, gateway: FakeGateway) -> None:
        self.folder = folder
        self.running = running
        self.gateway = gateway
        self.admin = FakeAdmin(gateway, WANG)

    async def another(self, **affiliation: Any) -> FakeGateway:
        """One gateway more."""
        gateway = FakeGateway(self.running, self.gateway.session)
        assert (await gateway.enroll()).status == 201
        assert (await gateway.report(affiliation={**PARK, **affiliation})).status == 204
        return gateway

    def mine(self, *signers: Signer, **changes: Any) -> bytes:
        """A bundle for the gateway."""
        return lasting(*(signers or (WANG,)), **{"gateway_id": self.gateway.id, **changes})


def park(**changes: Any) -> bytes:
    """A bundle for all of the park."""
    return lasting(WANG, **{"gateway_id": None, "selector": {"park": "hongkou-01"}, **changes})


# --- administrators ---------------------------------------------------------------------------------------


async def test_while_the_administrators_are_being_written_down_those_before_count(lab: Lab) -> None:
    assert (await lab.admin.post(lab.mine())).status == 201
    whole = (lab.folder / "admins.jwks").read_bytes()
    for half in (b"", whole[:20], b"[]"):
        (lab.folder / "admins.jwks").write_bytes(half)
        assert (await lab.gateway.get("/config")).status == 200
        assert len((await lab.admin.fleet())["gateways"]) == 1
    pin(lab.folder, STRANGER)
    assert (await lab.admin.post(lab.mine(revision=8))).status == 403


# --- handing in ------------------------------------------------------------------------------------------


async def test_a_bundle_is_its_own_authentication(lab: Lab) -> None:
    answer = await lab.admin.post(lab.mine())
    assert (answer.status, answer.json["revision"], answer.json["signers"]) == (201, 7, [WANG.kid])
    assert (answer.json["addressed"], answer.json["offered"]) == (1, 1)
    again = await lab.admin.post(lab.mine())
    assert (again.status, again.json) == (200, answer.json)


async def test_nobody_else_can_hand_one_in(lab: Lab) -> None:
    assert (await lab.admin.post(lab.mine(STRANGER))).status == 403
    body = json.dumps(claims(gateway_id=lab.gateway.id, **ALWAYS)).encode()
    for header in ({"kid": WANG.kid}, {"alg": "none"}, {"alg": "HS256"}, {"crit": ["b64"], "b64": False}):
        signature = STRANGER.signature(b64(body), **header)
        assert (await lab.admin.post(envelope(body, [signature]))).status == 403
    assert (await lab.gateway.get("/config")).status == 204


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b'{"payload": "e30=", "signatures": [{"protected": "e30", "signature": "e30"}]}', 422),
        (b'{"payload": "e31", "signatures": [{"protected": "e30", "signature": "e30"}]}', 400),
        (lasting(WANG, payload=b"{"), 400),
        (lasting(WANG, payload=b"{}"), 422),
        (lasting(WANG, revision=0), 422),
        (lasting(WANG, selector={"park": "x"}), 422),
        (lasting(WANG, more=1), 422),
        (lasting(WANG, issued_at="2099-01-02T00:00:00Z"), 422),
        (lasting(WANG, expires_at="soon"), 422),
        (lasting(WANG, expires_at="2020-01-02T00:00:00Z"), 422),
        (lasting(WANG, config="x" * 1_000_000), 413),
    ],
)
async def test_what_no_gateway_would_take_is_refused(lab: Lab, body: bytes, status: int) -> None:
    assert (await lab.admin.post(body)).status == status


async def test_a_revision_must_be_above_all_that_concern_the_same_gateways(lab: Lab) -> None:
    await lab.gateway.report(affiliation=PARK)
    assert (await lab.admin.post(lab.mine(revision=7))).status == 201
    assert (await lab.admin.post(lab.mine(revision=7, config=""))).status == 409
    assert (await lab.admin.post(park(revision=7))).status == 409
    assert (await lab.admin.post(park(revision=8))).status == 201
    answer = await lab.admin.post(lab.mine(revision=8))
    assert answer.status == 409 and "revision 8" in answer.json["detail"]
    assert (await lab.admin.post(park(revision=2, selector={"park": "elsewhere"}))).status == 201
    assert (await lab.admin.post(park(revision=2, selector={"park": "elsewhere"}, config=""))).status == 409


async def test_a_bundle_is_offered_when_enough_have_signed(lab: Lab) -> None:
    pin(lab.folder, WANG, LI, threshold=2)
    first = await lab.admin.post(lab.mine())
    assert (first.status, first.json["threshold"], first.json["offered"]) == (201, 2, 0)
    assert (await lab.gateway.get("/config")).status == 204
    waiting = asyncio.create_task(lab.gateway.get("/config?wait=60"))
    await until(lambda: lab.running.platform.control.waiting(lab.gateway.id))
    second = await lab.admin.post(lab.mine(LI))
    assert (second.status, second.json["offered"], len(second.json["signers"])) == (200, 1, 2)
    offered = await asyncio.wait_for(waiting, 55)
    found = judged(offered.body, trusting(WANG, LI, threshold=2), gateway_id=lab.gateway.id)
    assert isinstance(found, Bundle) and len(found.signers) == 2


async def test_what_does_not_hold_is_not_passed_on(lab: Lab) -> None:
    body = json.dumps(claims(gateway_id=lab.gateway.id, **ALWAYS)).encode()
    bad = [STRANGER.signature(b64(body), crit=["x"]), {"protected": "e30", "signature": "e30", "header": {"b64": 1}}]
    assert (await lab.admin.post(envelope(body, [*bad, WANG.signature(b64(body))]))).status == 201
    offered = await lab.gateway.get("/config")
    assert isinstance(judged(offered.body, trusting(WANG), gateway_id=lab.gateway.id), Bundle)


# --- offering --------------------------------------------------------------------------------------------


async def test_configuration_is_offered_once_and_then_not_modified(lab: Lab) -> None:
    assert (await lab.gateway.get("/config")).status == 204
    await lab.admin.post(lab.mine())
    answer = await lab.gateway.get("/config?wait=0")
    etag = answer.headers["ETag"]
    assert answer.status == 200 and re.fullmatch('"[0-9a-f]{32}"', etag)
    same = await lab.gateway.get("/config", **{"If-None-Match": f'"older", W/{etag}'})
    assert (same.status, same.headers["ETag"]) == (304, etag)


async def test_a_waiting_gateway_gets_new_configuration_at_once(lab: Lab) -> None:
    await lab.admin.post(lab.mine())
    etag = (await lab.gateway.get("/config")).headers["ETag"]
    waiting = asyncio.create_task(lab.gateway.get("/config?wait=60", **{"If-None-Match": etag}))
    await until(lambda: lab.running.platform.control.waiting(lab.gateway.id))
    await lab.admin.post(lab.mine(revision=8))
    answer = await asyncio.wait_for(waiting, 55)
    assert answer.status == 200 and answer.headers["ETag"] != etag


async def test_the_highest_revision_counts_whoever_it_is_addressed_to(lab: Lab) -> None:
    await lab.gateway.report(affiliation=PARK)
    for bundle in (lab.mine(revision=7), park(revision=8), park(revision=9, selector={"park": "elsewhere"})):
        assert (await lab.admin.post(bundle)).status == 201
    (row,) = (await lab.admin.fleet())["gateways"]
    assert row["desired_revision"] == 8


async def test_a_selector_reaches_a_gateway_as_soon_as_it_says_where_it_is(lab: Lab) -> None:
    await lab.admin.post(park(selector={"park": "hongkou-01", "chain": "textiles"}))
    waiting = asyncio.create_task(lab.gateway.get("/config?wait=60"))
    await until(lambda: lab.running.platform.control.waiting(lab.gateway.id))
    await lab.gateway.report(affiliation=PARK)
    assert (await asyncio.wait_for(waiting, 55)).status == 200


async def test_a_digest_says_where_a_gateway_is_too(lab: Lab) -> None:
    await lab.admin.post(park(selector={"chain": "auto-parts"}))
    assert (await lab.gateway.get("/config")).status == 204
    assert (await lab.gateway.deliver()).status == 201
    answer = await lab.gateway.get("/config")
    own = EnterpriseSection(chains=(Chain(name="auto-parts"),))
    assert isinstance(judged(answer.body, trusting(WANG), gateway_id=lab.gateway.id, enterprise=own), Bundle)


async def test_a_bundle_can_wait_for_the_administrators_word(lab: Lab) -> None:
    await lab.gateway.report(affiliation=PARK)
    other, stranger = await lab.another(), await lab.another(park="elsewhere")
    posted = (await lab.admin.post(park(), "?offer=none")).json
    assert (posted["addressed"], posted["offered"]) == (2, 0)
    assert (await lab.gateway.get("/config")).status == 204
    # Whoever has a copy cannot widen it by handing it in again.
    assert (await lab.admin.post(park(), "?offer=all")).json["offered"] == 0
    waiting = asyncio.create_task(lab.gateway.get("/config?wait=60"))
    await until(lambda: lab.running.platform.control.waiting(lab.gateway.id))
    offered = await lab.admin.offer(posted["hash"], {"gateways": [lab.gateway.id, stranger.id, "gw-unheard-of"]})
    assert (offered.status, offered.json["offered"]) == (200, 1)
    assert (await asyncio.wait_for(waiting, 55)).status == 200
    assert [(await each.get("/config")).status for each in (other, stranger)] == [204, 204]
    assert (await lab.admin.offer(posted["hash"], {"all": True})).json["offered"] == 2
    assert (await other.get("/config")).status == 200


@pytest.mark.parametrize("wanted", [{}, {"all": False}, {"gateways": "gw-1"}, {"all": True, "gateways": []}, []])
async def test_an_offer_says_clearly_to_whom(lab: Lab, wanted: Any) -> None:
    posted = (await lab.admin.post(lab.mine(), "?offer=none")).json
    assert (await lab.admin.offer(posted["hash"], wanted)).status == 422
    assert (await lab.admin.offer("0" * 64, {"all": True})).status == 404
    assert (await lab.admin.post(lab.mine(revision=8), "?offer=some")).status == 400


async def test_many_gateways_wait_at_once_and_all_are_answered(lab: Lab) -> None:
    gateways = [await lab.another() for _ in range(60)]
    waiting = [asyncio.create_task(each.get("/config?wait=60")) for each in gateways]
    control = lab.running.platform.control
    await until(lambda: all(control.waiting(each.id) for each in gateways))
    assert (await lab.admin.post(park())).json["offered"] == 60
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 55)
    assert {answer.status for answer in answers} == {200}
    assert not any(control.waiting(each.id) for each in gateways)


async def test_L19_what_has_failed_is_not_offered_again_until_it_changes(lab: Lab) -> None:
    posted = (await lab.admin.post(lab.mine())).json
    etag = (await lab.gateway.get("/config")).headers["ETag"]
    failed = {"state": "FAILED", "last_error": "probation_failed: press-1 is silent", "attempted_revision": 7}
    await lab.gateway.report(**failed)
    assert (await lab.gateway.get("/config")).status == 204
    assert (await lab.gateway.get("/config", **{"If-None-Match": etag})).status == 304
    await lab.gateway.report(**{**failed, "attempted_revision": 0, "attempted_hash": posted["hash"]})
    assert (await lab.gateway.get("/config")).status == 204
    await lab.admin.post(lab.mine(revision=8))
    assert (await lab.gateway.get("/config")).status == 200


@pytest.mark.parametrize("code", ["locked", "clock_untrusted"])
async def test_what_is_only_held_is_offered_again(lab: Lab, code: str) -> None:
    posted = (await lab.admin.post(lab.mine())).json
    await lab.gateway.report(state="FAILED", last_error=f"{code}: later", attempted_hash=posted["hash"])
    assert (await lab.gateway.get("/config")).status == 200


async def test_a_signature_more_is_a_change(lab: Lab) -> None:
    pin(lab.folder, WANG, LI)
    posted = (await lab.admin.post(lab.mine())).json
    await lab.gateway.report(state="FAILED", last_error="not_trusted: 1 of 2", attempted_hash=posted["hash"])
    assert (await lab.gateway.get("/config")).status == 204
    await lab.admin.post(lab.mine(LI))
    assert (await lab.gateway.get("/config")).status == 200


async def test_bundles_and_offers_outlive_a_restart(tmp_path: Path) -> None:
    pin(tmp_path, WANG)
    async with platform_with_gateway(tmp_path) as (running, gateway):
        posted = (await Lab(tmp_path, running, gateway).admin.post(lasting(WANG, gateway_id=gateway.id))).json
        key, name = gateway.key, gateway.id
    async with platform_with_gateway(tmp_path) as (running, gateway):
        gateway.key, gateway.id = key, name
        assert (await gateway.get("/config")).status == 200
        (row,) = [each for each in (await FakeAdmin(gateway, WANG).fleet())["gateways"] if each["id"] == name]
        assert row["desired_hash"] == posted["hash"]


# --- the fleet -------------------------------------------------------------------------------------------


async def test_the_fleet_shows_desired_running_and_attempted_apart(lab: Lab) -> None:
    posted = (await lab.admin.post(lab.mine())).json
    (before,) = (await lab.admin.fleet())["gateways"]
    assert (before["desired_revision"], before["running_revision"], before["drift"]) == (7, 0, True)
    await lab.gateway.report(
        affiliation=PARK, running_revision=6, running_hash="a" * 64, attempted_revision=7, attempted_hash="b" * 64,
        state="FAILED", last_error="dry_run_failed: press-1.total", locked_until=None, version="0.2.0",
    )  # fmt: skip
    (row,) = (await lab.admin.fleet())["gateways"]
    assert row["desired_hash"] == posted["hash"]
    assert (row["running_revision"], row["attempted_revision"], row["state"]) == (6, 7, "FAILED")
    assert (row["last_error"], row["version"], row["affiliation"]) == ("dry_run_failed: press-1.total", "0.2.0", PARK)
    await lab.gateway.report(running_revision=7, attempted_revision=7, state="APPLIED")
    (row,) = (await lab.admin.fleet())["gateways"]
    assert not row["drift"] and row["last_error"] == ""


async def test_the_fleet_is_chosen_and_paged(lab: Lab) -> None:
    names = sorted([(await lab.another()).id for _ in range(5)])
    await lab.another(park="elsewhere")
    seen: list[str] = []
    query = "?park=hongkou-01&limit=2"
    while True:
        page = await lab.admin.fleet(query + (f"&after={seen[-1]}" if seen else ""))
        seen += [each["id"] for each in page["gateways"]]
        if page["next"] is None:
            break
        assert page["next"] == seen[-1]
    assert seen == names
    assert [each["id"] for each in (await lab.admin.fleet(f"?id={names[2]}"))["gateways"]] == [names[2]]
    assert (await lab.admin.fleet("?chain=textiles&district=310109"))["gateways"]
    assert not (await lab.admin.fleet("?town="))["gateways"]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "1e2", ""])
async def test_a_wrong_page_is_refused(lab: Lab, limit: str) -> None:
    answer = await lab.gateway.request("GET", f"/fleet?limit={limit}", headers=lab.admin.authorized())
    assert answer.status == 400


async def test_the_fleet_is_for_administrators_alone(lab: Lab) -> None:
    stranger = FakeAdmin(lab.gateway, STRANGER)
    once = lab.admin.authorized()
    assert (await lab.gateway.request("GET", "/fleet", headers=once)).status == 200
    for headers in (
        {},
        once,
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eDp5"},
        stranger.authorized(),
        stranger.authorized(iss=WANG.kid, sub=WANG.kid),
        lab.gateway.authorized(),
        lab.admin.authorized(aud="https://other.example"),
        lab.admin.authorized(exp=1),
        lab.admin.authorized(sub="x"),
    ):
        assert (await lab.gateway.request("GET", "/fleet", headers=headers)).status == 401
        answer = await lab.gateway.request("PUT", f"/bundles/{'0' * 64}/offer", json={"all": True}, headers=headers)
        assert answer.status == 401


async def test_what_administrators_do_is_written_down(lab: Lab) -> None:
    posted = (await lab.admin.post(lab.mine(), "?offer=none")).json
    await lab.admin.offer(posted["hash"], {"gateways": [lab.gateway.id]})
    await lab.admin.post(lab.mine(config=""))
    await lab.admin.post(lab.mine(STRANGER, revision=9))
    audit = await lab.running.platform.control.audit()
    assert [(each.actor, each.action) for each in audit] == [
        ("Wang Wei", "refused"),
        ("Wang Wei", "offered"),
        ("Wang Wei", "handed in"),
    ]
    assert all(lab.gateway.id in each.subject for each in audit) and lab.gateway.id in audit[1].detail


async def test_a_gateways_states_are_remembered_when_they_change(lab: Lab) -> None:
    for state in ("APPLYING", "APPLYING", "FAILED", "FAILED", "APPLIED"):
        await lab.gateway.report(state=state, attempted_revision=7, last_error="x" if state == "FAILED" else "")
    known = await lab.running.platform.call(lambda store: store.gateway(lab.gateway.id))
    reports, bundles = await lab.running.platform.control.history(known)
    assert [each.state for each in reports] == ["APPLIED", "FAILED", "APPLYING"]
    assert bundles == []
