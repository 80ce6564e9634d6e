"""What a bundle is to the gateways that it addresses, and what they say of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scripts.sandbox.platform.bundles import Admins, Affiliation, Bundle, read_bundle
from scripts.sandbox.platform.control_store import Report, StoredBundle
from scripts.sandbox.platform.store import Gateway

HELD = ("locked", "clock_untrusted")
"""Reason codes of what the gateway still means to look at."""
STATES = ("UNSET", "APPLYING", "APPLIED", "FAILED")


@dataclass(frozen=True, slots=True)
class Offer:
    """A bundle, as it stands with the platform."""

    bundle: Bundle
    stored: StoredBundle
    complete: bool
    """Whether as many administrators have signed as the threshold asks for."""
    signers: tuple[str, ...] = ()
    """Their names, as far as they are administrators still."""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One gateway: what it shall run (None: nothing is offered to it) and what it said last."""

    gateway: Gateway
    affiliation: Affiliation
    desired: Offer | None
    report: Report
    locked_until: str | None

    @property
    def drift(self) -> bool:
        """Whether it runs something else than it shall."""
        return self.desired is not None and self.report.running_revision != self.desired.stored.revision

    def body(self) -> dict[str, Any]:
        """As the contract shows it."""
        said, desired = self.report, self.desired
        status = json.loads(self.gateway.status) if self.gateway.status else {}
        return {
            "id": self.gateway.id,
            "hostname": self.gateway.hostname,
            "version": str(status.get("version") or self.gateway.version),
            "affiliation": self.affiliation.body(),
            "last_seen": utc(self.gateway.last_seen),
            "desired_revision": desired.stored.revision if desired else 0,
            "desired_hash": desired.stored.hash if desired else None,
            "running_revision": said.running_revision,
            "running_hash": said.running_hash,
            "attempted_revision": said.attempted_revision,
            "attempted_hash": said.attempted_hash,
            "state": said.state,
            "last_error": said.last_error,
            "drift": self.drift,
            "locked_until": self.locked_until,
            "encryption_key": json.loads(self.gateway.encryption_key) if self.gateway.encryption_key else None,
        }


def affiliation_of(gateway: Gateway) -> Affiliation:
    """Where it said last that it belongs."""
    return Affiliation.read(json.loads(gateway.affiliation) if gateway.affiliation else {})


def utc(seconds: float) -> str:
    """ISO 8601 with Z, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def addresses(bundle: Bundle, gateway: Gateway) -> bool:
    """Whether a bundle is for this gateway."""
    return bundle.addresses(gateway.id, affiliation_of(gateway))


def has_failed(offer: Offer, gateway: Gateway) -> bool:
    """Whether the gateway has said, since the bundle changed last, that it does not take it."""
    if not gateway.status or gateway.status_at < offer.stored.changed:
        return False
    said = report_of(gateway.id, 0, json.loads(gateway.status))
    of_this = said.attempted_revision == offer.stored.revision or said.attempted_hash == offer.stored.hash
    held = said.last_error.partition(":")[0] in HELD
    return said.state == "FAILED" and of_this and not held and said.running_revision != offer.stored.revision


def offer_of(stored: StoredBundle, admins: Admins) -> Offer:
    """A stored bundle, as the administrators stand now."""
    bundle = read_bundle(stored.body, admins, verified=True)
    names = tuple(admins.name(kid) for kid in bundle.signers)
    return Offer(bundle, stored, stored.signers >= admins.threshold, names)


def stored_of(bundle: Bundle, posted: float, changed: float, for_all: bool) -> StoredBundle:
    """A bundle as it is kept; ``posted`` first, ``changed`` last."""
    return StoredBundle(
        hash=bundle.hash,
        etag=bundle.etag,
        revision=bundle.revision,
        signers=len(bundle.signers),
        posted=posted,
        changed=changed,
        for_all=for_all,
        body=bundle.body(),
    )


def report_of(gateway_id: str, at: float, status: Mapping[str, Any]) -> Report:
    """What a status says of the configuration; whatever is no such word or number is none."""

    def whole(name: str) -> int:
        value = status.get(name)
        return value if type(value) is int and 0 <= value < 2**63 else 0

    def text(name: str) -> str:
        return str(status.get(name) or "").encode("utf-8", "replace").decode("utf-8")[:4000]

    return Report(
        gateway=gateway_id,
        at=at,
        state=text("state") if status.get("state") in STATES else "UNSET",
        running_revision=whole("running_revision"),
        attempted_revision=whole("attempted_revision"),
        running_hash=text("running_hash"),
        attempted_hash=text("attempted_hash"),
        last_error=text("last_error"),
    )
