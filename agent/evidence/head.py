"""The head of a chain: what the gateway signs of it beside each digest, and what it notes of one that it follows.

A platform shows its head with the signature of that digest as it was delivered. A gateway on a restored disk does not
have the digest any more, so the signature carries in its protected header (``cty``) a second, small one over the
digest's place: with the key alone the gateway can tell that the head is its own. The header stays below the 512
characters that common libraries take.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.core.bounds import MAX_JUMP, MAX_TIME_US, Hash, Name, Seq

HEAD = "chain_head"
"""Setting: the head that the chain goes on behind, a :class:`HeadNote`."""
TYPE = "gongfu-head"
"""``typ`` of the small signature: what was signed as anything else never counts as one."""
_CONTENT = "gongfu-digest; head="
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Kind = Annotated[str, Meta(max_length=16)]
TimeUs = Annotated[int, Meta(ge=0, le=MAX_TIME_US)]


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A digest's place in the chain of an audience. ``period_end``: where the digest of a period ends (UTC
    microseconds); 0 for one of another kind: where the newest period ends is not in it."""

    seq: Seq
    hash: Hash
    kind: Kind = ""
    period_end: TimeUs = 0
    audience: Name = ""


class HeadNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """A platform's head that is followed. ``by``: who vouches for it; empty: nobody but the platform."""

    seq: Seq
    hash: Hash
    kind: Kind = ""
    period_end: TimeUs = 0
    by: Literal["", "key", "engineer"] = ""


def read_note(text: str | None, seq: int) -> HeadNote | None:
    """The note as it concerns a chain whose last digest is ``seq``; None where none is to be followed.

    Version 0.1 noted whatever a platform said: what no platform can have, and a jump that nobody has confirmed, is
    taken for not written.
    """
    try:
        note = msgspec.json.decode(text, type=HeadNote) if text else None
    except msgspec.DecodeError:
        return None
    return note if note and (note.seq - seq <= MAX_JUMP or note.by == "engineer") else None


def place_of(body: bytes, hash_: str) -> Place | None:
    """The place that a digest's bytes give it; None where they are no digest."""
    try:
        digest = msgspec.json.decode(body, type=_Digest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    header, period_end = digest.header, 0
    if digest.kind == "period" and header.period is not None:
        period_end = (header.period.end.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    try:
        return msgspec.convert(
            {"seq": header.seq, "hash": hash_, "kind": digest.kind, "period_end": max(0, period_end),
             "audience": header.audience}, Place,
        )  # fmt: skip
    except msgspec.ValidationError:
        return None


def content_type(place: Place, signature: str) -> str:
    """``cty`` of a digest's signature: the place but for its hash, and the key's signature of it, base64url."""
    return f"{_CONTENT}{place.seq}.{place.kind}.{place.period_end}.{signature}"


def read_content_type(content: str, hash_: str, audience: str) -> tuple[Place, str] | None:
    """The place that a ``cty`` gives the digest with this hash, and the signature, unverified; None: it gives none."""
    parts = content.removeprefix(_CONTENT).split(".") if content.startswith(_CONTENT) else []
    try:
        seq, kind, period_end, signature = parts
        place = {"seq": seq, "hash": hash_, "kind": kind, "period_end": period_end, "audience": audience}
        return msgspec.convert(place, Place, strict=False), signature
    except (ValueError, msgspec.ValidationError):
        return None


class _Period(msgspec.Struct):
    end: Annotated[datetime, Meta(tz=True)]


class _Header(msgspec.Struct):
    seq: int
    period: _Period | None = None
    audience: str = ""


class _Digest(msgspec.Struct):
    header: _Header
    kind: str = ""
