"""The platform as its administrators see it: bundles in, the state of the fleet out. For commands; blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import msgspec

from agent.control.admin_key import AdminKey
from agent.errors import GongfuError
from agent.uplink.answers import Answer
from agent.uplink.transport import Transport

T = TypeVar("T")
MOST_OFFERED = 1_000
"""Gateways that one request names."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway, as the contract's ``FleetGateway`` has it."""

    id: str
    hostname: str
    version: str
    affiliation: dict[str, Any]
    last_seen: str
    desired_revision: int
    desired_hash: str | None
    running_revision: int
    running_hash: str
    attempted_revision: int
    attempted_hash: str
    state: Literal["UNSET", "APPLYING", "APPLIED", "FAILED"]
    last_error: str
    drift: bool
    locked_until: str | None
    encryption_key: dict[str, Any] | None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform knows of a bundle."""

    hash: str
    revision: int
    signers: list[str]
    threshold: int
    addressed: int
    offered: int


class PrescriptionReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform knows of a prescription."""

    hash: str
    id: str
    revision: int
    signers: list[str]
    threshold: int
    offered: bool


class _Page(msgspec.Struct, frozen=True):
    gateways: list[Member]
    next: str | None


class Busy(GongfuError):
    """The platform cannot be reached or has no time now: try again."""


class Fleet:
    """One platform and the key by which it knows the administrator."""

    def __init__(self, url: str, key: AdminKey, *, ca_file: str = "", proxy: str = "") -> None:
        self._transport = Transport(url, ca_file=ca_file, proxy=proxy)
        self._key = key

    def hand_in(self, bundle: bytes, *, for_all: bool) -> Receipt:
        """Hand in a bundle. ``for_all``: offer it at once to everybody whom it addresses. Raises GongfuError."""
        path = f"/bundles?offer={'all' if for_all else 'none'}"
        return self._ask("POST", path, bundle, "application/jose+json", Receipt)

    def prescribe(self, signed: bytes) -> PrescriptionReceipt:
        """Hand in a prescription. Raises GongfuError."""
        return self._ask("POST", "/prescriptions", signed, "application/jose+json", PrescriptionReceipt)

    def offer(self, hash_: str, gateways: Sequence[str] | None) -> None:
        """Offer a bundle to these gateways too; None: to all that it addresses, now and later."""
        if gateways is None:
            self._ask("PUT", f"/bundles/{hash_}/offer", b'{"all": true}', "application/json", Receipt)
            return
        for start in range(0, len(gateways), MOST_OFFERED):
            body = msgspec.json.encode({"gateways": list(gateways[start : start + MOST_OFFERED])})
            self._ask("PUT", f"/bundles/{hash_}/offer", body, "application/json", Receipt)

    def members(self, selector: Mapping[str, str], gateway_id: str = "") -> list[Member]:
        """The gateways that a selector fits (empty: all), in the order of their ids."""
        wanted = {**selector, **({"id": gateway_id} if gateway_id else {})}
        found: list[Member] = []
        after: dict[str, str] = {}
        while True:
            page = self._ask("GET", f"/fleet?{urlencode({**wanted, **after})}", b"", "application/json", _Page)
            found += page.gateways
            if not page.next:
                return found
            after = {"after": page.next}

    def _ask(self, method: str, path: str, body: bytes, media: str, kind: type[T]) -> T:
        url = self._transport.url
        headers = {"Content-Type": media, "Authorization": f"Bearer {self._key.token(url)}"}
        try:
            answer = self._transport.request_now(method, path, headers, body)
        except GongfuError as error:
            raise Busy(str(error), remedy=error.remedy or "check --url and the network") from error
        if answer.status not in (200, 201):
            raise _refused(answer, url)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GongfuError(f"{url} answers, but not as a platform does ({error})", remedy="check --url") from error


def _refused(answer: Answer, url: str) -> GongfuError:
    remedies = {
        401: "is your key among the platform's administrators, and does your clock go right?",
        403: "let an administrator sign it whom the platform knows",
        404: "check --url (it ends in /api/v1 or the like) and the gateway's id",
        409: "sign it with a higher revision; gongfu-edge admin status shows the newest",
    }
    error = Busy if answer.status in (408, 429) or answer.status >= 500 else GongfuError
    return error(f"{url}: {answer.reason()}", remedy=remedies.get(answer.status, ""))
