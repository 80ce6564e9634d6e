"""Which head of a platform is believed: one that this gateway's disk or key knows; another within limits, or not.

A head moves the chain, so that a false one could silence a gateway. A platform of version 1.1 shows the gateway's own
signature with it. One of version 1.0 cannot: its head is followed where that costs no digest, and not by more than
:data:`~agent.core.bounds.MAX_JUMP`; whatever else it asks for is the engineer's to decide.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Protocol

import msgspec

from agent.buffer.records import DigestRecord
from agent.core.bounds import MAX_JUMP
from agent.evidence.head import HEAD, HeadNote, Place, read_note
from agent.uplink.answers import Head
from agent.uplink.held import Held

log = logging.getLogger(__name__)

SPEAKS = "platform_contract"
"""Setting: URL of the platform that has shown that it speaks version 1.1; it cannot go back to being of 1.0."""


class HeadStore(Protocol):
    """What is asked of :class:`agent.buffer.store.Store`."""

    async def digest(self, seq: int) -> DigestRecord | None: ...
    async def last_digest(self) -> DigestRecord | None: ...
    async def meta(self, key: str) -> str | None: ...
    async def set_meta(self, key: str, value: str) -> None: ...


class HeadSigner(Protocol):
    """What is asked of :class:`agent.evidence.identity.Identity`."""

    def signed_place(self, signature: str, hash_: str, audience: str) -> Place | None: ...
    def may_follow(self, stream: str, seq: int, hash_: str) -> bool: ...


class Heads:
    """Judges the heads of one chain at one platform."""

    def __init__(self, store: HeadStore, signer: HeadSigner, stream: str, url: str) -> None:
        self._store = store
        self._signer = signer
        self._stream = stream
        self._url = url

    async def judged(self, head: Head) -> Head:
        """The head with what is vouched for of it. Raises Held where it must not be followed."""
        if head.contract and await self._store.meta(SPEAKS) != self._url:
            await self._store.set_meta(SPEAKS, self._url)
        if head.seq == 0 or await self._is_ours(head):
            return Head(head.seq, head.hash, vouched_by="disk")
        note = await self._note()
        if note is not None and note.by and (note.seq, note.hash) == (head.seq, head.hash):
            return Head(head.seq, head.hash, note.kind, note.period_end, vouched_by=note.by)
        engineer = self._signer.may_follow(self._stream, head.seq, head.hash)
        place = self._signer.signed_place(head.signature, head.hash, self._stream)
        signed = place is not None and place.seq == head.seq
        if signed and place is not None:
            head = dataclasses.replace(head, kind=place.kind if place.period_end else "", period_end=place.period_end)
        elif not engineer and (head.contract or head.signature or await self._store.meta(SPEAKS) == self._url):
            raise self._refused(head, "is not signed by this gateway's key")
        last = await self._store.last_digest()
        behind = last.seq if last else 0
        if not engineer and head.seq - behind > MAX_JUMP:
            raise self._refused(head, f"is {head.seq - behind} digests ahead of this disk")
        if not (signed or engineer) and head.seq <= behind:
            raise self._refused(head, "is not the one that this disk has, and nobody vouches for it")
        return dataclasses.replace(head, vouched_by="engineer" if engineer else "key" if signed else "")

    def demand_vouched(self, head: Head) -> None:
        """Raise Held unless somebody but the platform vouches for the head: digests are to give way to it."""
        if not head.vouched_by:
            raise self._refused(head, "would put digests aside, and nobody vouches for it")

    async def is_noted(self, head: Head) -> bool:
        """Whether the chain goes on behind this head already."""
        note = await self._note()
        return note is not None and (note.seq, note.hash) == (head.seq, head.hash)

    async def misled(self, head: Head) -> bool:
        """Whether our chain follows a head beyond this one that nobody but a platform vouched for, with a gap between:
        another platform, or the same one on another day, has led it there."""
        note = await self._note()
        if note is None or note.by or note.seq <= head.seq:
            return False
        return await self._store.digest(head.seq + 1) is None

    async def _note(self) -> HeadNote | None:
        last = await self._store.last_digest()
        return read_note(await self._store.meta(HEAD), last.seq if last else 0)

    async def _is_ours(self, head: Head) -> bool:
        """Whether this disk has the digest, or the one that follows it."""
        ours, following = await self._store.digest(head.seq), await self._store.digest(head.seq + 1)
        return head.hash in (ours.hash if ours else "", following.previous if following else "")

    def _refused(self, head: Head, why: str) -> Held:
        audience = f" --audience {self._stream}" if self._stream else ""
        return Held(
            f"the platform's head, digest {head.seq}, {why}; it is not followed, and digests are kept",
            "let the platform's operator look at it; only if it is this gateway's own:"
            f" gongfu-edge digest follow {head.seq}:{head.hash[:16]}{audience}",
            kind="refused",
        )


def noted(head: Head) -> str:
    """The head as a setting."""
    if not head.seq:
        return ""
    by = "key" if head.vouched_by == "disk" else head.vouched_by
    note = HeadNote(head.seq, head.hash, head.kind, head.period_end if head.kind else 0, by)
    return msgspec.json.encode(note, order="sorted").decode()
