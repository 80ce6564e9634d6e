"""Which periods are due: from the last one's digest to now, on a clock that can be believed; and which shifts, days,
weeks and months are due behind that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.buffer.records import DigestRecord, Event, Loss, Place
from agent.buffer.room import FOREVER
from agent.core.high_water import MARK, read_mark
from agent.digest.chain import head_ahead
from agent.digest.rollups import PERIOD
from agent.digest.spans import RANK, Rolled, due
from agent.digest.windows import DAY, MOST_MISSING, Windows, iso
from agent.evidence.head import HeadNote

log = logging.getLogger(__name__)

RESUME = "digest_resume"
"""Where digests go on after the last one turned out to lie far in the future: ``seq:start``, with that one's seq."""
LATE = "digest_late_noted"
AFTER_HEAD = "digest_after_head"
"""Where digests go on behind a head that this disk does not have: ``seq:head:start:rank``, with the seq of the last
one of a period that we have, and which kinds the platform has behind its last period."""

FLOOR_US = 1_704_067_200_000_000
"""2024-01-01: before this software existed; a board without a battery starts in 1970."""
_MOST_BEHIND = 500
"""Digests of spans behind one period: a day, a week, a month, and as many shifts as there are machines at most."""
_MOST_CLOSED = 10_000
"""Digests that are looked through for the newest one whose time makes sense."""
UNVOUCHED_GAP = DAY
"""A clock that nobody vouches for and that is further ahead of the last digest than this may be wrong: digests wait."""
UNVOUCHED_WAIT_S = 3600.0
"""For so long, for somebody who knows; then they go on, with one long period for most of the gap."""
MOST_AHEAD = DAY
"""When a trusted clock is further behind the last digest than this, that one's time was nonsense."""


class TrustedClock(Protocol):
    """What is asked of :class:`agent.clock.Clock`."""

    @property
    def trusted(self) -> bool: ...
    @property
    def epoch_age_s(self) -> float: ...
    def now(self) -> int: ...


class Chain(Protocol):
    """What is asked of a chain."""

    async def last_digest(self, kind: str = "") -> DigestRecord | None: ...
    async def places(self, limit: int) -> list[Place]: ...
    async def meta(self, key: str) -> str | None: ...
    async def set_meta(self, key: str, value: str) -> None: ...


class Records(Chain, Protocol):
    """What is asked of the store."""

    async def span(self) -> tuple[int, int] | None: ...
    async def events(self, start: int, end: int) -> list[Event]: ...
    async def add_loss(self, loss: Loss) -> None: ...
    async def losses_told(self, noted_before: int, seq: int) -> None: ...


Spans = Callable[[int], list[Rolled]]
"""The shifts, days, weeks and months of which there are to be digests that hold a time."""
_ALL = max(RANK.values())


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the platform has from a disk that this one is a copy of: all up to ``end``, and behind the period that
    ends there the digests of spans up to this rank."""

    end: int
    rank: int


class Schedule:
    """Says from when on periods are to be built, and of which spans there are to be digests behind them."""

    def __init__(self, store: Records, windows: Windows, clock: TrustedClock, spans: Spans = lambda time: []) -> None:
        self._store = store
        self._windows = windows
        self._clock = clock
        self._spans = spans
        self._holding = False

    async def plausible(self) -> bool:
        """Whether a period may be closed by this clock."""
        now = self._clock.now()
        high = max(read_mark(await self._store.meta(MARK)), FLOOR_US)
        good = self._clock.trusted or (now >= high and not await self._is_unexplained(now))
        if good == self._holding:
            self._holding = not good
            if good:
                log.info("the clock can be believed again (%s); digests go on", iso(now))
            else:
                why = f"it was {iso(high)} already" if now < high else "nobody vouches for so long an absence"
                log.warning("the clock says %s, but %s; digests wait for a trusted clock", iso(now), why)
        return good

    async def _is_unexplained(self, now: int) -> bool:
        """Whether an untrusted clock is so far ahead of the last digest that it had better be confirmed first."""
        last = await self._store.last_digest(PERIOD)
        ahead = now - last.end if last is not None else 0
        return ahead > UNVOUCHED_GAP and self._clock.epoch_age_s < UNVOUCHED_WAIT_S

    async def start(self) -> int:
        """Where the next period starts; it may lie in the future."""
        last = await self._store.last_digest(PERIOD)
        if last is None:
            return self._windows.start_of(await self._first_sign_of_life())
        resumed = await self._store.meta(RESUME)
        if resumed and int(resumed.partition(":")[0]) == last.seq:
            start = int(resumed.partition(":")[2])
            if start <= self._clock.now() or not self._clock.trusted:
                return start
            # It was a time that nobody vouched for, and now it is known that it has not come yet.
        elsewhere = await self._elsewhere(self._store, last)
        if elsewhere is not None:
            return elsewhere.end
        now = self._clock.now()
        if self._clock.trusted and last.end > now:
            return await self._after_the_future(last, now)
        return last.end

    def missing(self) -> int:
        """For how many periods of an absence there is a digest each; what came before them is one long period."""
        if self._clock.trusted:
            return MOST_MISSING
        # Periods that nobody vouches for may never have been: a day of them, or those that the clock has seen itself.
        seen = max(round(self._clock.epoch_age_s * 1e6), UNVOUCHED_GAP)
        return min(max(seen // self._windows.length, 1), MOST_MISSING)

    async def _first_sign_of_life(self) -> int:
        now = self._clock.now()
        span = await self._store.span()
        starts = [event.time for event in await self._store.events(FLOOR_US, now) if event.kind == "start"]
        signs = [*starts[:1], *(span[:1] if span else ())]
        return min((sign for sign in signs if FLOOR_US <= sign <= now), default=now)

    async def told_until(self, chain: Chain) -> int:
        """Up to when an audience has been told, where this disk, an old copy, does not have it; else long ago."""
        last = await chain.last_digest(PERIOD)
        elsewhere = await self._elsewhere(chain, last) if last else None
        return elsewhere.end if elsewhere else -FOREVER

    async def due(self, chain: Chain, following: int) -> list[Rolled]:
        """The spans of which digests are to follow now in a chain, the next period beginning at ``following``."""
        last = await chain.last_digest(PERIOD)
        if last is None or not (spans := due(self._spans(last.start), following)):
            return []
        elsewhere = await self._elsewhere(chain, last)
        if elsewhere is not None:
            begun = self._windows.start_of(elsewhere.end - 1)
            spans = [each for each in spans if each.span.end > begun and each.rank > elsewhere.rank]
        there = await _behind(chain, last.seq)
        return [each for each in spans if (each.kind, each.span.start, each.span.end) not in there]

    async def _elsewhere(self, chain: Chain, last: DigestRecord) -> Elsewhere | None:
        # This disk is an old copy, where the platform's head is ahead of what it has. Once digests of
        # spans follow that head it is not ahead any more, but what came before them is the same.
        head = await head_ahead(chain, last.seq + 1)
        if head is None:
            return None
        key = f"{last.seq}:{head.seq}:"
        known = await chain.meta(AFTER_HEAD) or ""
        if known.startswith(key):
            end, _, rank = known.removeprefix(key).partition(":")
            return Elsewhere(int(end), int(rank or _ALL))
        tip = await chain.last_digest()
        if tip is None or tip.seq >= head.seq:
            return None  # behind our last period are digests of spans only, up to the head and our own
        found, started = await self._beyond(chain, last, tip, head)
        if chain is self._store:
            await self._store.losses_told(started, head.seq)
        await chain.set_meta(AFTER_HEAD, f"{key}{found.end}:{found.rank}")
        return found

    async def _beyond(
        self, chain: Chain, last: DigestRecord, tip: DigestRecord, head: HeadNote
    ) -> tuple[Elsewhere, int]:
        """What the platform has beyond our ``tip``, and when the agent started on this disk. ``last``: our newest
        period's."""
        now = self._clock.now()
        since = self._windows.end_of(last.end)
        started = next((each.time for each in await self._store.events(since, now + 1) if each.kind == "start"), now)
        if last.end <= head.period_end <= now:
            return Elsewhere(head.period_end, RANK.get(head.kind, _ALL)), started
        # The platform does not say how far it has come. The periods that followed our last one from the
        # disk that was copied are there, none left out, and the digests of spans behind each: that tells
        # where they end. What this disk still holds of the first of them is not reported again. Whatever
        # was recorded since the agent started on this disk is new, so that it is reported even where the
        # reckoning fails because the period's length was changed.
        newest, end, rank = self._windows.start_of(started), last.end, 0
        there = await _behind(chain, last.seq)
        waiting = due(self._spans(last.start), end)
        waiting = [each for each in waiting if (each.kind, each.span.start, each.span.end) not in there]
        for _ in range(head.seq - tip.seq):
            if waiting:
                rank = waiting.pop(0).rank
            elif end < newest:
                begin, end, rank = end, self._windows.end_of(end), 0
                waiting = due(self._spans(begin), end)
            else:
                rank = _ALL
                break
        return Elsewhere(max(min(end, newest), last.end), rank if end <= newest else _ALL), started

    async def _after_the_future(self, last: DigestRecord, now: int) -> int:
        # The last digest was closed by a clock that was fast. A closed period never reopens, so a
        # little of that is waited for; what is recorded meanwhile is entered as late.
        if last.end - now <= MOST_AHEAD:
            if last.end - now > self._windows.length and await self._store.meta(LATE) != str(last.seq):
                await self._store.set_meta(LATE, str(last.seq))
                await self._store.add_loss(Loss(now, last.end, "late_data"))
                log.warning("digests were closed up to %s by a fast clock; they go on from there", iso(last.end))
            return last.end
        # What is closed stays closed: behind the newest period that ended before the nonsense began.
        ends = [each.end for each in await self._store.places(_MOST_CLOSED) if each.kind == PERIOD]
        start = max([self._windows.start_of(now), *(end for end in ends if end <= now + MOST_AHEAD)])
        await self._store.set_meta(RESUME, f"{last.seq}:{start}")
        log.warning("digest %d ends in %s, which is nonsense; digests go on from %s",
                    last.seq, iso(last.end), iso(start))  # fmt: skip
        return start


async def _behind(chain: Chain, seq: int) -> set[tuple[str, int, int]]:
    places = await chain.places(_MOST_BEHIND)
    return {(each.kind, each.start, each.end) for each in places if each.seq > seq}
