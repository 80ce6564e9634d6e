"""Which periods are due: from the last digest to now, on a clock that can be believed."""

from __future__ import annotations

import logging
from typing import Protocol

from agent.buffer.records import DigestRecord, Event, Loss
from agent.buffer.room import FOREVER
from agent.digest.chain import Head, head_ahead
from agent.digest.windows import DAY, Windows, iso

log = logging.getLogger(__name__)

HIGH_WATER = "digest_high_water"
"""Newest time at which the agent was seen running; a clock that is behind it and not trusted is wrong."""
HIGH_WATER_STEP = 600_000_000
"""It is written down in steps of ten minutes: each is a write to a card that wears out."""
RESUME = "digest_resume"
"""Where digests go on after the last one turned out to lie far in the future: ``seq:start``, with that one's seq."""
LATE = "digest_late_noted"
AFTER_HEAD = "digest_after_head"
"""Where digests go on behind a head that this disk does not have: ``seq:head:start``, with our last one's seq."""

FLOOR_US = 1_704_067_200_000_000
"""2024-01-01: before this software existed; a board without a battery starts in 1970."""
MOST_AHEAD = DAY
"""When a trusted clock is further behind the last digest than this, that one's time was nonsense."""


class TrustedClock(Protocol):
    """What is asked of :class:`agent.clock.Clock`."""

    @property
    def trusted(self) -> bool: ...
    def now(self) -> int: ...


class Place(Protocol):
    """What is asked of a chain."""

    async def last_digest(self) -> DigestRecord | None: ...
    async def meta(self, key: str) -> str | None: ...
    async def set_meta(self, key: str, value: str) -> None: ...


class Records(Place, Protocol):
    """What is asked of the store."""

    async def span(self) -> tuple[int, int] | None: ...
    async def events(self, start: int, end: int) -> list[Event]: ...
    async def add_loss(self, loss: Loss) -> None: ...
    async def losses_told(self, noted_before: int, seq: int) -> None: ...


class Schedule:
    """Says from when on periods are to be built."""

    def __init__(self, store: Records, windows: Windows, clock: TrustedClock) -> None:
        self._store = store
        self._windows = windows
        self._clock = clock
        self._holding = False

    async def plausible(self) -> bool:
        """Whether a period may be closed by this clock; remembers the time when it may."""
        now = self._clock.now()
        high = int(await self._store.meta(HIGH_WATER) or FLOOR_US)
        good = self._clock.trusted or now >= high
        if good == self._holding:
            self._holding = not good
            if good:
                log.info("the clock can be believed again (%s); digests go on", iso(now))
            else:
                log.warning("the clock says %s, but it was %s already; digests wait for a trusted clock",
                            iso(now), iso(high))  # fmt: skip
        if good and now - high > HIGH_WATER_STEP:
            await self._store.set_meta(HIGH_WATER, str(now))
        return good

    async def start(self) -> int:
        """Where the next period starts; it may lie in the future."""
        last = await self._store.last_digest()
        if last is None:
            return self._windows.start_of(await self._first_sign_of_life())
        resumed = await self._store.meta(RESUME)
        if resumed and int(resumed.partition(":")[0]) == last.seq:
            return int(resumed.partition(":")[2])
        head = await head_ahead(self._store, last.seq + 1)
        if head is not None:
            return await self._after_the_head(last, head)
        now = self._clock.now()
        if self._clock.trusted and last.end > now:
            return await self._after_the_future(last, now)
        return last.end

    async def _first_sign_of_life(self) -> int:
        now = self._clock.now()
        span = await self._store.span()
        starts = [event.time for event in await self._store.events(FLOOR_US, now) if event.kind == "start"]
        signs = [*starts[:1], *(span[:1] if span else ())]
        return min((sign for sign in signs if FLOOR_US <= sign <= now), default=now)

    async def told_until(self, chain: Place) -> int:
        """Up to when an audience has been told, where this disk, an old copy, does not have it; else long ago."""
        last = await chain.last_digest()
        head = await head_ahead(chain, last.seq + 1) if last else None
        if last is None or head is None:
            return -FOREVER
        known = await _known(chain, last, head)
        if known is not None:
            return known
        start, _ = await self._reckoned(last, head)
        await chain.set_meta(AFTER_HEAD, f"{last.seq}:{head.seq}:{start}")
        return start

    async def _after_the_head(self, last: DigestRecord, head: Head) -> int:
        known = await _known(self._store, last, head)
        if known is not None:
            return known
        start, started = await self._reckoned(last, head)
        await self._store.losses_told(started, head.seq)
        await self._store.set_meta(AFTER_HEAD, f"{last.seq}:{head.seq}:{start}")
        return start

    async def _reckoned(self, last: DigestRecord, head: Head) -> tuple[int, int]:
        """Where digests go on behind a head that this disk does not have, and when the agent started on this disk."""
        # This disk is an old copy. The platform has the periods that followed our last digest from the
        # disk that was copied, one a digest, none left out: that tells where they end. What this disk
        # still holds of the first of them is not reported again. Whatever was recorded since the agent
        # started on this disk is new, so that it is reported even where the reckoning fails because the
        # period's length was changed.
        now = self._clock.now()
        first = end = self._windows.end_of(last.end)
        started = next((each.time for each in await self._store.events(first, now + 1) if each.kind == "start"), now)
        newest = self._windows.start_of(started)
        for _ in range(head.seq - last.seq - 1):
            if end >= newest:
                break
            end = self._windows.end_of(end)
        return max(min(end, newest), last.end), started

    async def _after_the_future(self, last: DigestRecord, now: int) -> int:
        # The last digest was closed by a clock that was fast. A closed period never reopens, so a
        # little of that is waited for; what is recorded meanwhile is entered as late.
        if last.end - now <= MOST_AHEAD:
            if last.end - now > self._windows.length and await self._store.meta(LATE) != str(last.seq):
                await self._store.set_meta(LATE, str(last.seq))
                await self._store.add_loss(Loss(now, last.end, "late_data"))
                log.warning("digests were closed up to %s by a fast clock; they go on from there", iso(last.end))
            return last.end
        start = self._windows.start_of(now)
        await self._store.set_meta(RESUME, f"{last.seq}:{start}")
        log.warning("digest %d ends in %s, which is nonsense; digests go on from %s",
                    last.seq, iso(last.end), iso(start))  # fmt: skip
        return start


async def _known(chain: Place, last: DigestRecord, head: Head) -> int | None:
    key = f"{last.seq}:{head.seq}:"
    known = await chain.meta(AFTER_HEAD) or ""
    return int(known.removeprefix(key)) if known.startswith(key) else None
