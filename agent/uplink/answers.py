"""What a platform's answer means for the digest that was offered. Pure.

The rule behind all of it: a digest is settled only by the platform's own word about these very bytes.
Everything else, a captive portal's page as much as a time-out, leaves it where it is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from agent.core.bounds import MAX_BODY, MAX_ETAG, MAX_HEADER, MAX_RETRY_AFTER_S, tidy
from agent.evidence.chain import GENESIS
from agent.uplink.messages import HeadAnswer, Receipt, read

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_RETRY_AFTER_S = float(MAX_RETRY_AFTER_S)
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. ``headers``: lower-case names; ``body``: at most what the transport takes; ``sent`` and
    ``heard``: bytes of the request and of the answer on the wire, headers estimated."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: int
    heard: int = 0

    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None where it is none."""
        if len(self.body) > MAX_BODY:
            return None
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def date_us(self) -> int | None:
        """The ``Date`` of the answer in UTC microseconds."""
        return _http_date_us(self._header("date"))

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that ``Retry-After`` asks for (a number or an HTTP date), at most a day."""
        text = self._header("retry-after")
        if text.isascii() and text.isdigit():
            return min(float(text), LONGEST_RETRY_AFTER_S)
        until = _http_date_us(text)
        if until is None:
            return None
        # Measured against the answer's own Date where it has one: our clock may be wrong.
        base = self.date_us
        if base is None:
            base = time.time_ns() // 1000
        return min(max(0.0, (until - base) / 1e6), LONGEST_RETRY_AFTER_S)

    @property
    def etag(self) -> str:
        """The ``ETag``, fit to be sent back; empty where there is none that is."""
        text = self._header("etag")
        return text if text.isascii() and text.isprintable() and len(text) <= MAX_ETAG else ""

    def _header(self, name: str) -> str:
        text = self.headers.get(name, "").strip()
        return text if len(text) <= MAX_HEADER else ""

    def reason(self) -> str:
        """One line for a person: the status, and what the platform says of it (RFC 9457)."""
        problem = self.json() or {}
        said = [problem.get(name) for name in ("title", "detail")]
        text = ": ".join(tidy(each, _SHOWN) for each in said if isinstance(each, str) and each)
        return f"{self.status} {text}".strip()[:_SHOWN]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Stored, now or before. ``proven``: the receipt names our bytes; else the head has to say so."""

    proven: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """The platform does not take this digest. ``final``: it is never offered again."""

    reason: str
    final: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """The platform holds other bytes under this number."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The platform does not accept this gateway."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing was decided; keep and try again, not before ``after_s`` seconds where that is given."""

    reason: str
    after_s: float | None = None


Verdict = Accepted | Rejected | Conflict | Unauthorized | Later


@dataclass(frozen=True, slots=True)
class Head:
    """The newest digest that the platform has; ``seq`` 0 and 64 zeros: none. ``kind``: of it, and ``period_end``:
    where the newest one of a period ends (UTC microseconds); empty and 0 where nobody vouches for them."""

    seq: int
    hash: str
    kind: str = field(default="", compare=False)
    period_end: int = field(default=0, compare=False)
    signature: str = field(default="", compare=False)
    """Ours, of that digest, as it was delivered; empty: the platform does not show it."""
    contract: str = field(default="", compare=False)
    """Version of the contract that the platform speaks; empty: 1.0."""
    vouched_by: Literal["", "disk", "key", "engineer"] = field(default="", compare=False)
    """Who says that it is ours, besides the platform: this gateway's own chain, its key, or the engineer."""


def judge_digest(answer: Answer, seq: int, digest_hash: str) -> Verdict:
    """What the answer to an offered digest means."""
    status = answer.status
    if status in (200, 201):
        return _judge_receipt(answer, seq, digest_hash)
    if status == 409:
        return Conflict(answer.reason())
    if status == 422:
        return Rejected(answer.reason(), final=True)
    if status in (400, 413, 415):
        # Damage on the way looks like 400, and a limit may be raised: nothing was stored.
        return Rejected(answer.reason(), final=False)
    return judge_failure(answer)


def _judge_receipt(answer: Answer, seq: int, digest_hash: str) -> Verdict:
    if not answer.body.strip():
        return Accepted(proven=False)
    receipt = read(answer.body, Receipt)
    if receipt is None:
        return Later(f"{answer.status} without a receipt (a captive portal or proxy?)")
    if receipt.seq not in (seq, UNSET) or receipt.hash not in (digest_hash, UNSET):
        return Later(f"{answer.status}, but the receipt is for another digest")
    return Accepted(proven=receipt.hash is not UNSET)


def judge_failure(answer: Answer) -> Unauthorized | Later:
    """What an answer means that is none of those that were hoped for."""
    status = answer.status
    if status in (401, 403):
        return Unauthorized(answer.reason())
    if status in (429, 503):
        return Later(answer.reason(), answer.retry_after_s)
    if 300 <= status < 400:
        return Later(f"{status} redirects elsewhere; nothing is sent there (is [platform] url right?)")
    if status == 404:
        return Later(f"{answer.reason()} (is [platform] url right?)")
    return Later(answer.reason() if status >= 400 else f"{status} makes no sense here")


def read_head(answer: Answer) -> Head | None:
    """The head that a 200 holds; None: it holds none."""
    told = read(answer.body, HeadAnswer)
    if told is None or (told.seq and told.hash is None):
        return None
    if told.seq == 0 or told.hash is None:
        return Head(0, GENESIS, contract=told.contract)
    return Head(told.seq, told.hash, signature=told.signature, contract=told.contract)


def _http_date_us(text: str) -> int | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(seconds=1) * 1_000_000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
