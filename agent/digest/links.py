"""From one computation to a link of each chain: the gateway's own, and one for every further audience."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET

from agent.buffer.records import DigestAside, DigestRecord, Place, RollupRecord
from agent.buffer.room import FOREVER
from agent.config.model import OWN_PLATFORM, Configuration
from agent.core.bounds import MAX_SEQ
from agent.digest.audience import EVERYTHING, View, views_of
from agent.digest.chain import next_link, relinked
from agent.digest.report import Digest, encode
from agent.digest.rollups import PERIOD
from agent.digest.schedule import Schedule
from agent.digest.windows import Period
from agent.evidence.chain import digest_hash

log = logging.getLogger(__name__)

SINCE = "stream_since"
"""From when on an audience is told: the period that was running when it was first configured."""


class Chain(Protocol):
    """What is asked of one stream of the store."""

    async def last_digest(self, kind: str = "") -> DigestRecord | None: ...
    async def places(self, limit: int, before_seq: int = ...) -> list[Place]: ...
    async def undecided(self) -> bool: ...
    async def set_aside_digests(
        self, after_seq: int, notes: tuple[str, str] | None = None, *, accepted: bool = False
    ) -> int: ...
    async def set_aside(self, *, undecided: bool = False) -> list[DigestAside]: ...
    async def relink(self, number: int, record: DigestRecord) -> None: ...
    async def supersede(self, number: int) -> None: ...
    async def meta(self, key: str) -> str | None: ...
    async def set_meta(self, key: str, value: str) -> None: ...


class Chains(Chain, Protocol):
    """What is asked of the store: the gateway's own chain, and the others."""

    def stream_of(self, audience: str) -> Chain: ...
    async def add_digests(self, records: Sequence[DigestRecord], sums: Sequence[RollupRecord] = ()) -> None: ...


class Signer(Protocol):
    """What is asked of :class:`agent.evidence.identity.Identity`."""

    @property
    def gateway_id(self) -> str: ...
    def sign_detached(self, payload: bytes) -> str: ...
    def persona(self, audience: str) -> Signer: ...


class Links:
    """Adds to the chains; whoever calls holds the store's ``chain``, but for :meth:`open_for`."""

    def __init__(self, store: Chains, identity: Signer, configuration: Configuration) -> None:
        self._store = store
        self._identity = identity
        self.views: tuple[View, ...] = ()
        self.configure(configuration)

    def configure(self, configuration: Configuration) -> None:
        """Tell those who are in this configuration from now on."""
        self.views = views_of(configuration.file)
        self._apart = {each.name for each in configuration.file.audience if each.url != OWN_PLATFORM}

    def view(self, audience: str) -> View:
        """What this audience may know."""
        return next(view for view in self.views if view.audience == audience)

    async def open_for(self, running: int) -> None:
        """Remember for new audiences that they are told from the period on that begins at ``running``."""
        for view in self.views[1:]:
            chain = self._store.stream_of(view.audience)
            if await chain.meta(SINCE) is None:
                await chain.set_meta(SINCE, str(running))

    async def discard_impossible(self) -> None:
        """Set aside digests with numbers that no platform takes, which version 0.1 built behind whatever a platform
        called its head. They are said again in their true place."""
        for view in self.views:
            chain = self._store.stream_of(view.audience)
            last = await chain.last_digest()
            if last is not None and last.seq > MAX_SEQ:
                count = await chain.set_aside_digests(MAX_SEQ, accepted=True)
                log.warning("%d digests with impossible numbers are set aside, and said again in their place", count)

    async def undecided(self) -> bool:
        """Whether a chain was moved and what was set aside has not been linked anew."""
        chains = [self._store.stream_of(view.audience) for view in self.views]
        return any([await chain.undecided() for chain in chains])

    async def publish(
        self,
        period: Period,
        told: Callable[[View], Digest],
        schedule: Schedule,
        *,
        sums: Sequence[RollupRecord] = (),
    ) -> DigestRecord:
        """Add the digest of a period to every chain, all of them or none; returns the gateway's own.

        ``told`` makes it for one audience; its place in the chain is set here. It is called in a thread, once an
        audience. ``sums`` are kept with it.
        """
        records = [
            await self.link(view, PERIOD, period, told)
            for view in self.views
            if view is EVERYTHING or await self._is_news(self._store.stream_of(view.audience), period, schedule)
        ]
        await self._store.add_digests(records, sums)
        return records[0]

    async def link(self, view: View, kind: str, span: Period, told: Callable[[View], Digest]) -> DigestRecord:
        """The next link of one chain, signed; it is not added yet."""
        seq, previous = await next_link(self._store.stream_of(view.audience))
        body = await asyncio.to_thread(lambda: encode(self.placed(told(view), seq, previous)))
        blank = DigestRecord(seq, kind, span.start, span.end, "", "", b"", "", stream=view.audience)
        return await self.signed(blank, seq, previous, body)

    async def _is_news(self, chain: Chain, period: Period, schedule: Schedule) -> bool:
        """Not what was before the audience was told of anything, nor what it has from a disk that this one copies."""
        since = int(await chain.meta(SINCE) or FOREVER)
        return since <= period.start and await schedule.told_until(chain) <= period.start

    async def signed(self, record: DigestRecord, seq: int, previous: str, body: bytes) -> DigestRecord:
        """The record of ``body`` in this place, for the stream, kind and time of ``record``."""
        jws = await asyncio.to_thread(self._identity.sign_detached, body)
        hash_ = digest_hash(body)
        return DigestRecord(
            seq, record.kind, record.start, record.end, hash_, previous, body, jws, stream=record.stream
        )

    async def relink(self, start: int, schedule: Schedule, complete: Callable[[View, int], Awaitable[None]]) -> bool:
        """Say again, behind the platform's head, what was said on a branch that it does not have: the same words with
        another place in the chain, so that it needs no raw data that may be gone. Not so for periods that it has from
        the disk that this one is a copy of. ``start``: where the gateway's own digests go on. ``complete``: makes the
        digests of shifts and days anew, of those that are in the chain now, before a period that begins then."""
        some = False
        for view in self.views:
            chain = self._store.stream_of(view.audience)
            if await chain.undecided():
                until = start
                if view is not EVERYTHING:
                    last = await chain.last_digest(PERIOD)
                    until = max(last.end if last else -FOREVER, await schedule.told_until(chain))
                await self._relink(chain, until, view, complete)
                some = True
        return some

    async def _relink(
        self, chain: Chain, until: int, view: View, complete: Callable[[View, int], Awaitable[None]]
    ) -> None:
        count = superseded = seq = 0
        for aside in await chain.set_aside(undecided=True):
            period = aside.record.kind == PERIOD
            if not period or aside.record.end <= until:
                await chain.supersede(aside.number)
                superseded += period
                continue
            await complete(view, aside.record.start)
            seq, previous = await next_link(chain)
            body = relinked(aside.record.body, seq, previous)
            await chain.relink(aside.number, await self.signed(aside.record, seq, previous, body))
            count += 1
        places = f" up to {seq}" if count else ""
        whose = f" for {view.audience}" if view.audience else ""
        log.info("of the digests%s set aside, %d follow the platform's chain%s; it has the periods of %d others",
                 whose, count, places, superseded)  # fmt: skip

    def placed(self, digest: Digest, seq: int, previous: str) -> Digest:
        """The digest in this place of its chain, from the gateway that the audience's platform knows. Reads a file."""
        header = msgspec.structs.replace(digest.header, seq=seq, previous=previous)
        if header.audience is not UNSET and header.audience in self._apart:
            header = msgspec.structs.replace(header, gateway=self._identity.persona(header.audience).gateway_id)
        return msgspec.structs.replace(digest, header=header)
