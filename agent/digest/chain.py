"""Where the chain of digests goes on: behind the last digest, or behind the platform's head."""

from __future__ import annotations

from typing import Protocol

import msgspec

from agent.buffer.records import DigestRecord
from agent.digest.report import encode_any
from agent.evidence.chain import GENESIS

HEAD = "chain_head"
"""Where the uplink notes the platform's head when that is ahead of ours: JSON ``{"seq": …, "hash": …}``."""


class Links(Protocol):
    """What is asked of the store."""

    async def last_digest(self) -> DigestRecord | None: ...
    async def meta(self, key: str) -> str | None: ...


class Head(msgspec.Struct, frozen=True):
    """The newest digest that the platform has. ``kind``: its kind, and ``period_end``: where the newest one of a
    period ends (UTC microseconds); empty and 0 where the platform does not tell."""

    seq: int
    hash: str
    kind: str = ""
    period_end: int = 0


async def head_ahead(store: Links, seq: int) -> Head | None:
    """The platform's head, where the chain goes on behind that and not behind our digest ``seq``."""
    noted = await store.meta(HEAD)
    head = msgspec.json.decode(noted, type=Head) if noted else None
    return head if head and head.seq >= seq else None


async def next_link(store: Links) -> tuple[int, str]:
    """(seq, previous) of the next digest.

    A gateway restored from an old copy of its disk finds the platform ahead: it continues after the
    platform's head and never forks.
    """
    last = await store.last_digest()
    seq, digest = (last.seq, last.hash) if last else (0, GENESIS)
    head = await head_ahead(store, seq)
    if head is not None:
        seq, digest = head.seq, head.hash
    return seq + 1, digest


def relinked(body: bytes, seq: int, previous: str) -> bytes:
    """A digest with another place in the chain, and not a word of what it says changed."""
    digest = msgspec.json.decode(body)
    digest["header"] |= {"seq": seq, "previous": previous}
    return encode_any(digest)
