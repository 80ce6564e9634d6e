"""Builds the digests of shifts, days, weeks and months behind that of the last period which begins within each.

Those of an audience are made of its own chain, so that it can make the same sums again from what it was told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from agent.buffer.records import DigestRecord, Place, RollupRecord
from agent.config.model import Configuration
from agent.digest import rollups
from agent.digest.audience import EVERYTHING, View
from agent.digest.inputs import Facts
from agent.digest.links import Chain, Links
from agent.digest.report import Digest
from agent.digest.rollup import part_kind, parts_of, rollup
from agent.digest.rollups import DAY, LONGEST_WINDOW_DAYS, PERIOD, TOLD, Sums, days_of, kept_of
from agent.digest.schedule import Schedule
from agent.digest.spans import Rolled, spans_of
from agent.digest.spec import compile_spec
from agent.digest.windows import iso

log = logging.getLogger(__name__)

_AT_ONCE = 500
"""Places of the chain that are looked up at a time."""


class SpanStore(Protocol):
    """What is asked of :class:`agent.buffer.store.Store`."""

    def stream_of(self, audience: str) -> Chain: ...
    async def add_digests(self, records: Sequence[DigestRecord], sums: Sequence[RollupRecord] = ()) -> None: ...
    async def rollups(self, kind: str, start: int, end: int) -> list[RollupRecord]: ...


class Rolling:
    """One configuration's spans, and their digests. Whoever adds one holds the store's ``chain``."""

    def __init__(
        self, store: SpanStore, configuration: Configuration, links: Links, facts: Callable[[], Facts]
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._links = links
        self._facts = facts
        file = configuration.file
        self._zone = ZoneInfo(file.gateway.timezone)
        self._kinds = file.digest.rollups
        self._nothing: dict[tuple[str, Rolled], int] = {}
        """Of which there was nothing, when the chain had come so far: not looked for again before it goes on."""
        self._calendars = {each.name: each.calendar for each in compile_spec(configuration, {}, {}).machines}

    def spans(self, time: int) -> list[Rolled]:
        """Those that hold a time, in the order of their digests."""
        return spans_of(time, self._zone, self._kinds, self._calendars)

    async def due(self, view: View, following: int, schedule: Schedule) -> list[Rolled]:
        """Of which an audience is told now, the next period beginning at ``following``."""
        chain = self._store.stream_of(view.audience)
        found = await schedule.due(chain, following)
        # Of a shift nobody hears who was granted none of the machines that work it.
        found = [each for each in found if not each.machines or view.concerns(each.machines)]
        if not found:
            return []
        newest = await chain.places(1)
        return [each for each in found if self._nothing.get((view.audience, each)) != newest[0].seq]

    async def build(self, view: View, rolled: Rolled) -> None:
        """Add the digest of a span to an audience's chain, if anything of it was recorded and told."""
        chain = await self._chain(view, rolled)
        kind = part_kind(rolled, self._kinds)
        parts = await self._parts(kind, parts_of(rolled, kind, chain))
        if not parts or not await self._has_all(view, rolled, parts):
            log.debug("no digest of the %s from %s: nothing of it was recorded", rolled.kind, iso(rolled.span.start))
            self._nothing[view.audience, rolled] = chain[0].seq if chain else 0
            return
        oldest = rollups.days_before(parts[-1][0].start, self._zone, LONGEST_WINDOW_DAYS)
        days = days_of(await self._store.rollups(DAY, oldest, parts[-1][0].start + 1))
        facts = self._facts()
        made: list[Sums] = []

        def told(view: View) -> Digest:
            digest, sums = rollup(rolled, parts, chain, days, facts, self._configuration, view)
            made.append(sums)
            return digest

        record = await self._links.link(view, rolled.kind, rolled.span, told)
        kept = self._kept(rolled, made[0], days[-1:]) if view is EVERYTHING else []
        await self._store.add_digests([record], kept)
        log.info("digest %d%s: the %s from %s, made of %d", record.seq, f" for {view.audience}" * bool(view.audience),
                 rolled.kind, iso(rolled.span.start), len(parts))  # fmt: skip

    def _kept(self, rolled: Rolled, sums: Sums, known: Sequence[Sums]) -> list[RollupRecord]:
        # What is in the chain of a day is what longer spans are made of, be it not all that is known of it:
        # periods of a disk that was lost are told by others.
        if rolled.kind != DAY or sums in known:
            return []
        return [RollupRecord(TOLD, rolled.span.start, sums.end, msgspec.json.encode(sums))]

    async def _has_all(self, view: View, rolled: Rolled, parts: Sequence[tuple[Place, Sums]]) -> bool:
        """Whether an audience was told of all that a day is made of: the sums of a day are kept once."""
        if view is EVERYTHING or rolled.kind != DAY:
            return True
        own = await self._parts(PERIOD, parts_of(rolled, PERIOD, await self._chain(EVERYTHING, rolled)))
        return [place.start for place, _ in own] == [place.start for place, _ in parts]

    async def _chain(self, view: View, rolled: Rolled) -> list[Place]:
        """The chain from the span's first part on, as far as it is known; the newest first."""
        chain, found = self._store.stream_of(view.audience), list[Place]()
        while some := await chain.places(_AT_ONCE, *([found[-1].seq] if found else [])):
            found += some
            if any(each.kind == PERIOD and each.end <= rolled.span.start for each in some):
                break
        return found

    async def _parts(self, kind: str, places: Sequence[Place]) -> list[tuple[Place, Sums]]:
        """With their sums. Those are not parts whose sums are gone, or were kept by a version that kept less."""
        if not places:
            return []
        first, last = places[0].start, places[-1].start
        records = await self._store.rollups(kind, first, last + 1)
        records += await self._store.rollups(TOLD, first, last + 1) if kind == DAY else []

        def work() -> list[tuple[Place, Sums]]:
            if kind == DAY:
                known = {record.start: sums for record in records for sums in days_of([record])}
            else:
                known = {record.start: kept.sums for record in records if (kept := kept_of(record))}
            told = ((place, known.get(place.start)) for place in places)
            return [(place, sums) for place, sums in told if sums and sums.whole]

        return await asyncio.to_thread(work)
