"""A gateway of few lines, independent of the agent's own code, that holds each answer against the contract."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from joserfc import jws, jwt
from joserfc.jwk import OKPKey

from scripts.sandbox.platform import RunningPlatform, Settings, serve
from tests.support.platform_contract import check_answer

GENESIS = "0" * 64
START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
PERIOD = timedelta(minutes=15)


def make_digest(seq: int, previous: str, gateway: str, **changes: Any) -> dict[str, Any]:
    """A whole digest of one device; ``changes`` replace members."""
    start = START + PERIOD * (seq - 1)
    counts = {"expected": 900, "good": 870, "uncertain": 3, "bad": 20, "missing": 10, "late": 2, "disconnects": 1}
    device = {
        "name": "press-1", "interval_s": 1.0, "points": 1, **counts, "bad_causes": {"timeout": 20},
        "longest_gap_s": 12.5, "drops": {"shed_cap": 4}, "grade": "A",
    }  # fmt: skip
    return {
        "schema": "gongfu.digest/1",
        "kind": "period",
        "header": {
            "gateway": gateway, "seq": seq, "previous": previous,
            "period": {"start": utc(start), "end": utc(start + PERIOD)}, "timezone": "Asia/Shanghai", "revision": 0,
            "config_hash": "ab" * 32, "agent_version": "0.1.0",
            "clock": {"trusted": True, "source": "ntp", "offset_s": 0.002},
        },
        "affiliation": {
            "enterprise": "Example Press Works 示例冲压厂", "credit_code": "91350100M000100Y43",
            "above_designated_size": False, "industry": "3311", "district": "310109", "town": "", "park": "hongkou-01",
            "chains": [{"name": "auto-parts", "owner": "91350100M000100Y43", "role": "tier-2"}], "operator": "CT",
            "uplink": "5g", "service_provider": "", "diagnosis_id": "",
        },
        "coverage": {
            "inventory": {"total": 24, "digital": 15, "configured": 2, "networked": 1},
            "devices": [device, {**device, "name": "meter-1", "good": 500, "missing": 380, "grade": "C"}],
            "total": {**counts, "drops": {"shed_cap": 4}, "restarts": 1, "agent_downtime_s": 4.2, "grade": "B"},
            "grades": "gongfu.grades/1",
        },
        "tags": _tags(),
        "ledger": [{
            "start": utc(start), "end": utc(start + PERIOD / 3), "cause": "shed_cap", "device": "press-1",
            "tag": "", "count": 4, "entries": 1,
        }],
        **changes,
    }  # fmt: skip


def _tags() -> list[dict[str, Any]]:
    base = {"unit": "", "expected": 900, "good": 870, "bad": 20, "missing": 10, "known_s": 880.0}
    gauge = {
        "mean": 42.75, "min": 40.1, "max": 47.25, "std": 1.25, "first": 41.0, "last": 43.5, "p05": 40.5, "p50": 42.5,
        "p95": 46.0,
    }  # fmt: skip
    counter = {
        "first": 65530.0,
        "last": 12.0,
        "delta": 18.0,
        "resets": 0,
        "rollovers": 1,
        "decrements": 0,
        "stuck": False,
    }
    return [
        {**base, "name": "press-1.oil_temp", "kind": "gauge", "unit": "°C", **gauge},
        {**base, "name": "press-1.total", "kind": "counter", **counter},
        {**base, "name": "press-1.state", "kind": "state", "seconds": {"2": 700.0, "1": 150.0, "3": 30.0}},
        {**base, "name": "press-1.force", "kind": "gauge", "good": 2, "reason": "fewer than 3 samples"},
    ]


def utc(moment: datetime) -> str:
    """ISO 8601 with Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(digest: Any) -> bytes:
    """Bytes as a gateway sends them."""
    return json.dumps(digest, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class FakeGateway:
    """A key and what one does with it. ``clock`` gives UTC seconds."""

    def __init__(self, running: RunningPlatform, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.session = session
        self.key = OKPKey.generate_key("Ed25519")
        self.id = ""
        self.seq, self.previous = 0, GENESIS
        self.clock: Callable[[], float] = time.time

    @property
    def public_key(self) -> dict[str, Any]:
        """As JWK."""
        return dict(self.key.as_dict(private=False))

    async def request(self, method: str, path: str, *, checked: bool = True, **arguments: Any) -> Answer:
        """Send, read, and hold the answer against the contract."""
        async with self.session.request(method, self.running.url + path, **arguments) as response:
            answer = Answer(response.status, response.headers, await response.read())
        if checked:
            check_answer(method, path, answer.status, answer.headers, answer.body)
        return answer

    async def enroll(self, token: str | None = None, **changes: Any) -> Answer:
        """Enrol with a token, by default a new one."""
        token = token if token is not None else await self.running.platform.make_token()
        body = {"token": token, "public_key": self.public_key, "hostname": "press-shop-1", "hardware": "Raspberry Pi 5"}
        answer = await self.request("POST", "/enrollments", json={**body, "version": "0.1.0", **changes})
        if answer.status == 201:
            self.id = answer.json["gateway_id"]
        return answer

    def proof(self, token: str, encryption_key: Any, *, key: Any = None, **changes: Any) -> str:
        """That this gateway asks to be enrolled with a token and an encryption key; ``changes`` replace claims."""
        header = {"alg": "EdDSA", "typ": changes.pop("typ", "gongfu-enrolment")}
        claims = {
            "token_hash": hashlib.sha256(token.encode()).hexdigest(), "public_key": self.public_key,
            "encryption_key": encryption_key, "time": int(self.clock()), **changes,
        }  # fmt: skip
        return jws.serialize_compact(header, json.dumps(claims).encode(), key or self.key, algorithms=["EdDSA"])

    def token(self, *, key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A bearer token; ``changes`` replace claims, None removes one."""
        claims = {
            "iss": self.id, "sub": self.id, "aud": self.running.url, "exp": int(self.clock()) + 240,
            "jti": uuid.uuid4().hex, **changes,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(header or {"alg": "EdDSA"}, claims, key or self.key, algorithms=["EdDSA", "HS256", "none"])

    def authorized(self, token: str | None = None) -> dict[str, str]:
        """Headers with a bearer token."""
        return {"Authorization": f"Bearer {token or self.token()}"}

    def sign(self, body: bytes, key: Any = None) -> str:
        """Detached JWS."""
        compact = jws.serialize_compact({"alg": "EdDSA"}, body, key or self.key, algorithms=["EdDSA"])
        head, _, signature = compact.split(".")
        return f"{head}..{signature}"

    def next_body(self, **changes: Any) -> bytes:
        """Bytes of the digest that comes next."""
        return encode(make_digest(self.seq + 1, self.previous, self.id, **changes))

    async def put(self, body: bytes, seq: int | None = None, **options: Any) -> Answer:
        """Deliver bytes. ``signature``, ``sent`` (as it travels), ``token``, ``encoding``, ``stream`` as asked."""
        headers = self.authorized(options.get("token"))
        signature = options.get("signature", self.sign(body))
        if signature is not None:
            headers["Digest-Signature"] = signature
        encoding = options.get("encoding", "gzip")
        if encoding:
            headers["Content-Encoding"] = encoding
        sent = options.get("sent", gzip.compress(body) if encoding == "gzip" else body)
        number = self.seq + 1 if seq is None else seq
        stream = f"/streams/{options['stream']}" if options.get("stream") else ""
        path = f"/gateways/{self.id}{stream}/digests/{number}"
        headers["Content-Type"] = "application/json"
        return await self.request("PUT", path, data=sent, headers=headers)

    async def deliver(self, **changes: Any) -> Answer:
        """Deliver the next digest and move on when the platform has taken its place."""
        body = self.next_body(**changes)
        answer = await self.put(body)
        if answer.status == 201 or answer.json.get("stored"):
            self.seq, self.previous = self.seq + 1, hashlib.sha256(body).hexdigest()
        return answer

    async def report(self, **members: Any) -> Answer:
        """Report a status; ``members`` replace those of one that says nothing."""
        empty = {"running_hash": "", "attempted_hash": "", "state": "UNSET", "last_error": "", "version": "0.1.0"}
        path = f"/gateways/{self.id}/status"
        return await self.request("PUT", path, json={**empty, **members}, headers=self.authorized())

    async def get(self, path: str, **headers: str) -> Answer:
        """GET below the gateway's own address."""
        return await self.request("GET", f"/gateways/{self.id}{path}", headers={**self.authorized(), **headers})


async def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds; fail after a minute."""
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the condition never held")


@asynccontextmanager
async def platform_with_gateway(
    data_dir: Path, *, enrolled: bool = True, settings: Settings | None = None
) -> AsyncIterator[tuple[RunningPlatform, FakeGateway]]:
    """A running platform, and a gateway that it knows (``enrolled``) or not yet."""
    async with serve(data_dir, settings=settings) as running, aiohttp.ClientSession() as session:
        session._retry_connection = False  # else aiohttp's client repeats a PUT whose answer was lost, by itself
        gateway = FakeGateway(running, session)
        if enrolled:
            assert (await gateway.enroll()).status == 201
        yield running, gateway
