"""The platform's side of prescriptions: signed ones in, offers out, what the digests say of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, TypeVar

from joserfc.util import urlsafe_b64decode

from scripts.sandbox.platform.bundles import Admins, check_schema, holding, payload_bytes, wrong
from scripts.sandbox.platform.control_store import AuditEntry
from scripts.sandbox.platform.intake import parse_json
from scripts.sandbox.platform.prescription_store import StoredPrescription, ToldPrescription
from scripts.sandbox.platform.problems import Problem
from scripts.sandbox.platform.store import Store

T = TypeVar("T")

TYPE = "gongfu-prescription"
MOST_OPEN = 24
LARGEST = 32_000
LONGEST = timedelta(days=366)
ZONES = timedelta(days=1)
"""Somewhere it is still the day before."""


class Runs(Protocol):
    """What is asked of the platform: its clock, and the thread that owns the database."""

    def now(self) -> float: ...
    async def run(self, function: Callable[..., T], *args: Any) -> T: ...


@dataclass(frozen=True, slots=True)
class Prescription:
    """One that at least one administrator signed. ``content`` fits the schema ``Prescription``."""

    hash: str
    content: Mapping[str, Any]
    until: date
    signers: tuple[str, ...]
    """Thumbprints of the administrators whose signatures hold."""
    value: Mapping[str, Any]
    """The JWS."""

    def body(self) -> bytes:
        """As it is sent to its gateway."""
        return json.dumps(self.value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Shown:
    """A prescription as people see it: what was signed, by whom (names), and what the gateway told of it last."""

    prescription: Prescription
    signers: tuple[str, ...]
    complete: bool
    posted: float
    told: Mapping[str, Any]
    """Empty: nothing yet."""
    seq: int
    """The digest that told so."""


def read_prescription(data: bytes, admins: Admins, *, verified: bool = False) -> Prescription:
    """Verify one. Raises Problem ``malformed``, ``schema`` or ``not-trusted``.

    ``verified``: it was verified before; its signers may have left the list since.
    """
    value = parse_json(data)
    check_schema("SignedPrescription", value)
    payload = payload_bytes(value["payload"])
    content = parse_json(payload)
    check_schema("Prescription", content)
    signatures = holding((each for each in value["signatures"] if _is_typed(each["protected"])), payload, admins)
    if not signatures and not verified:
        raise Problem("not-trusted", "it is signed as a prescription by none of this platform's administrators")
    begin, until = (_date(content, name) for name in ("from", "until"))
    if not timedelta(0) <= until - begin <= LONGEST:
        raise wrong("/until", f"is not from 0 to {LONGEST.days} days behind from")
    return Prescription(
        hash=hashlib.sha256(payload).hexdigest(),
        content=content,
        until=until,
        signers=tuple(signatures),
        value=value if verified else {"payload": value["payload"], "signatures": list(signatures.values())},
    )


def _is_typed(protected: str) -> bool:
    try:
        header = parse_json(urlsafe_b64decode(protected.encode("ascii")))
    except (ValueError, Problem):
        return False
    return isinstance(header, dict) and header.get("typ") == TYPE


def _date(content: Mapping[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(content[name])
    except ValueError:
        raise wrong(f"/{name}", "is no date such as 2026-12-01") from None


class Prescribing:
    """Everything but HTTP. Methods with a leading underscore run in the thread that owns the database."""

    def __init__(self, platform: Runs, store: Store, admins: Callable[[], Admins]) -> None:
        self._platform = platform
        self._store = store
        self._admins = admins

    async def publish(self, data: bytes) -> tuple[dict[str, Any], bool]:
        """Take a prescription; what is known of it now, and whether it is new. Raises Problem."""
        return await self._platform.run(self._publish, data)

    def _publish(self, data: bytes) -> tuple[dict[str, Any], bool]:
        if len(data) > LARGEST:
            raise Problem("too-large", f"a prescription has {LARGEST} bytes at most")
        admins = self._admins()
        found = read_prescription(data, admins)
        gateway, name = found.content["gateway_id"], found.content["id"]
        if self._store.gateway(gateway) is None:
            raise Problem("not-found", f"there is no gateway {gateway}")
        stored = [each for each in self._store.prescriptions.of(gateway) if each.id == name]
        known = next((each for each in stored if each.hash == found.hash), None)
        if known is None:
            self._check_new(found, stored)
            posted = self._platform.now()
        else:
            posted = known.posted
            before = read_prescription(known.body, admins, verified=True).value
            merged = {**found.value, "signatures": [*before["signatures"], *found.value["signatures"]]}
            found = read_prescription(json.dumps(merged).encode(), admins)
        with self._store.transaction():
            self._store.prescriptions.put(_stored(found, posted))
            self._store.control.add_audit(self._audit(found, admins))
        complete = len(found.signers) >= admins.threshold
        receipt = {
            "hash": found.hash,
            "id": name,
            "revision": found.content["revision"],
            "signers": list(found.signers),
            "threshold": admins.threshold,
            "offered": complete,
        }
        return receipt, known is None

    def _check_new(self, found: Prescription, stored: list[StoredPrescription]) -> None:
        if found.until < self._earliest():
            message = f"its last day was {found.until}"
            raise Problem("schema", message, problems=[{"path": "/until", "message": "is in the past"}])
        name, newest = found.content["id"], max((each.revision for each in stored), default=0)
        if found.content["revision"] <= newest:
            raise Problem("not-newer", f"there is revision {newest} of {name}; sign a higher one")
        open_ = [each for each in self._open(found.content["gateway_id"], complete=False) if each.content["id"] != name]
        if len(open_) >= MOST_OPEN:
            raise Problem(
                "not-newer", f"{len(open_)} prescriptions are open there; withdraw some or wait for their end"
            )

    def _audit(self, found: Prescription, admins: Admins) -> AuditEntry:
        names = ", ".join(admins.name(kid) for kid in found.signers)
        what = "withdrawn" if found.content.get("withdrawn") else f"{len(found.signers)} of {admins.threshold} signed"
        subject = f"prescription {found.content['id']} revision {found.content['revision']}"
        return AuditEntry(
            at=self._platform.now(),
            actor=names,
            action="prescribed",
            subject=f"{subject} for {found.content['gateway_id']}",
            detail=what,
        )

    # --- for gateways --------------------------------------------------------------------------------------

    async def offered(self, gateway_id: str) -> tuple[bytes, str]:
        """What a gateway is offered, and its entity tag."""
        return await self._platform.run(self._offered, gateway_id)

    def _offered(self, gateway_id: str) -> tuple[bytes, str]:
        items = [each.body() for each in self._open(gateway_id, complete=True)]
        body = b'{"prescriptions":[' + b",".join(items) + b"]}"
        return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    def _open(self, gateway_id: str, *, complete: bool) -> list[Prescription]:
        """The newest of each id, as long as its last day is not over; ``complete``: only what enough have signed."""
        admins, newest = self._admins(), dict[str, Prescription]()
        for each in self._store.prescriptions.of(gateway_id):
            if each.id not in newest and not (complete and each.signers < admins.threshold):
                newest[each.id] = read_prescription(each.body, admins, verified=True)
        return [each for each in newest.values() if each.until >= self._earliest()]

    def _earliest(self) -> date:
        return datetime.fromtimestamp(self._platform.now(), UTC).date() - ZONES

    async def note_digest(self, gateway_id: str, seq: int, content: Mapping[str, Any]) -> None:
        """Remember what an accepted digest tells of prescriptions."""
        if content.get("prescriptions"):
            await self._platform.run(self._note_digest, gateway_id, seq, content["prescriptions"])

    def _note_digest(self, gateway_id: str, seq: int, lines: list[dict[str, Any]]) -> None:
        with self._store.transaction():
            for line in lines:
                told = ToldPrescription(line["id"], line["hash"], seq, json.dumps(line))
                self._store.prescriptions.note_told(gateway_id, told)

    # --- for people ------------------------------------------------------------------------------------------

    async def shown(self, gateway_id: str) -> tuple[list[Shown], list[Mapping[str, Any]]]:
        """Every prescription for a gateway, the last handed in first; and what it told of others that it was sent."""
        return await self._platform.run(self._shown, gateway_id)

    def _shown(self, gateway_id: str) -> tuple[list[Shown], list[Mapping[str, Any]]]:
        admins = self._admins()
        told = {(each.id, each.hash): each for each in self._store.prescriptions.told(gateway_id)}
        found = []
        for each in self._store.prescriptions.of(gateway_id):
            prescription = read_prescription(each.body, admins, verified=True)
            said = told.pop((each.id, each.hash), None)
            found.append(
                Shown(
                    prescription,
                    tuple(admins.name(kid) for kid in prescription.signers),
                    each.signers >= admins.threshold,
                    each.posted,
                    json.loads(said.line) if said else {},
                    said.seq if said else 0,
                )
            )
        return sorted(found, key=lambda each: -each.posted), [json.loads(each.line) for each in told.values()]


def _stored(found: Prescription, posted: float) -> StoredPrescription:
    return StoredPrescription(
        gateway=found.content["gateway_id"],
        id=found.content["id"],
        revision=found.content["revision"],
        hash=found.hash,
        signers=len(found.signers),
        posted=posted,
        body=found.body(),
    )
