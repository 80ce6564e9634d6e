"""Prescriptions at the platform: what it takes, offers and shows; every answer is held against the contract."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.control.prescription import Verified
from scripts.sandbox.platform import RunningPlatform, Settings
from tests.support import control_bundles
from tests.support.control_bundles import Signer, b64, envelope, trusting
from tests.support.platform_admin import pin
from tests.support.platform_gateway import Answer, FakeGateway, platform_with_gateway
from tests.support.prescriptions import NOW_US, TARGET, TYPE, claims, judged, signed

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

WANG, LI, STRANGER = Signer("Wang Wei"), Signer("Li"), Signer("Mallory")
EVIL = "<script>alert(1)</script>\"'&"


class Lab:
    """A platform with one administrator and one gateway; its clock can be set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW_US / 1e6
        self.running: RunningPlatform
        self.gateway: FakeGateway

    async def post(self, data: bytes) -> Answer:
        """Hand in."""
        headers = {"Content-Type": "application/jose+json"}
        return await self.gateway.request("POST", "/prescriptions", data=data, headers=headers)

    def mine(self, *signers: Signer, **changes: Any) -> bytes:
        """A prescription for the gateway."""
        return signed(*(signers or (WANG,)), **{"gateway_id": self.gateway.id, **changes})

    async def offered(self) -> list[str]:
        """What the gateway would take, as ``id/revision``."""
        answer = await self.gateway.get("/prescriptions")
        assert answer.status == 200
        found = [
            judged(json.dumps(each).encode(), trusting(WANG, LI), gateway_id=self.gateway.id)
            for each in answer.json["prescriptions"]
        ]
        taken = [each.prescription for each in found if isinstance(each, Verified)]
        assert len(taken) == len(found)
        return [f"{each.id}/{each.revision}" for each in taken]

    async def page(self, path: str = "") -> str:
        """The gateway's page, or one below it."""
        url = f"{self.running.root}/gateways/{self.gateway.id}{path}"
        async with self.gateway.session.get(url) as answer:
            assert answer.status == 200
            return await answer.text()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    pin(tmp_path, WANG)
    made = Lab(tmp_path)
    async with platform_with_gateway(
        tmp_path, settings=Settings(clock=lambda: made.now), enrolled=False
    ) as (running, gateway):  # fmt: skip
        made.running, made.gateway = running, gateway
        gateway.clock = lambda: made.now
        assert (await gateway.enroll()).status == 201
        yield made


async def test_what_is_handed_in_is_offered_with_an_entity_tag(lab: Lab) -> None:
    empty = await lab.gateway.get("/prescriptions")
    assert empty.json == {"prescriptions": []}
    posted = await lab.post(lab.mine())
    assert (posted.status, posted.json["offered"], posted.json["signers"]) == (201, True, [WANG.kid])
    assert await lab.offered() == ["rx-1/1"]
    answer = await lab.gateway.get("/prescriptions")
    again = await lab.gateway.get("/prescriptions", **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.headers["ETag"]) == (304, answer.headers["ETag"])
    stale = await lab.gateway.get("/prescriptions", **{"If-None-Match": empty.headers["ETag"]})
    assert stale.status == 200


async def test_only_the_newest_revision_of_each_is_offered_until_its_last_day_is_over(lab: Lab) -> None:
    for name, revision in (("rx-2", 1), ("rx-1", 1), ("rx-1", 3)):
        assert (await lab.post(lab.mine(id=name, revision=revision))).status == 201
    for revision in (1, 2, 3):
        older = lab.mine(revision=revision, measure={"en": "another"})
        assert (await lab.post(older)).status == 409
    assert await lab.offered() == ["rx-1/3", "rx-2/1"]
    lab.now += 200 * 86_400
    assert (await lab.gateway.get("/prescriptions")).json == {"prescriptions": []}
    late = await lab.post(lab.mine(id="rx-3"))
    assert late.status == 422 and late.json["problems"][0]["path"] == "/until"
    assert "rx-1 · 3" in await lab.page(), "the history stays"


async def test_it_waits_for_as_many_signatures_as_are_asked_for(lab: Lab) -> None:
    pin(lab.folder, WANG, LI, threshold=2)
    body = json.dumps(claims(gateway_id=lab.gateway.id)).encode()
    first = await lab.post(signed(WANG, payload=body))
    assert (first.status, first.json["offered"]) == (201, False)
    assert await lab.offered() == [] and "more signatures needed" in await lab.page()
    second = await lab.post(signed(LI, payload=body))
    assert (second.status, second.json["offered"], len(second.json["signers"])) == (200, True, 2)
    assert await lab.offered() == ["rx-1/1"]


async def test_what_is_no_prescription_of_an_administrator_for_a_gateway_here_is_refused(lab: Lab) -> None:
    body = json.dumps(claims(gateway_id=lab.gateway.id)).encode()
    bundle = json.dumps(control_bundles.claims(gateway_id=lab.gateway.id)).encode()
    for expected, data in (
        (400, b"{"),
        (422, b"{}"),
        (422, signed(WANG, payload=bundle)),
        (403, lab.mine(STRANGER)),
        (403, signed(WANG, payload=body, typ=None)),
        (403, envelope(body, [WANG.signature(b64(body)), STRANGER.signature(b64(body), typ=TYPE)])),
        (404, signed(WANG, gateway_id="gw-unknown")),
        (413, lab.mine() + b" " * 40_000),
        (422, lab.mine(text={"en": "\x1b[2J"})),
        (422, lab.mine(until="2026-02-30")),
        (422, lab.mine(begin="2026-12-31", until="2026-12-30")),
        (422, lab.mine(target={**TARGET, "side": "about"})),
    ):
        answer = await lab.post(data)
        assert answer.status == expected, answer.body
    # Neither is a prescription taken for a configuration.
    bundles = await lab.gateway.request(
        "POST", "/bundles", data=lab.mine(), headers={"Content-Type": "application/jose+json"}
    )
    assert bundles.status == 422
    assert await lab.offered() == []


async def test_at_most_24_are_open_and_fit_into_what_a_gateway_takes(lab: Lab) -> None:
    text = {"en": "x" * 2000, "zh": "空" * 2000}
    for number in range(24):
        body = json.dumps(
            claims(gateway_id=lab.gateway.id, id=f"rx-{number}", text=text, measure=text), ensure_ascii=False
        ).encode()
        assert (await lab.post(signed(WANG, payload=body))).status == 201
    assert (await lab.post(lab.mine(id="rx-24"))).status == 409
    assert (await lab.post(lab.mine(id="rx-3", revision=2))).status == 201
    answer = await lab.gateway.get("/prescriptions")
    assert len(answer.json["prescriptions"]) == 24 and len(answer.body) < 1_000_000


async def test_nobody_else_is_told(lab: Lab) -> None:
    await lab.post(lab.mine())
    other = FakeGateway(lab.running, lab.gateway.session)
    other.clock = lambda: lab.now
    assert (await other.enroll()).status == 201
    assert (await other.get("/prescriptions")).json == {"prescriptions": []}
    foreign = await lab.gateway.request("GET", f"/gateways/{lab.gateway.id}/prescriptions", headers=other.authorized())
    assert foreign.status == 401


def line(**changes: Any) -> dict[str, Any]:
    """What a digest says of a prescription."""
    stretch = {
        "span": {"start": "2026-11-04T16:00:00Z", "end": "2026-11-11T16:00:00Z"}, "days": 7, "value": 0.3, "unit": "1",
        "numerator": 210.0, "denominator": 700.0, "coverage": 0.95,
    }  # fmt: skip
    return {
        "id": "rx-1", "revision": 1, "hash": "ab" * 32, "state": "adopted", "received_at": "2026-09-21T08:00:00Z",
        "until": "2026-12-31", "decided_at": "2026-11-12T08:00:00Z", "adopted_on": "2026-11-12", "target": TARGET,
        "before": stretch, "after": {**stretch, "value": 0.1}, "change": -0.2, "reached": True, **changes,
    }  # fmt: skip


async def test_the_page_shows_what_digests_tell_and_the_newest_counts(lab: Lab) -> None:
    posted = await lab.post(lab.mine())
    hash_ = posted.json["hash"]
    assert "offered 已下发" in await lab.page()
    nothing = {"before": None, "after": None, "change": None, "reached": None}
    doubt = "insufficient evidence: before: nothing was recorded"
    assert (await lab.gateway.deliver(prescriptions=[line(hash=hash_, reason=doubt, **nothing)])).status == 201
    assert doubt in await lab.page() and "cannot be told 尚无结论" in await lab.page()
    assert (await lab.gateway.deliver(prescriptions=[line(hash=hash_)])).status == 201
    page = await lab.page()
    assert doubt not in page and "reached 已达标" in page and "known 已知 95.0 %" in page and "change 变化 -0.2" in page
    assert "reached 已达标" in await lab.page("/digests/2") and doubt in await lab.page("/digests/1")


async def test_whatever_is_written_is_shown_as_text(lab: Lab) -> None:
    texts = {"en": EVIL, "zh": EVIL}
    target = {**TARGET, "machine": EVIL}
    await lab.post(lab.mine(text=texts, measure=texts, target=target, findings=[{"rule": "idle_energy", "name": EVIL}]))
    refused = {"state": "refused", "reason": EVIL, "id": EVIL, "hash": "", "revision": 0, "target": target}
    assert (await lab.gateway.deliver(prescriptions=[line(reason=EVIL, unit=EVIL), line(**refused)])).status == 201
    for path in ("", "/digests/1"):
        page = await lab.page(path)
        assert "<script>" not in page and "&lt;script&gt;" in page


async def test_a_digest_with_lines_of_a_wrong_form_is_rejected(lab: Lab) -> None:
    answer = await lab.gateway.deliver(prescriptions=[line(state="done")])
    assert answer.status == 422


async def test_the_audit_trail_says_who_prescribed(lab: Lab) -> None:
    await lab.post(lab.mine())
    async with lab.gateway.session.get(lab.running.root + "/audit") as answer:
        page = await answer.text()
    assert "prescribed" in page and "Wang Wei" in page and "rx-1 revision 1" in page
