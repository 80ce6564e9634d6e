"""The pages show what is stored, escape everything, and load nothing from anywhere else."""

import json
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agent.config.model import FileSection, GatewaySection
from agent.digest.build import build
from agent.digest.report import encode as build_bytes
from agent.platform_status import platform_status
from scripts.sandbox.platform import Settings
from tests.support.control_bundles import Signer
from tests.support.digest_plants import scenario
from tests.support.health_status import DOWN, DeviceNow, status
from tests.support.platform_admin import FakeAdmin, lasting, pin
from tests.support.platform_gateway import FakeGateway, encode, make_digest, platform_with_gateway

EVIL = "<script>alert(1)</script>\"'&"


class _Reader(HTMLParser):
    """Collects tags, links and text; fails on elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.live: str | None = None
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert all(not name.startswith("on") and name != "style" for name, _ in attrs)
        assert tag != "script" or dict(attrs) == {"src": "/live.js", "defer": ""}, "no script but the platform's own"
        self.live = dict(attrs).get("data-live") if tag == "main" else self.live
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


async def _read(gateway: FakeGateway, path: str) -> _Reader:
    async with gateway.session.get(gateway.running.root + path) as response:
        assert response.status == 200
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        reader = _Reader()
        reader.feed(await response.text())
    assert reader.tags.count("script") == (reader.live is not None)
    assert all(link.startswith("/") for link in reader.links)
    return reader


async def test_an_empty_platform_has_a_page(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (_, gateway):
        assert "No gateway has enrolled yet" in (await _read(gateway, "/")).text


async def test_n22_pages_are_renewed_in_place_and_have_an_icon(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        index = await _read(gateway, "/")
        assert index.live == "5"
        # What is marked or half read is not taken away: the page as a whole is never loaded anew.
        async with gateway.session.get(gateway.running.root + "/") as response:
            assert "http-equiv" not in await response.text()
        for path in [link for link in index.links if link in ("/favicon.ico", "/live.js", "/style.css")]:
            async with gateway.session.get(gateway.running.root + path) as response:
                assert response.status == 200 and await response.read()
                assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert {"/favicon.ico", "/live.js", "/style.css"} <= set(index.links)


async def test_pages_lead_from_gateways_to_a_digest(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        for changes in ({}, {"kind": "decade"}, {}):
            await gateway.deliver(**changes)
        index = await _read(gateway, "/")
        assert "Example Press Works 示例冲压厂" in index.text
        assert f"/gateways/{gateway.id}" in index.links
        listing = await _read(gateway, f"/gateways/{gateway.id}")
        assert {f"/gateways/{gateway.id}/digests/{seq}" for seq in (1, 2, 3)} <= set(listing.links)
        assert "rejected" in listing.text
        digest = await _read(gateway, f"/gateways/{gateway.id}/digests/3")
        for expected in (
            "press-1.oil_temp",
            "mean 42.75 °C",
            "+18",
            "shed_cap",
            "96.7 %",
            gateway.previous,
            "14:30:00",
        ):
            assert expected in digest.text, expected
        rejected = await _read(gateway, f"/gateways/{gateway.id}/digests/2")
        assert "/kind" in rejected.text


def _diagnosed(folder: str) -> dict[str, Any]:
    """Sections of a digest that an agent built from a scenario."""
    inputs, _ = scenario(Path(__file__).parents[2] / "testcases" / folder)
    built = json.loads(build_bytes(build(inputs)))
    return {
        name: built[name] for name in ("equipment", "indicators", "findings", "findings_assessed", "rules", "tables")
    }


async def test_machines_findings_and_indicators_are_shown(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        await gateway.deliver(**_diagnosed("digest-findings-shift"))
        text = (await _read(gateway, f"/gateways/{gateway.id}/digests/1")).text
    for expected in ("43.5 %", "69.4 %", "63.0 %", "99.3 %", "70.2222 kWh", "micro 短停 3"):
        assert expected in text, expected
    for expected in (
        "Micro-stops",
        "短暂停机频繁",
        "micro_share 0.375 > 0.3",
        "Shorten changeovers (SMED).",
        "data 数据有误",
    ):
        assert expected in text, expected
    assert "MIIT24.DATA_LINKS" in text and "4 ÷ 5" in text and "80.0 %" in text


async def test_an_energy_baseline_is_shown_as_its_line(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        await gateway.deliver(**_diagnosed("digest-energy-baseline"))
        text = (await _read(gateway, f"/gateways/{gateway.id}/digests/1")).text
    assert "ENPI.BASELINE press" in text and "100 + 0.25 · PQ, n = 10, R² = 0.995" in text
    assert "0 whole days with enough data, 10 are needed" in text


async def test_what_cannot_be_told_is_shown_with_its_reason(tmp_path: Path) -> None:
    changes = _diagnosed("digest-indicators")
    changes["equipment"].append({"name": "secret", "key_process": False, "withheld": "sensitivity 3 never leaves"})
    changes["findings"][0]["name"] = changes["findings"][1]["reason"] = changes["indicators"][0]["reason"] = EVIL
    async with platform_with_gateway(tmp_path) as (_, gateway):
        assert (await gateway.deliver(**changes)).status == 201
        text = (await _read(gateway, f"/gateways/{gateway.id}/digests/1")).text
    for expected in (
        "sensitivity 3 never leaves",
        "Insufficient evidence for 3",
        "8 h are needed",
        "energy is not measured",
    ):
        assert expected in text, expected
    assert text.count(EVIL) >= 3 and "bin (60,100] %" in text


async def test_everything_shown_is_escaped(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path, enrolled=False) as (_, gateway):
        await gateway.enroll(hostname=EVIL, hardware=EVIL, version="<b>")
        digest = make_digest(1, gateway.previous, gateway.id)
        digest["affiliation"].update(enterprise=EVIL, park=EVIL, credit_code=EVIL)
        digest["header"].update(agent_version=EVIL, timezone=EVIL)
        digest["coverage"]["devices"][0]["name"] = EVIL
        digest["coverage"]["devices"][0]["bad_causes"] = {EVIL: 1}
        digest["tags"][0].update(name=EVIL, unit=EVIL)
        digest["ledger"][0].update(cause=EVIL, tag=EVIL)
        assert (await gateway.put(encode(digest))).status == 201
        status = {"running_hash": EVIL, "attempted_hash": "", "state": "UNSET", "last_error": EVIL, "version": ""}
        path = f"/gateways/{gateway.id}/status"
        assert (await gateway.request("PUT", path, json=status, headers=gateway.authorized())).status == 204
        for page in ("/", f"/gateways/{gateway.id}", f"/gateways/{gateway.id}/digests/1"):
            assert EVIL in (await _read(gateway, page)).text


async def test_a_gateways_own_report_is_shown(tmp_path: Path) -> None:
    told = platform_status(status(DeviceNow(), DOWN), FileSection(gateway=GatewaySection(name="shop")))
    async with platform_with_gateway(tmp_path) as (_, gateway):
        path = f"/gateways/{gateway.id}/status"
        answer = await gateway.request("PUT", path, json=told | {"version": "9.8.7"}, headers=gateway.authorized())
        assert answer.status == 204
        assert "degraded 部分异常" in (await _read(gateway, "/")).text
        page = (await _read(gateway, f"/gateways/{gateway.id}")).text
        for expected in (
            "version 9.8.7",
            "meter-1",
            "0 good, 8 bad",
            "trusted 可信",
            "1.2 MB of 2.0 GB",
            "abababababab",
        ):
            assert expected in page, expected
        assert "press-shop-1" in page and "press-shop-1" in (await _read(gateway, "/")).text
        bare = {"running_hash": "", "attempted_hash": "cd", "state": "FAILED", "last_error": "no data", "version": ""}
        answer = await gateway.request("PUT", path, json=bare, headers=gateway.authorized())
        assert answer.status == 204 and "no data" in (await _read(gateway, f"/gateways/{gateway.id}")).text


async def test_the_fleet_its_drift_and_the_reasons_are_shown(tmp_path: Path) -> None:
    wang = Signer("Wang Wei " + EVIL)
    pin(tmp_path, wang)
    async with platform_with_gateway(tmp_path) as (_, gateway):
        assert "No bundle addresses it" in (await _read(gateway, f"/gateways/{gateway.id}")).text
        admin, reason = FakeAdmin(gateway, wang), f"dry_run_failed: press-1.total {EVIL}"
        config = '[[device]]\nname = "p"\nconnection = { password = "hunter2", host = "plc-7" }'
        assert (await admin.post(lasting(wang, gateway_id=gateway.id, config=config))).status == 201
        await gateway.report(state="FAILED", attempted_revision=7, last_error=reason, affiliation={"park": EVIL})
        await admin.post(lasting(wang, gateway_id=gateway.id, revision=8, config="no toml"), "?offer=none")
        fleet = (await _read(gateway, "/fleet")).text
        for expected in ("drift", "FAILED", reason, EVIL, "7"):
            assert expected in fleet, expected
        page = (await _read(gateway, f"/gateways/{gateway.id}")).text
        for expected in (reason, "Wang Wei", "plc-7", "no TOML", "not yet"):
            assert expected in page, expected
        assert "hunter2" not in page
        audit = (await _read(gateway, "/audit")).text
        assert audit.count("handed in") == 2 and f"revision 8 for {gateway.id}" in audit and EVIL in audit
        await gateway.report(state="APPLIED", running_revision=7, attempted_revision=7)
        assert gateway.id not in (await _read(gateway, "/fleet?drift=1")).text
        assert reason in (await _read(gateway, f"/gateways/{gateway.id}")).text  # the past is kept


async def test_a_gateway_that_fell_silent_is_shown_as_such(tmp_path: Path) -> None:
    later = [0.0]
    settings = Settings(clock=lambda: time.time() + later[0])
    async with platform_with_gateway(tmp_path, settings=settings) as (_, gateway):
        told = platform_status(status(), FileSection(gateway=GatewaySection(name="shop")))
        answer = await gateway.request("PUT", f"/gateways/{gateway.id}/status", json=told, headers=gateway.authorized())
        assert answer.status == 204 and "well 正常" in (await _read(gateway, "/")).text
        later[0] = 4000.0
        page = (await _read(gateway, "/")).text
        assert "silent 失联" in page and "well 正常" not in page


async def test_the_raw_json_is_what_was_delivered(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        await gateway.deliver()
        text = (await _read(gateway, f"/gateways/{gateway.id}/digests/1")).text
        raw = json.loads(text[text.index("{") : text.rindex("}") + 1])
        assert raw == make_digest(1, "0" * 64, gateway.id)


async def test_many_digests_come_in_pages(tmp_path: Path) -> None:
    async with platform_with_gateway(tmp_path) as (_, gateway):
        for _ in range(53):
            await gateway.deliver()
        newest = await _read(gateway, f"/gateways/{gateway.id}")
        assert f"/gateways/{gateway.id}?before=4" in newest.links
        oldest = await _read(gateway, f"/gateways/{gateway.id}?before=4")
        assert sorted(link[-2:] for link in oldest.links if "/digests/" in link) == ["/1", "/2", "/3"]


@pytest.mark.parametrize(
    "path", ["/gateways/nobody", "/gateways/{id}/digests/9", "/gateways/{id}/digests/x", "/robots.txt"]
)
async def test_what_is_not_there_is_404(tmp_path: Path, path: str) -> None:
    async with platform_with_gateway(tmp_path) as (running, gateway):
        answer = await gateway.session.get(running.root + path.format(id=gateway.id))
        assert answer.status == 404
        answer.release()
