"""The platform's own work: enrolment, delivery, configuration, status. Knows no HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scripts.sandbox.platform import jose
from scripts.sandbox.platform.control import Control
from scripts.sandbox.platform.intake import Link, Verdict, examine
from scripts.sandbox.platform.prescriptions import Prescribing
from scripts.sandbox.platform.problems import Problem
from scripts.sandbox.platform.store import Gateway, Store, StoredDigest, Token
from scripts.sandbox.platform.verify import ChainReport, verify_all, verify_chain

T = TypeVar("T")

CONTRACT = "1.1"
"""Version of the contract that is spoken here."""
TOKEN_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no characters that are mistaken for others on paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits (bytes) and hooks that tests may change. ``clock`` gives UTC seconds."""

    max_compressed: int = 2_000_000
    max_digest: int = 8_000_000
    max_json: int = 256_000
    faults: bool = False
    """Whether faults may be switched on over HTTP, by anybody on this machine: for tests alone."""
    clock: Callable[[], float] = time.time
    assign_id: Callable[[str], str] = jose.own_id
    """Key thumbprint → gateway id. By default the id that the gateway calls itself before enrolment."""


class Platform:
    """One platform over one data directory. Its database is used by a single thread of its own."""

    def __init__(self, data_dir: Path, url: str, settings: Settings | None = None) -> None:
        self.data_dir = data_dir
        self.url = url
        """Base URL with path: the audience of bearer tokens."""
        self.settings = settings or Settings()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="platform-db")
        self._store = Store(data_dir)
        self.control = Control(self, self._store)
        self.prescribing = Prescribing(self, self._store, self.control.admins)
        self._verified: dict[tuple[str, str], ChainReport] = {}

    def now(self) -> float:
        """UTC seconds."""
        return self.settings.clock()

    async def close(self) -> None:
        """Close the database."""
        await self.run(self._store.close)
        self._executor.shutdown()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the thread that owns the database."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run ``function(store, *args)`` in the thread that owns the database."""
        return await self.run(function, self._store, *args)

    # --- enrolment -----------------------------------------------------------------------------------

    async def make_token(self, *, lifetime_s: float = 86_400.0, enterprise: str = "") -> str:
        """A new one-time token."""
        return await self.run(make_token, self._store, self.settings.clock(), lifetime_s, enterprise)

    async def enroll(self, request: dict[str, Any]) -> dict[str, Any]:
        """Exchange a token for an identity; ``request`` fits the schema ``Enrollment``."""
        key = jose.import_public_key(request["public_key"])
        if "proof" in request:
            jose.check_proof(request, key)
        thumbprint = key.thumbprint()
        return await self.run(self._enroll, request, thumbprint, key.as_dict(private=False))

    def _enroll(self, request: dict[str, Any], thumbprint: str, jwk: dict[str, Any]) -> dict[str, Any]:
        now = self.settings.clock()
        with self._store.transaction():
            token = self._store.token(_hash_token(request["token"]))
            # The same key with its used token is a repeat after a lost answer, even when the token has expired since.
            if token is None or (token.used_by and token.used_by != thumbprint):
                raise Problem("token-refused", "the token is unknown or was used by another gateway")
            if not token.used_by and token.expires < now:
                raise Problem("token-refused", "the token has expired")
            known = self._store.gateway_by_key(thumbprint)
            if known and known.encryption_key != (_encryption_key(request) or known.encryption_key):
                _demand_proof(request)
            gateway_id = known.id if known else self.settings.assign_id(thumbprint)
            self._store.use_token(token.hash, thumbprint)
            self._store.put_gateway(
                Gateway(
                    id=gateway_id,
                    thumbprint=thumbprint,
                    public_key=json.dumps({name: jwk[name] for name in ("kty", "crv", "x")}),
                    hostname=_text(request.get("hostname", "")),
                    hardware=_text(request.get("hardware", "")),
                    version=_text(request.get("version", "")),
                    enrolled=now,
                    last_seen=now,
                    encryption_key=_encryption_key(request),
                )
            )
        answer: dict[str, Any] = {"gateway_id": gateway_id, "admins": self.control.admin_keys(), "contract": CONTRACT}
        if token.enterprise:
            answer["enterprise"] = token.enterprise
        return answer

    # --- authentication ------------------------------------------------------------------------------

    async def authenticate(self, gateway_id: str, authorization: str) -> Gateway:
        """The gateway that the bearer token proves. Raises Problem 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem("unauthenticated", "there is no bearer token", headers={"WWW-Authenticate": "Bearer"})
        return await self.run(self._authenticate, gateway_id, token.strip())

    def _authenticate(self, gateway_id: str, token: str) -> Gateway:
        gateway = self._store.gateway(gateway_id)
        if gateway is None:
            raise Problem("unauthenticated", "this gateway is not enrolled here")
        key = jose.import_public_key(json.loads(gateway.public_key))
        now = self.settings.clock()
        proof = jose.check_token(token, key, gateway_id, self.url, now)
        if not self._store.use_nonce(gateway_id, proof.jti, proof.expires, now):
            raise Problem("unauthenticated", "jti was used before")
        self._store.seen(gateway_id, now)
        return gateway

    # --- digests -------------------------------------------------------------------------------------

    async def deliver(self, gateway: Gateway, stream: str, seq: int, body: bytes, signature: str) -> tuple[str, bool]:
        """Take a digest; its hash, and False when the same bytes were stored already. Raises Problem."""
        stored = await self.run(self._deliver, gateway, stream, seq, body, signature)
        if stored[1] and not stream:
            content = json.loads(body)
            await self.control.note_affiliation(gateway.id, content.get("affiliation"))
            await self.prescribing.note_digest(gateway.id, seq, content)
        return stored

    def _deliver(self, gateway: Gateway, stream: str, seq: int, body: bytes, signature: str) -> tuple[str, bool]:
        jose.check_detached(signature, body, jose.import_public_key(json.loads(gateway.public_key)))
        with self._store.transaction():
            head = self._head(gateway.id, stream)
            stored = self._store.digest(gateway.id, stream, seq)
            if stored is not None:
                _check_repeat(stored, body, head)
                return stored.hash, False
            now = self.settings.clock()
            verdict = examine(body, seq, head, {gateway.id, jose.own_id(gateway.thumbprint)}, now, stream)
            self._store.add_digest(_record(gateway.id, stream, seq, verdict, body, signature, now))
        if verdict.problems:
            new_head = Link(seq, verdict.hash).body()
            raise Problem("schema", verdict.reason, problems=verdict.problems, head=new_head, stored=True)
        return verdict.hash, True

    async def head(self, gateway_id: str, stream: str) -> dict[str, Any]:
        """The last place of a chain, as the contract shows it: with its kind, and how far its periods go."""
        return await self.run(self._shown_head, gateway_id, stream)

    def _shown_head(self, gateway_id: str, stream: str) -> dict[str, Any]:
        head = self._store.head(gateway_id, stream)
        period = self._store.latest_accepted(gateway_id, stream)
        told: dict[str, Any] = self._head(gateway_id, stream).body()
        if head is not None:
            told |= {"signature": head.jws, "contract": CONTRACT}
        if head is not None and head.kind and period is not None:
            told |= {"kind": head.kind, "period_end": json.loads(period.body)["header"]["period"]["end"]}
        return told

    def _head(self, gateway_id: str, stream: str) -> Link:
        last = self._store.head(gateway_id, stream)
        return Link(last.seq, last.hash) if last else Link()

    # --- status --------------------------------------------------------------------------------------

    async def put_status(self, gateway_id: str, status: dict[str, Any], text: str) -> None:
        """Keep the gateway's latest status; ``text``: as it was sent."""
        await self.run(self._store.put_status, gateway_id, text, self.now())
        await self.control.note_report(gateway_id, status)

    # --- verification --------------------------------------------------------------------------------

    async def reports(self) -> list[ChainReport]:
        """Every gateway's every chain, verified now from the stored bytes."""
        return await self.run(verify_all, self._store)

    async def report(self, gateway: Gateway, stream: str = "") -> ChainReport:
        """One chain, verified when it was last seen to grow; for pages that are looked at often."""
        return await self.run(self._report, gateway, stream)

    def _report(self, gateway: Gateway, stream: str) -> ChainReport:
        known = self._verified.get((gateway.id, stream))
        head = self._head(gateway.id, stream)
        if known is None or (known.head_seq, known.head_hash) != (head.seq, head.hash):
            known = self._verified[gateway.id, stream] = verify_chain(self._store, gateway, stream)
        return known


def make_token(store: Store, now: float, lifetime_s: float, enterprise: str = "") -> str:
    """A new one-time token, of which only the hash is kept."""
    letters = "".join(secrets.choice(TOKEN_ALPHABET) for _ in range(16))
    token = "-".join(letters[at : at + 4] for at in range(0, 16, 4))
    store.add_token(Token(hash=_hash_token(token), expires=now + lifetime_s, enterprise=enterprise, used_by=""))
    return token


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.strip().upper().encode("utf-8", "replace")).hexdigest()


def _encryption_key(request: dict[str, Any]) -> str:
    jwk = request.get("encryption_key")
    return json.dumps({name: jwk[name] for name in ("kty", "crv", "x")}) if jwk else ""


def _demand_proof(request: dict[str, Any]) -> None:
    """A public key is no secret: with a token, whoever has seen it could have secrets sealed for a key of theirs."""
    if "proof" not in request:
        raise Problem("token-refused", "a known gateway changes its encryption key only with a proof that it is it")


def _text(value: str) -> str:
    """Free of lone surrogates, which neither SQLite nor HTML can hold."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _check_repeat(stored: StoredDigest, body: bytes, head: Link) -> None:
    if hashlib.sha256(body).hexdigest() != stored.hash:
        raise Problem("other-bytes", f"digest {stored.seq} is stored with other bytes", head=head.body())
    if stored.state == "rejected":
        raise Problem("schema", stored.reason, head=head.body(), stored=True)


def _record(
    gateway_id: str, stream: str, seq: int, verdict: Verdict, body: bytes, signature: str, now: float
) -> StoredDigest:
    rejected = bool(verdict.problems)
    kind = "" if rejected else str(json.loads(body)["kind"])
    return StoredDigest(
        gateway=gateway_id,
        stream=stream,
        seq=seq,
        hash=verdict.hash,
        previous=verdict.previous,
        state="rejected" if rejected else "accepted",
        reason=_text(verdict.reason),
        received=now,
        size=len(body),
        body=b"" if rejected else body,
        jws=signature,
        kind=kind,
    )
