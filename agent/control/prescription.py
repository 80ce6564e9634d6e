"""A prescription: what administrators sign to advise a plant, and the checks before it is taken. Pure.

It changes nothing in the plant. Its form is that of a configuration bundle with a ``typ`` and a schema of its own,
so that neither can ever be taken for the other. Its texts are plain text, for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from agent.config.digest_tables import Texts
from agent.config.plain_text import hidden
from agent.control.bundle import LARGEST_REVISION
from agent.control.envelope import (
    GATEWAY_ID,
    Envelope,
    named,
    not_trusted,
    open_envelope,
    read_time,
    signed_by,
)
from agent.control.reasons import HELD, Refusal
from agent.control.trust import Admin, Trust
from agent.digest.report import PrescribedTarget

TYPE: Final = "gongfu-prescription"
"""``typ`` of every signature's protected header."""
SCHEMA: Final = "gongfu.prescription/1"
LARGEST_PRESCRIPTION = 32_000
"""Bytes, signatures and all; as many as may be open at once fit into one answer."""
MOST_OPEN = 24
LONGEST_TEXT = 2_000
MOST_FINDINGS = 16
LARGEST_NUMBER = 1e15
LONGEST_DAYS = 366
"""Sums of days are kept for little longer."""

_MEMBERS = frozenset(
    {"schema", "gateway_id", "id", "revision", "issued_at", "findings", "text", "measure", "target", "from", "until"}
)
_TARGET = frozenset({"indicator", "machine", "side", "value"})
_CODE = re.compile(r"[A-Z0-9]{1,32}\.[A-Z0-9_]{1,64}")
_RULE = re.compile(r"[a-z0-9_]{1,64}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class FindingRef:
    """What gave rise to it: a rule, the machine or device (empty: the gateway), and the digest that told of it (0: not
    said)."""

    rule: str
    name: str
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prescription:
    """What was signed. ``begin``, ``until``: first and last day, by the plant's calendar."""

    gateway_id: str
    id: str
    revision: int
    issued_us: int
    findings: tuple[FindingRef, ...]
    text: Texts
    """What was found; English or Chinese may be empty, not both."""
    measure: Texts
    """What to do."""
    target: PrescribedTarget
    begin: date
    until: date
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """A prescription for this gateway, newer than any of its id before."""

    prescription: Prescription
    sha256: str
    signers: tuple[Admin, ...]


def verify(
    data: bytes, trust: Trust, gateway_id: str, *, now_us: int | None, zone: ZoneInfo, newest: Mapping[str, int]
) -> Verified | Refusal:
    """The prescription in ``data``, or why it is not taken.

    ``now_us``: UTC microseconds, None while the clock is not trusted. ``newest``: by id, the highest revision that
    was ever taken.
    """
    try:
        envelope = read_signed(data)
    except ValueError as error:
        return Refusal("malformed", str(error), "sign it again: gongfu-edge admin prescribe")
    found, signers = envelope.payload, signed_by(envelope, trust, (TYPE,))
    if not trust.admins or len(signers) < trust.threshold:
        return not_trusted(envelope, signers, trust, "gongfu-edge admin prescribe --add")
    if found.gateway_id != gateway_id:
        return Refusal("not_addressed", f"it is for {found.gateway_id}, this is {gateway_id}")
    if now_us is None:
        return Refusal(HELD, f"it ends on {found.until}, and this gateway does not know the time yet")
    today = datetime.fromtimestamp(now_us // 1_000_000, zone).date()
    if found.until < today:
        return Refusal("expired", f"its last day was {found.until}", "sign a revision with a later one")
    if found.revision <= newest.get(found.id, 0):
        text = f"revision {found.revision} of {found.id} is not newer than {newest[found.id]}"
        return Refusal("not_newer", text, f"sign it with a revision above {newest[found.id]}")
    return Verified(found, envelope.sha256, signers)


def read_signed(data: bytes) -> Envelope[Prescription]:
    """A signed prescription's parts, unverified. Raises ValueError with what is malformed."""
    return open_envelope(data, "the prescription", read_prescription, LARGEST_PRESCRIPTION)


def read_prescription(value: Any) -> Prescription:
    """What was signed, from its JSON value. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("the payload is no object")
    _members("the payload", value, _MEMBERS, {"withdrawn"})
    if value["schema"] != SCHEMA:
        raise ValueError(f"schema is not {SCHEMA}")
    if not (isinstance(value["gateway_id"], str) and GATEWAY_ID.fullmatch(value["gateway_id"])):
        raise ValueError("gateway_id is none")
    if not (isinstance(value["id"], str) and GATEWAY_ID.fullmatch(value["id"])):
        raise ValueError("id must be letters, digits, dots, underscores and hyphens, 64 at most")
    revision, withdrawn = value["revision"], value.get("withdrawn", False)
    if type(revision) is not int or not 1 <= revision <= LARGEST_REVISION:
        raise ValueError(f"revision must be a whole number from 1 to {LARGEST_REVISION}")
    if not isinstance(withdrawn, bool):
        raise ValueError("withdrawn must be true or false")
    begin, until = (named(name, _date, value[name]) for name in ("from", "until"))
    if not timedelta(0) <= until - begin <= timedelta(days=LONGEST_DAYS):
        raise ValueError(f"until must be at or behind from, by {LONGEST_DAYS} days at most")
    return Prescription(
        gateway_id=value["gateway_id"],
        id=value["id"],
        revision=revision,
        issued_us=named("issued_at", read_time, value["issued_at"]),
        findings=_findings(value["findings"]),
        text=named("text", _texts, value["text"]),
        measure=named("measure", _texts, value["measure"]),
        target=_target(value["target"]),
        begin=begin,
        until=until,
        withdrawn=withdrawn,
    )


def _target(value: Any) -> PrescribedTarget:
    if not isinstance(value, dict):
        raise ValueError("target must be an object")
    _members("target", value, _TARGET)
    if not (isinstance(value["indicator"], str) and _CODE.fullmatch(value["indicator"])):
        raise ValueError("target.indicator is no code such as ENPI.IDLE_SHARE")
    if value["side"] not in ("at_least", "at_most"):
        raise ValueError("target.side must be at_least or at_most")
    wanted = named("target.value", _number, value["value"])
    machine = named("target.machine", _name, value["machine"])
    if not machine:
        raise ValueError("target.machine must name a machine")
    return PrescribedTarget(indicator=value["indicator"], machine=machine, side=value["side"], value=wanted)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST_NUMBER:
        raise ValueError("must be a number")
    return float(value)


def _findings(value: Any) -> tuple[FindingRef, ...]:
    if not isinstance(value, list) or len(value) > MOST_FINDINGS:
        raise ValueError(f"findings must be a list of {MOST_FINDINGS} at most")
    return tuple(_finding(each, f"findings[{position}]") for position, each in enumerate(value))


def _finding(value: Any, where: str) -> FindingRef:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object")
    _members(where, value, frozenset({"rule", "name"}), {"seq"})
    if not (isinstance(value["rule"], str) and _RULE.fullmatch(value["rule"])):
        raise ValueError(f"{where}.rule is no rule such as idle_energy")
    seq = value.get("seq", 0)
    if type(seq) is not int or not 0 <= seq <= LARGEST_REVISION:
        raise ValueError(f"{where}.seq must be the number of a digest")
    return FindingRef(value["rule"], named(f"{where}.name", _name, value["name"]), seq)


def _texts(value: Any) -> Texts:
    if not isinstance(value, dict) or not value or value.keys() - {"en", "zh"}:
        raise ValueError("must be an object with en, zh or both")
    found = {name: named(name, _plain, each) for name, each in value.items()}
    if not any(each.strip() for each in found.values()):
        raise ValueError("is empty")
    return Texts(en=found.get("en", ""), zh=found.get("zh", ""))


def _plain(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"must be text of {LONGEST_TEXT} characters at most")
    if hidden(value, "\n"):
        raise ValueError("holds control characters; plain text is meant")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 255 or hidden(value):
        raise ValueError("must be a name of 255 characters at most")
    return value


def _date(value: Any) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError("is no date such as 2026-12-01")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no date such as 2026-12-01") from None


def _members(what: str, value: Mapping[str, Any], needed: frozenset[str], more: set[str] | None = None) -> None:
    unknown, lacking = value.keys() - needed - (more or set()), needed - value.keys()
    if unknown or lacking:
        raise ValueError(f"{what} " + (f"has a member {min(unknown)[:40]!r}" if unknown else f"has no {min(lacking)}"))
