"""The platform's side of remote configuration: bundles in, offers out, what the gateways say of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from scripts.sandbox.platform import jose
from scripts.sandbox.platform.bundles import Admins, Affiliation, Bundle, read_bundle, with_signatures
from scripts.sandbox.platform.control_store import AuditEntry, ControlStore, Report, StoredBundle
from scripts.sandbox.platform.offers import (
    FleetRow,
    Offer,
    addresses,
    affiliation_of,
    has_failed,
    offer_of,
    report_of,
    stored_of,
)
from scripts.sandbox.platform.problems import Problem
from scripts.sandbox.platform.store import Gateway, Store

T = TypeVar("T")
MOST_VERIFYING = 4
"""Bundles that are verified at the same moment."""


class Runs(Protocol):
    """What is asked of the platform: its clock, its data, and the thread that owns the database."""

    data_dir: Path
    url: str

    def now(self) -> float: ...
    async def run(self, function: Callable[..., T], *args: Any) -> T: ...


class Control:
    """Everything but HTTP. Methods with a leading underscore run in the thread that owns the database."""

    def __init__(self, platform: Runs, store: Store) -> None:
        self._platform = platform
        self._store = store
        self._offers: list[Offer] | None = None
        self._offers_by: dict[str, Any] = {}
        self._keys: dict[str, Any] | None = None
        self._singly: set[tuple[str, str]] = set()
        self._changed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._waiting: Counter[str] = Counter()
        self._verifying = asyncio.Semaphore(MOST_VERIFYING)

    @property
    def _kept(self) -> ControlStore:
        return self._store.control

    # --- administrators --------------------------------------------------------------------------------

    def admin_keys(self) -> dict[str, Any]:
        """Their JWKS: ``admins.jwks`` in the data directory, if someone put it there.

        While somebody is writing it, those that it named before count on.
        """
        path = self._platform.data_dir / "admins.jwks"
        try:
            keys = json.loads(path.read_text("utf-8"))
            Admins.read(keys)
        except FileNotFoundError:
            keys = {"keys": []}
        except (AttributeError, TypeError, ValueError) as error:
            if self._keys is None:
                raise Problem("busy", "admins.jwks is no JWKS", headers={"Retry-After": "5"}) from error
            return self._keys
        self._keys = keys
        return self._keys

    def admins(self) -> Admins:
        """The administrators, as of now."""
        return Admins.read(self.admin_keys())

    async def authenticate(self, authorization: str) -> str:
        """The thumbprint of the administrator whom the bearer token proves. Raises Problem 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem("unauthenticated", "there is no bearer token", headers={"WWW-Authenticate": "Bearer"})
        return await self._platform.run(self._authenticate, token.strip())

    def _authenticate(self, token: str) -> str:
        kid = jose.key_id(token)
        key = self.admins().keys.get(kid)
        if key is None:
            raise Problem("unauthenticated", "kid names no administrator of this platform")
        now = self._platform.now()
        proof = jose.check_token(token, key, kid, self._platform.url, now)
        if not self._store.use_nonce(f"admin {kid}", proof.jti, proof.expires, now):
            raise Problem("unauthenticated", "jti was used before")
        return kid

    # --- bundles -----------------------------------------------------------------------------------------

    async def publish(self, data: bytes, *, for_all: bool = True) -> tuple[dict[str, Any], bool]:
        """Take a bundle; what is known of it now, and whether it is new. Raises Problem."""
        if self._verifying.locked():
            raise Problem("busy", "other bundles are being verified", headers={"Retry-After": "5"})
        # Anybody may hand in anything: what it costs to verify holds up neither the database nor many threads.
        async with self._verifying:
            admins = self.admins()
            bundle = await asyncio.to_thread(read_bundle, data, admins)
        offer, new = await self._platform.run(self._publish, bundle, admins, for_all)
        return await self._receipt(offer), new

    def _publish(self, bundle: Bundle, admins: Admins, for_all: bool) -> tuple[Offer, bool]:
        now = self._platform.now()
        known = next((each for each in self.offers() if each.stored.hash == bundle.hash), None)
        if known is None:
            try:
                self._check_new(bundle, now)
            except Problem as problem:
                self._note(bundle.signers, "refused", bundle, problem.detail)
                raise
            stored = stored_of(bundle, now, now, for_all)
            whom = "" if for_all else "to nobody yet; "
        else:
            # To whom it is offered is not for whoever has a copy of it to say.
            merged = with_signatures(known.bundle, bundle, admins)
            if merged.signers == known.bundle.signers:
                return known, False
            bundle, whom = merged, "further signature; "
            stored = stored_of(bundle, known.stored.posted, now, known.stored.for_all)
        with self._store.transaction():
            self._kept.put_bundle(stored)
        names = ", ".join(admins.name(kid) for kid in bundle.signers)
        detail = f"{whom}signed by {names}, {len(bundle.signers)} of {admins.threshold}"
        self._note(bundle.signers, "handed in", bundle, detail)
        return self._find(bundle.hash), known is None

    def _check_new(self, bundle: Bundle, now: float) -> None:
        if bundle.expires.timestamp() <= now:
            message = f"the bundle expired at {bundle.expires.isoformat()}"
            raise Problem("schema", message, problems=[{"path": "/expires_at", "message": "is in the past"}])
        mine = {gateway.id for gateway in self._store.gateways() if addresses(bundle, gateway)}
        everyone = {gateway.id: gateway for gateway in self._store.gateways()}
        for other in self.offers():
            if other.stored.revision < bundle.revision:
                break  # highest first
            same = other.bundle.target == bundle.target
            shared = next((name for name in sorted(mine) if addresses(other.bundle, everyone[name])), "")
            if same or shared:
                who = bundle.target if same else shared
                raise Problem("not-newer", f"there is revision {other.stored.revision} for {who}; sign a higher one")

    async def offer(self, kid: str, hash_: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Offer a bundle to more gateways, for the administrator ``kid``; ``wanted`` fits the schema ``Offer``."""
        return await self._receipt(await self._platform.run(self._offer, kid, hash_, wanted))

    def _offer(self, kid: str, hash_: str, wanted: Mapping[str, Any]) -> Offer:
        found = self._find(hash_)
        addressed = [each.id for each in self._store.gateways() if addresses(found.bundle, each)]
        with self._store.transaction():
            if wanted.get("all"):
                self._kept.offer_to_all(hash_)
                whom = "all"
            else:
                names = sorted(set(wanted["gateways"]) & set(addressed))
                self._kept.offer(hash_, names)
                whom = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        self._note([kid], "offered", found.bundle, f"to {whom or 'nobody'}")
        return self._find(hash_)

    def _find(self, hash_: str) -> Offer:
        self._offers = None
        found = next((each for each in self.offers() if each.stored.hash == hash_), None)
        if found is None:
            raise Problem("not-found", "there is no such bundle")
        return found

    def offers(self) -> list[Offer]:
        """Every bundle, the highest revision first. In the thread that owns the database."""
        keys = self.admin_keys()
        if self._offers is None or self._offers_by != keys:
            admins, self._offers_by = Admins.read(keys), keys
            self._singly = self._kept.offered()
            self._offers = [offer_of(each, admins) for each in self._kept.bundles()]
        return self._offers

    async def _receipt(self, offer: Offer) -> dict[str, Any]:
        gateways = await self._platform.run(self._store.gateways)
        addressed = [each for each in gateways if addresses(offer.bundle, each)]
        for gateway in addressed:
            self.wake(gateway.id)
        return {
            "hash": offer.stored.hash,
            "revision": offer.stored.revision,
            "signers": list(offer.bundle.signers),
            "threshold": self.admins().threshold,
            "addressed": len(addressed),
            "offered": sum(offer.complete and self._is_offered(offer, each.id) for each in addressed),
        }

    def _is_offered(self, offer: Offer, gateway_id: str) -> bool:
        return offer.stored.for_all or (offer.stored.hash, gateway_id) in self._singly

    def _note(self, kids: Iterable[str], action: str, bundle: Bundle, detail: str) -> None:
        admins = self.admins()
        actor = ", ".join(admins.name(kid) for kid in kids)
        subject = f"revision {bundle.revision} for {bundle.target}"
        entry = AuditEntry(at=self._platform.now(), actor=actor, action=action, subject=subject, detail=detail[:1000])
        with self._store.transaction():
            self._kept.add_audit(entry)

    # --- for gateways ------------------------------------------------------------------------------------

    async def desired(self, gateway_id: str, known: Callable[[str], bool], wait_s: float) -> StoredBundle | None:
        """The newest bundle offered to a gateway, waiting at most ``wait_s`` for one that it does not know.

        ``known``: whether the gateway has the bundle with an entity tag.
        """
        deadline = time.monotonic() + wait_s
        while True:
            changed = self._changed[gateway_id]
            found = await self._platform.run(self._news, gateway_id, known)
            left = deadline - time.monotonic()
            if (found is not None and not known(found.etag)) or left <= 0:
                return found
            self._waiting[gateway_id] += 1
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                return found
            finally:
                self._waiting[gateway_id] -= 1

    def wake(self, gateway_id: str) -> None:
        """Let its long polls look again."""
        if gateway_id in self._changed:
            self._changed.pop(gateway_id).set()

    def waiting(self, gateway_id: str) -> int:
        """How many long polls of the gateway wait for a bundle."""
        return self._waiting[gateway_id]

    def _news(self, gateway_id: str, known: Callable[[str], bool]) -> StoredBundle | None:
        gateway = self._store.gateway(gateway_id)
        offer = self._desired(gateway) if gateway else None
        if gateway is None or offer is None or (has_failed(offer, gateway) and not known(offer.stored.etag)):
            return None
        return offer.stored

    def _desired(self, gateway: Gateway) -> Offer | None:
        """The newest of all, also when it has expired: an older one would be a downgrade."""
        for offer in self.offers():
            if offer.complete and self._is_offered(offer, gateway.id) and addresses(offer.bundle, gateway):
                return offer
        return None

    async def note_report(self, gateway_id: str, status: Mapping[str, Any]) -> None:
        """Remember what a gateway says of its configuration, if that is new."""
        report = report_of(gateway_id, self._platform.now(), status)
        await self._platform.run(self._kept.add_report, report)
        if "affiliation" in status:
            await self.note_affiliation(gateway_id, status["affiliation"])

    async def note_affiliation(self, gateway_id: str, said: Any) -> None:
        """Remember where a gateway belongs; what is offered to it may depend on that."""
        if await self._platform.run(self._note_affiliation, gateway_id, said):
            self.wake(gateway_id)

    def _note_affiliation(self, gateway_id: str, said: Any) -> bool:
        text = json.dumps(Affiliation.read(said).body())
        gateway = self._store.gateway(gateway_id)
        if gateway is None or gateway.affiliation == text:
            return False
        self._store.put_affiliation(gateway_id, text)
        return True

    # --- for people ----------------------------------------------------------------------------------------

    async def fleet(self, selector: Mapping[str, str], after: str = "", gateway_id: str = "") -> list[FleetRow]:
        """The gateways that the selector fits, in the order of their ids; ``after``: those behind this id."""
        return await self._platform.run(self._fleet, selector, after, gateway_id)

    def _fleet(self, selector: Mapping[str, str], after: str, gateway_id: str) -> list[FleetRow]:
        rows = []
        for gateway in sorted(self._store.gateways(), key=lambda each: each.id):
            where = affiliation_of(gateway)
            if gateway.id > after and gateway_id in ("", gateway.id) and where.fits(selector):
                status = json.loads(gateway.status) if gateway.status else {}
                report = report_of(gateway.id, gateway.status_at, status)
                rows.append(FleetRow(gateway, where, self._desired(gateway), report, status.get("locked_until")))
        return rows

    async def history(self, gateway: Gateway) -> tuple[list[Report], list[tuple[Offer, bool]]]:
        """A gateway's states, and every bundle that addresses it with whether it is offered; newest first."""
        return await self._platform.run(self._history, gateway)

    def _history(self, gateway: Gateway) -> tuple[list[Report], list[tuple[Offer, bool]]]:
        mine = [each for each in self.offers() if addresses(each.bundle, gateway)]
        offered = [(each, each.complete and self._is_offered(each, gateway.id)) for each in mine]
        return self._kept.reports(gateway.id), offered

    async def audit(self, limit: int = 200) -> list[AuditEntry]:
        """What administrators did, newest first."""
        return await self._platform.run(self._kept.audit, limit)
