"""The local API over real HTTP and a real store."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.buffer.store import StoreUnavailable
from agent.console.server import Console
from agent.control.prescriptions import Decision
from agent.control.prescriptions import shown as listed
from agent.errors import GongfuError
from agent.health.status import decode
from tests.support.control_bundles import Signer, trusting
from tests.support.health_console import EVIL, Shown, Value, shown
from tests.support.health_status import DOWN, NOW, status
from tests.support.prescriptions import NOW_US, ZONE, Desk, signed
from tests.support.prescriptions import answer as offer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Speaks HTTP by hand, so that a test says every byte it sends."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def get(self, path: str, host: str | None = "localhost", method: str = "GET") -> Answer:
        head = f"{method} {path} HTTP/1.1\r\nConnection: close\r\n" + (f"Host: {host}\r\n" if host else "") + "\r\n"
        return await self.send(head.encode())

    async def send(self, data: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(60):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers, body)


@pytest.fixture
async def sources(tmp_path: Path) -> AsyncIterator[Shown]:
    async with shown(tmp_path) as made:
        yield made


@pytest.fixture
async def client(sources: Shown) -> AsyncIterator[Client]:
    console = Console("127.0.0.1:0", sources)
    await console.start()
    yield Client(console.address[1])
    await console.stop()


async def test_status_is_the_status(client: Client, sources: Shown) -> None:
    answer = await client.get("/api/status")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert decode(answer.body) == sources.now


async def test_disk_is_asked_rarely_and_may_fail(client: Client, sources: Shown) -> None:
    sources.failure = StoreUnavailable("disk full")
    for _ in range(5):
        assert (await client.get("/api/status")).status == 200
    assert sources.refreshed == 1


async def test_healthz_says_503_and_why(client: Client, sources: Shown) -> None:
    assert (await client.get("/healthz")).status == 200
    sources.now = status(DOWN)
    answer = await client.get("/healthz")
    assert answer.status == 503
    assert answer.json["reasons"] == ["no device delivers good values"]


async def test_metrics_are_prometheus_text(client: Client) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\ngongfu_edge_healthy 1\n" in answer.body


async def test_latest_values_with_quality_and_without_nan(client: Client) -> None:
    found = (await client.get("/api/latest")).json
    assert found["total"] == 4
    by_tag = {each["tag"]: each for each in found["values"]}
    assert by_tag["press-1.oil_temp"]["value"] == 43.25
    assert by_tag["press-1.oil_temp"]["time"] == "2026-11-24T05:59:59.600Z"
    assert by_tag["press-1.recipe"]["value"] == EVIL
    assert by_tag["press-1.speed"]["value"] is None
    assert by_tag["press-1.speed"]["quality_cause"] == "invalid"
    assert by_tag["meter-1.p_total"]["time"] is None


async def test_latest_values_can_be_found_and_limited(client: Client, sources: Shown) -> None:
    sources.values = [Value(f"line.Zone[{n}]", NOW, float(n), 0) for n in range(50)]
    found = (await client.get("/api/latest?match=zone%5B1&limit=3")).json
    assert found["total"] == 11
    assert [each["tag"] for each in found["values"]] == ["line.Zone[1]", "line.Zone[10]", "line.Zone[11]"]


async def test_series_is_what_was_recorded(client: Client) -> None:
    path = "/api/series?tag=press-1.oil_temp&from=2026-11-24T05:59:58Z&to=2026-11-24T14:00:00%2B08:00"
    found = (await client.get(path)).json
    assert not found["truncated"]
    assert [each["time"] for each in found["samples"]] == ["2026-11-24T05:59:58.000Z", "2026-11-24T05:59:59.000Z"]
    assert found["samples"][-1] | {"time": ""} == {
        "time": "",
        "value": None,
        "quality": "bad",
        "quality_cause": "timeout",
    }


async def test_series_of_the_last_minutes(client: Client) -> None:
    found = (await client.get("/api/series?tag=press-1.oil_temp&from=2m")).json
    assert len(found["samples"]) == 120


async def test_long_series_is_cut_and_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.console.api.MOST_SAMPLES", 10)
    found = (await client.get("/api/series?tag=press-1.oil_temp")).json
    assert found["truncated"]
    assert len(found["samples"]) == 10


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/series", 404),
        ("/api/series?tag=press-1.nothing", 404),
        ("/api/series?tag=press-1.oil_temp&from=yesterday", 400),
        ("/api/series?tag=press-1.oil_temp&from=2026-11-24T05:00:00Z&to=2026-11-24T04:00:00Z", 400),
        ("/api/series?tag=press-1.oil_temp&from=25h", 400),
        ("/api/series?tag=press-1.oil_temp&from=999999999d", 400),
        (f"/api/series?tag=press-1.oil_temp&from={'9' * 5000}d", 400),
        ("/api/series?tag=press-1.oil_temp&from=0001-01-01T00:00:00%2B14:00&to=0001-01-01T01:00:00%2B14:00", 400),
        ("/api/series?tag=press-1.oil_temp&from=9999-12-31T23:00:00-14:00&to=9999-12-31T23:59:59-14:00", 400),
        ("/api/series?tag=press-1.oil_temp&from=1969-12-31T23:00:00Z&to=1970-01-01T01:00:00Z", 400),
        ("/api/digests?limit=-1", 400),
        ("/api/latest?limit=x", 400),
        ("/etc/passwd", 404),
        ("/../page.js", 404),
        ("/page/index.html", 404),
        ("/api/status/", 404),
    ],
)
async def test_wrong_request_is_explained(client: Client, path: str, code: int) -> None:
    answer = await client.get(path)
    assert answer.status == code
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["detail"]


async def test_store_that_gives_nothing_is_503(client: Client, sources: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise StoreUnavailable("disk I/O error", remedy="look at the disk")

    monkeypatch.setattr(sources.store, "digests", fail)
    answer = await client.get("/api/digests")
    assert answer.status == 503
    assert "look at the disk" in answer.json["detail"]


async def test_prescriptions_are_shown_with_their_state_and_without_notes(
    client: Client, sources: Shown, tmp_path: Path
) -> None:
    assert (await client.get("/api/prescriptions")).json == {"prescriptions": []}
    wang = Signer("Wang Wei")
    desk = Desk(tmp_path / "prescriptions", trusting(wang))
    desk.inbox().take(offer(signed(wang, text={"en": EVIL}), signed(Signer("Mallory"), id="rx-2")))
    made = Decision(revision=1, state="adopted", at_us=NOW_US, on="2026-09-20", note="Mr Li")
    desk.book.decide("rx-1", made)
    console = Console("127.0.0.1:0", sources, prescriptions=lambda: listed(desk.book, NOW_US, ZONE))
    await console.start()
    try:
        found = await Client(console.address[1]).get("/api/prescriptions")
    finally:
        await console.stop()
    one, two = found.json["prescriptions"]
    assert (one["id"], one["state"], one["adopted_on"], one["text"]["en"]) == ("rx-1", "adopted", "2026-09-20", EVIL)
    assert one["target"]["indicator"] == "ENPI.IDLE_SHARE" and b"Mr Li" not in found.body
    assert (two["id"], two["state"]) == ("rx-2", "refused") and two["reason"].startswith("not_trusted")


async def test_digests_newest_first_and_paged(client: Client) -> None:
    found = (await client.get("/api/digests?limit=2")).json["digests"]
    assert [(each["seq"], each["state"], each["settled"]) for each in found] == [
        (3, "pending", None),
        (2, "rejected", "2026-11-24T06:00:00.000Z"),
    ]
    assert [each["seq"] for each in (await client.get("/api/digests?before=2")).json["digests"]] == [1]


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css"])
async def test_page_loads_nothing_foreign(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status == 200
    assert b"http:" not in answer.body
    assert b"https:" not in answer.body
    assert b"innerHTML" not in answer.body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_every_answer_carries_the_security_headers(client: Client) -> None:
    for path in ("/", "/api/status", "/nothing"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Server"] == "gongfu-edge"


@pytest.mark.parametrize(("host", "code"), [("evil.example", 421), ("evil.example:8470", 421), (None, 400)])
async def test_dns_rebinding_is_refused(client: Client, host: str | None, code: int) -> None:
    answer = await client.get("/api/status", host=host)
    assert answer.status == code
    assert b"press-shop-1" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_only_get_exists(client: Client, method: str) -> None:
    answer = await client.get("/api/status", method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"


async def test_garbage_is_answered_and_the_next_one_served(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert (await client.send(b"\x16\x03\x01 not HTTP\r\n\r\n")).status == 400
    assert (await client.send(b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n")).status == 400
    assert (await client.get("/healthz")).status == 200
    assert not caplog.records  # a port scanner must not fill the journal


async def test_bug_behind_the_api_is_logged_and_costs_one_answer(
    client: Client, sources: Shown, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sources, "status", lambda: 1 / 0)
    assert (await client.get("/api/status")).status == 500
    assert any(record.exc_info for record in caplog.records)
    assert (await client.get("/api/digests")).status == 200


async def test_port_in_use_is_explained_and_can_be_tried_again(sources: Shown) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        console = Console(f"127.0.0.1:{port}", sources)
        with pytest.raises(GongfuError) as caught:
            await console.start()
        assert str(port) in str(caught.value)
        assert "another [console] listen" in caught.value.remedy
        await console.stop()
    await console.start()
    assert (await Client(port).get("/healthz")).status == 200
    await console.stop()


async def test_address_of_another_machine_is_explained(sources: Shown) -> None:
    with pytest.raises(GongfuError) as caught:
        await Console("192.0.2.1:0", sources).start()
    assert "192.0.2.1" in str(caught.value)


async def test_stop_ends_idle_connections_and_may_be_called_twice(sources: Shown) -> None:
    console = Console("127.0.0.1:0", sources)
    await console.stop()
    await console.start()
    reader, writer = await asyncio.open_connection(*console.address)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    async with asyncio.timeout(60):
        await console.stop()
        await reader.read()
    await console.stop()
    writer.close()


async def test_open_listener_is_warned_of_once(sources: Shown, caplog: pytest.LogCaptureFixture) -> None:
    console = Console("0.0.0.0:0", sources)
    await console.start()
    answer = await Client(console.address[1]).get("/healthz", host="gateway-1.local")
    await console.stop()
    assert answer.status == 200
    assert len([record for record in caplog.records if "can read every value" in record.message]) == 1
