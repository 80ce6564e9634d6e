"""Making a prescription from what an administrator wrote, and adding a signature to one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.config.parse import read_text, tables
from agent.control.admin_key import AdminKey
from agent.control.envelope import Envelope, show_time
from agent.control.prescription import SCHEMA, TYPE, Prescription, read_signed
from agent.control.strict import read_base64url, write_base64url
from agent.digest.effect import known_indicators
from agent.errors import GongfuError

_KEYS = ("id", "revision", "gateway", "from", "until", "text", "measure", "target", "finding", "withdrawn")


def read_draft(path: Path, gateway_id: str, issued_us: int) -> dict[str, Any]:
    """What is to be signed. ``gateway_id``: empty where the file names it. Raises GongfuError, ConfigurationInvalid."""
    raw = dict(tables(read_text(path), path.name))
    for key in raw.keys() - set(_KEYS):
        near = difflib.get_close_matches(key, _KEYS, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"one of: {', '.join(_KEYS)}"
        raise GongfuError(f"{path.name}: there is no key {key!r}", remedy=remedy)
    given = raw.pop("gateway", "")
    if gateway_id and given and gateway_id != given:
        raise GongfuError(f"{path.name} is for {given}, --gateway says {gateway_id}", remedy="say it once")
    return {
        "schema": SCHEMA,
        "gateway_id": gateway_id or given,
        "issued_at": show_time(issued_us),
        "findings": raw.pop("finding", []),
        **{key: value for key, value in raw.items() if key not in ("from", "until", "target")},
        **{key: str(raw[key]) for key in ("from", "until") if key in raw},
        **({"target": _target(raw["target"], path.name)} if "target" in raw else {}),
    }


def _target(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    sides = [side for side in ("at_least", "at_most") if side in value]
    if len(sides) != 1:
        raise GongfuError(f"{name}: target has neither or both of at_least and at_most", remedy="at_most = 0.15")
    code = value.get("indicator")
    if isinstance(code, str) and code not in known_indicators():
        near = difflib.get_close_matches(code, known_indicators(), n=1)
        remedy = f"did you mean {near[0]}?" if near else f"one of: {', '.join(known_indicators())}"
        raise GongfuError(f"{name}: target.indicator {code} is none that a gateway measures", remedy=remedy)
    rest = {key: each for key, each in value.items() if key not in sides}
    return {**rest, "side": sides[0], "value": value[sides[0]]}


def make_prescription(signers: Sequence[AdminKey], claims: Mapping[str, Any], name: str) -> bytes:
    """A signed prescription. Raises GongfuError when a gateway would call it malformed."""
    payload = json.dumps(dict(claims), ensure_ascii=False, default=str).encode("utf-8", "replace")
    return _checked(write_base64url(payload), [each.sign(payload, TYPE) for each in signers], name)


def add_signature(data: bytes, signer: AdminKey, name: str) -> bytes:
    """The same with one signature more; one that the same key made before is replaced."""
    envelope = open_prescription(data, name)
    entries = zip(json.loads(data)["signatures"], envelope.signatures, strict=True)
    kept = [entry for entry, known in entries if known.header.get("kid") != signer.kid]
    return _checked(envelope.text, [*kept, signer.sign(read_base64url(envelope.text), TYPE)], name)


def open_prescription(data: bytes, name: str) -> Envelope[Prescription]:
    """The parts, unverified. Raises GongfuError."""
    try:
        return read_signed(data)
    except ValueError as error:
        raise GongfuError(f"{name}: {error}", remedy="name a file that admin prescribe wrote") from error


def _checked(payload: str, signatures: Sequence[Mapping[str, str]], name: str) -> bytes:
    data = msgspec.json.encode({"payload": payload, "signatures": list(signatures)})
    try:
        read_signed(data)
    except ValueError as error:
        raise GongfuError(
            f"{name}: no gateway would take this: {error}", remedy="see: gongfu-edge admin prescribe --help"
        ) from error
    return data
