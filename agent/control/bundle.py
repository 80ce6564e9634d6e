"""A configuration bundle: JWS in general JSON form (RFC 7515, 7.2.1), signed by administrators. Pure.

:func:`verify` makes the checks that need nothing but the bundle, in a fixed order, and names the first
that fails; what its TOML says is judged by :mod:`agent.control.content`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.config.model import EnterpriseSection
from agent.config.plain_text import hidden, hidden_in
from agent.control.envelope import (
    GATEWAY_ID,
    LARGEST,
    Envelope,
    named,
    not_trusted,
    open_envelope,
    read_time,
    show_time,
    signed_by,
)
from agent.control.reasons import HELD, Refusal
from agent.control.selector import read_selector, selects, show_target
from agent.control.trust import Admin, Trust, read_trust

LARGEST_BUNDLE = LARGEST
"""Bytes; no more than the transport takes in an answer."""
LARGEST_REVISION = 999_999_999_999_999

_REQUIRED = frozenset({"revision", "issued_at", "expires_at", "config"})
_MEMBERS = _REQUIRED | {"gateway_id", "selector", "trust"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What the administrators signed; times in UTC microseconds."""

    gateway_id: str
    """Empty: for all that ``selector`` matches."""
    selector: Mapping[str, str]
    revision: int
    issued_us: int
    expires_us: int
    config: str
    """TOML text: the whole desired overlay."""
    trust: Mapping[str, Any] | None = None
    """A new trust list (JWKS), laid over the local one."""

    @property
    def target(self) -> str:
        """Whom it is for, for a person."""
        return show_target(self.gateway_id, self.selector)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, for this gateway and newer than any before."""

    payload: Payload
    sha256: str
    signers: tuple[Admin, ...]


def verify(
    data: bytes,
    trust: Trust,
    gateway_id: str,
    enterprise: EnterpriseSection,
    *,
    now_us: int | None,
    newest: int,
) -> Bundle | Refusal:
    """The bundle in ``data``, or why it is not taken.

    ``now_us``: UTC microseconds, None while the clock is not trusted. ``newest``: the highest revision
    that was ever taken, 0: none.
    """
    try:
        envelope = read_envelope(data)
    except ValueError as error:
        return Refusal("malformed", str(error), "sign it again: gongfu-edge admin sign")
    payload = envelope.payload
    signers = signed_by(envelope, trust)
    if not trust.admins or len(signers) < trust.threshold:
        return not_trusted(envelope, signers, trust, "gongfu-edge admin sign --add")
    new = read_trust(payload.trust) if payload.trust is not None else None
    if new is not None and len(signed_by(envelope, new)) < new.threshold:
        text = f"{len(signed_by(envelope, new))} of {new.threshold} signatures of the new administrators"
        return Refusal("not_trusted", text, "let them sign it too: gongfu-edge admin sign --add")
    if not (payload.gateway_id == gateway_id if payload.gateway_id else selects(payload.selector, enterprise)):
        return Refusal("not_addressed", f"it is for {payload.target}, this is {gateway_id}")
    if now_us is None:
        expiry = show_time(payload.expires_us)
        return Refusal(HELD, f"it expires at {expiry}, and this gateway does not know the time yet")
    if now_us >= payload.expires_us:
        return Refusal(
            "expired", f"revision {payload.revision} expired at {show_time(payload.expires_us)}", "sign anew"
        )
    if payload.revision <= newest:
        text = f"revision {payload.revision} is not newer than {newest}"
        return Refusal("not_newer", text, f"sign it with a revision above {newest}")
    return Bundle(payload, envelope.sha256, signers)


def read_envelope(data: bytes) -> Envelope[Payload]:
    """A bundle's parts, unverified. Raises ValueError with what is malformed."""
    return open_envelope(data, "the bundle", read_payload)


def read_payload(value: Any) -> Payload:
    """What was signed, from its JSON value. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("the payload is no object")
    unknown, lacking = value.keys() - _MEMBERS, _REQUIRED - value.keys()
    if unknown or lacking:
        what = f"has a member {min(unknown)[:40]!r}" if unknown else f"has no {min(lacking)}"
        raise ValueError(f"the payload {what}")
    if ("gateway_id" in value) == ("selector" in value):
        raise ValueError("the payload must have either gateway_id or selector")
    gateway_id = value.get("gateway_id", "")
    if "gateway_id" in value and not (isinstance(gateway_id, str) and GATEWAY_ID.fullmatch(gateway_id)):
        raise ValueError("gateway_id is none")
    revision, config, trust = value["revision"], value["config"], value.get("trust")
    if type(revision) is not int or not 1 <= revision <= LARGEST_REVISION:
        raise ValueError(f"revision must be a whole number from 1 to {LARGEST_REVISION}")
    if not isinstance(config, str):
        raise ValueError("config must be text")
    if sign := hidden(config, "\n\r\t") or hidden_in({**value, "config": ""}):
        raise ValueError(f"the payload holds {sign}, which hides or turns what is read")
    if "trust" in value:
        named("trust", _read_new_trust, trust)
    issued, expires = (named(name, read_time, value[name]) for name in ("issued_at", "expires_at"))
    if expires <= issued:
        raise ValueError("expires_at is not after issued_at")
    return Payload(
        gateway_id=gateway_id,
        selector=read_selector(value["selector"]) if "selector" in value else {},
        revision=revision,
        issued_us=issued,
        expires_us=expires,
        config=config,
        trust=trust,
    )


def _read_new_trust(value: Any) -> None:
    if not read_trust(value).admins:
        raise ValueError("names nobody; a gateway without administrators could never be reached again")
