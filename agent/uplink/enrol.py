"""Enrolment: a one-time token against an identity at the platform. For the command; blocks."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent import __version__
from agent.disclosure import messages as disclosure
from agent.errors import GongfuError
from agent.evidence.identity import Enrolment, Identity, hardware
from agent.uplink.answers import Answer
from agent.uplink.transport import Transport


class _Enrolled(msgspec.Struct):
    """The platform's answer, as the contract has it."""

    gateway_id: str
    admins: dict[str, Any]
    enterprise: str = ""


def enroll(
    url: str,
    token: str,
    folder: Path,
    *,
    encryption_key: Mapping[str, Any] | None = None,
    ca_file: str = "",
    proxy: str = "",
    audience: str = "",
    accept: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _admins: (),
) -> Enrolment:
    """Make the key in ``folder`` known to the platform at ``url`` and keep what it answers.

    ``encryption_key``: JWK of the key that secrets in this gateway's configuration are sealed for. ``audience``:
    whose platform it is, where it is not the one that the gateway belongs to. ``accept``: asks the operator for the
    fingerprints of those of the platform's administrators that are to be trusted; by itself none is.

    May be repeated: the same key and token get the same answer. Raises GongfuError; nothing is kept then.
    """
    transport = Transport(url, ca_file=ca_file, proxy=proxy)
    identity = Identity.load_or_create(folder)
    identity = identity.persona(audience) if audience else identity
    request: dict[str, Any] = {
        "token": token.strip(),
        "public_key": identity.public_jwk(),
        "hostname": socket.gethostname(),
        "hardware": hardware(),
        "version": __version__,
    }
    if encryption_key is not None:
        request["encryption_key"] = encryption_key
    headers = {"Content-Type": "application/json"}
    body = msgspec.json.encode(disclosure.enrolment(request))
    answer = transport.request_now("POST", "/enrollments", disclosure.headers(headers), body)
    enrolled = _read(answer, transport.url)
    accepted = () if audience else accept(enrolled.admins)
    identity.save_enrolment(enrolled.gateway_id, transport.url, enrolled.admins, enrolled.enterprise, accepted)
    assert identity.enrolment is not None  # just saved
    return identity.enrolment


def _read(answer: Answer, url: str) -> _Enrolled:
    if answer.status == 403:
        raise GongfuError(
            f"{url} refused the token ({answer.reason()})", remedy="ask the platform's operator for a new token"
        )
    if answer.status in (429, 503):
        raise GongfuError(f"{url} is busy ({answer.reason()})", remedy="try again in a minute")
    if answer.status not in (200, 201):
        raise GongfuError(
            f"{url} does not enrol: {answer.reason()}", remedy="check --url: it ends in /api/v1 or the like"
        )
    try:
        enrolled = msgspec.json.decode(answer.body, type=_Enrolled)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GongfuError(f"{url} answers, but not as a platform does ({error})", remedy="check --url") from error
    if not _is_id(enrolled.gateway_id):
        raise GongfuError(f"{url} gave an id that is none: {enrolled.gateway_id[:80]!r}", remedy="tell its operator")
    return enrolled


def _is_id(text: str) -> bool:
    """The contract's GatewayId; it becomes part of an address, so nothing else may be in it."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is not None
