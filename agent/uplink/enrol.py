"""Enrolment: a one-time token against an identity at the platform. For the command; blocks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from agent import __version__
from agent.core.bounds import MAX_TEXT, tidy
from agent.disclosure import messages as disclosure
from agent.errors import GongfuError
from agent.evidence.identity import Enrolment, Identity, hardware
from agent.uplink.answers import Answer
from agent.uplink.messages import Enrolled, read
from agent.uplink.transport import Transport


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
    request["proof"] = identity.prove(
        {
            "token_hash": sha256(request["token"].encode()).hexdigest(),
            "public_key": request["public_key"],
            "encryption_key": request.get("encryption_key"),
            "time": int(time.time()),
        }
    )
    headers = {"Content-Type": "application/json"}
    body = msgspec.json.encode(disclosure.enrolment(request))
    answer = transport.request_now("POST", "/enrollments", disclosure.headers(headers), body)
    enrolled = _read(answer, transport.url)
    admins, enterprise = msgspec.to_builtins(enrolled.admins), tidy(enrolled.enterprise, MAX_TEXT)
    accepted = () if audience else accept(admins)
    identity.save_enrolment(enrolled.gateway_id, transport.url, admins, enterprise, accepted)
    assert identity.enrolment is not None  # just saved
    return identity.enrolment


def _read(answer: Answer, url: str) -> Enrolled:
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
    enrolled = read(answer.body, Enrolled)
    if enrolled is None:
        raise GongfuError(f"{url} answers, but not as a platform does", remedy="check --url, or tell its operator")
    return enrolled
