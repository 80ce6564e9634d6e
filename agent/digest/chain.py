"""Where the chain of digests goes on: behind the last digest, or behind the platform's head."""

from __future__ import annotations

from typing import Protocol

import msgspec

from agent.buffer.records import DigestRecord
from agent.digest.report import encode_any
from agent.evidence.chain import GENESIS
from agent.evidence.head import HEAD, HeadNote, read_note


class Links(Protocol):
    """What is asked of the store."""

    async def last_digest(self) -> DigestRecord | None: ...
    async def meta(self, key: str) -> str | None: ...


async def head_ahead(store: Links, seq: int) -> HeadNote | None:
    """The platform's head, where the chain goes on behind that and not behind our digest ``seq``."""
    note = read_note(await store.meta(HEAD), seq)
    return note if note and note.seq >= seq else None


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
