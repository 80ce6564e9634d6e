"""Builds the digest of each period when it has closed, and the missing ones after an absence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol
from zoneinfo import ZoneInfo

from agent import __version__
from agent.buffer.batch import Batch
from agent.buffer.records import Closed, Event, Loss, RollupRecord
from agent.buffer.room import FOREVER
from agent.config.model import Configuration
from agent.digest import rollups
from agent.digest.accumulate import Accumulator
from agent.digest.audience import View
from agent.digest.build import Known, conclude
from agent.digest.chain import next_link
from agent.digest.effect import local_date
from agent.digest.inputs import DigestInputs, Facts
from agent.digest.links import Chains, Links, Signer
from agent.digest.prescriptions import Prescribed, lines, look_back, to_be_told
from agent.digest.report import PrescriptionLine, encode
from agent.digest.rolling import Rolling
from agent.digest.rollups import LONGEST_WINDOW_DAYS, PERIOD, Kept, Sums, days_of, kept_of
from agent.digest.schedule import FLOOR_US, Schedule
from agent.digest.spans import Rolled
from agent.digest.spec import DigestSpec, compile_spec
from agent.digest.windows import DAY, Period, Windows, iso
from agent.errors import GongfuError

log = logging.getLogger(__name__)

MARGIN_US = 1_000_000
"""After a period's end and the flush, before it is closed: for answers that were on their way."""
LONGEST_WAIT = 15.0
"""Seconds between looks at the clock, so that a step of it is not slept through."""
RECHECK = 1.0
"""Seconds between tries while a period is due and the clock is not believed."""
RETRY_AFTER = 5.0
"""Seconds to wait when the store could not be read or written."""


class DigestStore(Chains, Protocol):
    """What the service asks of :class:`agent.buffer.store.Store`."""

    chain: asyncio.Lock

    def blocks(self, start: int, end: int) -> AsyncIterator[Batch]: ...
    async def series_names(self) -> dict[int, str]: ...
    async def groups(self) -> dict[int, tuple[str, int]]: ...
    async def span(self) -> tuple[int, int] | None: ...
    async def events(self, start: int, end: int) -> list[Event]: ...
    async def restamp(self, epoch: int, correction_us: int, closed: Closed) -> None: ...
    async def unreported(self, until: int) -> list[Loss]: ...
    async def close_losses(self, until: int) -> list[Loss]: ...
    async def losses_told(self, noted_before: int, seq: int) -> None: ...
    async def add_loss(self, loss: Loss) -> None: ...
    async def rollups(self, kind: str, start: int, end: int) -> list[RollupRecord]: ...
    async def rollup_ending(self, kind: str, end: int) -> RollupRecord | None: ...


class DigestClock(Protocol):
    """What the service asks of :class:`agent.clock.Clock`."""

    source: str

    @property
    def trusted(self) -> bool: ...
    @property
    def epoch_age_s(self) -> float: ...
    @property
    def offset_us(self) -> int: ...
    def now(self) -> int: ...


class DigestService:
    """One a gateway. ``flush`` writes to the store what has been sampled; without it, ``[buffer] flush`` is
    waited for. ``built`` is set whenever a digest was added; whoever waits for it clears it."""

    def __init__(
        self,
        store: DigestStore,
        configuration: Configuration,
        clock: DigestClock,
        identity: Signer,
        *,
        flush: Callable[[], Awaitable[object]] | None = None,
        prescribed: Callable[[int], Sequence[Prescribed]] | None = None,
    ) -> None:
        """``prescribed``: the prescriptions as they stood at a time (UTC microseconds); may read files."""
        self._store = store
        self._configuration = configuration
        self._clock = clock
        self._identity = identity
        self._flush = flush
        self._prescribed = prescribed
        file = configuration.file
        self._windows = Windows(round(file.digest.period * 1e6), ZoneInfo(file.gateway.timezone))
        self._schedule = Schedule(store, self._windows, clock, self._spans)
        self._links = Links(store, identity, configuration)
        self._rolling = Rolling(store, configuration, self._links, self._facts)
        self._grace = MARGIN_US + (0 if flush else round(file.buffer.flush * 1e6))
        self._building = asyncio.Lock()
        self._epoch_from: int | None = None
        """How far digests had come when the running epoch of the clock began; None: it begins now."""
        self.built = asyncio.Event()
        self._listeners = [self.built]

    def listen(self) -> asyncio.Event:
        """Set whenever a digest was added, as :attr:`built`, for somebody else who waits."""
        self._listeners.append(asyncio.Event())
        return self._listeners[-1]

    def _tell_listeners(self) -> None:
        for event in self._listeners:
            event.set()

    async def configure(self, configuration: Configuration) -> None:
        """Report by another configuration from the running period on.

        A period that runs keeps its end: another length holds from the next one on.
        """
        length = round(configuration.file.digest.period * 1e6)
        async with self._building:
            if length != self._windows.length:
                running_until = self._windows.end_of(await self._schedule.start())
                self._windows = Windows(length, self._windows.zone, running_until)
                self._schedule = Schedule(self._store, self._windows, self._clock, self._spans)
            self._configuration = configuration
            self._links.configure(configuration)
            self._rolling = Rolling(self._store, configuration, self._links, self._facts)

    async def run(self) -> None:
        """Build what is due, then at the end of each period; until cancelled."""
        failing = False
        while True:
            try:
                await self.build_due()
                wait = await self._until_next()
                failing = False
            except GongfuError as error:
                if not failing:
                    log.error("digests wait: %s", error.line())
                failing, wait = True, RETRY_AFTER
            await asyncio.sleep(wait)

    async def build_due(self) -> int:
        """Build every period that has closed and has no digest yet, and behind each the shifts, days, weeks and months
        that are complete with it; returns how many periods were built.

        Raises GongfuError when the store cannot be read or written; what was built so far is kept.
        """
        async with self._building:
            await self._note_epoch()
            if not await self._schedule.plausible():
                return 0
            await self._relink()
            await self._links.open_for(self._windows.start_of(self._clock.now()))
            until = self._clock.now() - self._grace
            start = await self._schedule.start()
            if not await self._roll_up(start) or self._windows.end_of(start) > until:
                return 0
            if self._flush:
                await self._flush()
            spec = await self._spec()
            boots = await self._boots(start)
            count = 0
            for period in self._windows.closed(start, until, self._schedule.missing()):
                if not await self._build(period, spec, [event for event in boots if event.time >= period.end]):
                    break
                count += 1
                built = period
                if not await self._roll_up(period.end):
                    break
            if count > 1:
                log.info("built %d missing digests, up to %s", count, iso(built.end))
            return count

    async def restamp(self, epoch: int, correction_us: int) -> None:
        """Correct what an epoch of the clock has stamped, between two digests; what no digest will tell of
        because it moves into a closed period is entered in the ledger. Raises StoreUnavailable."""
        async with self._building:
            await self._note_epoch()
            last, since = await self._store.last_digest(PERIOD), self._epoch_from or 0
            until = await self._schedule.start() if last is not None else -FOREVER
            await self._store.restamp(epoch, correction_us, Closed(since, last.end if last else since, until))

    def epoch_begins(self) -> None:
        """From now on another epoch of the clock stamps."""
        self._epoch_from = None

    async def _note_epoch(self) -> None:
        if self._epoch_from is None:
            last = await self._store.last_digest(PERIOD)
            # Without a digest, whatever was recorded is still to be told.
            self._epoch_from = last.end if last is not None else -FOREVER

    async def _relink(self) -> None:
        await self._links.discard_impossible()
        async with self._store.chain:
            if not await self._links.undecided():
                return
            await self._links.relink(await self._schedule.start(), self._schedule, self._complete)
        self._tell_listeners()

    def _spans(self, time: int) -> list[Rolled]:
        return self._rolling.spans(time)

    async def _roll_up(self, following: int) -> bool:
        """Build what is complete when the next period begins at ``following``; False when a chain was moved."""
        views = [view for view in self._links.views if await self._rolling.due(view, following, self._schedule)]
        if not views:
            return True
        async with self._store.chain:
            if await self._links.undecided():
                return False
            for view in views:
                await self._complete(view, following)
        self._tell_listeners()
        return True

    async def _complete(self, view: View, following: int) -> None:
        for rolled in await self._rolling.due(view, following, self._schedule):
            await self._rolling.build(view, rolled)

    async def preview(self, audience: str = "") -> bytes:
        """The running period as it would be reported if it ended now: neither signed nor in the chain.

        ``audience``: one that is configured; empty: the platform that the gateway belongs to.
        """
        now = self._clock.now() // 1_000 * 1_000  # machines are measured in whole milliseconds
        start = self._windows.start_of(now)
        last = await self._store.last_digest(PERIOD)
        if last is not None and start < last.end < now:
            start = last.end
        period, spec = Period(start, max(now, start + 1)), await self._spec()
        losses = await self._store.unreported(period.end)
        before = await self._before(period)
        inputs = await self._inputs(period, spec, [], losses, before)
        known, _ = await self._concluded(inputs, await self._observed(period, spec, before))
        place = await next_link(self._store.stream_of(audience))
        view = self._links.view(audience)
        return await asyncio.to_thread(lambda: encode(self._links.placed(known.told(view), *place)))

    async def _until_next(self) -> float:
        end = self._windows.end_of(await self._schedule.start())
        left = (end + self._grace - self._clock.now()) / 1e6
        if left <= 0:  # due, but the clock is not believed; or one more ended meanwhile
            return RECHECK
        return min(max(left, 0.05), LONGEST_WAIT)

    async def _build(self, period: Period, spec: DigestSpec, later: Sequence[Event]) -> bool:
        """Build and keep the digest of a period; False when the chain was moved meanwhile."""
        before = await self._before(period)
        seen = await self._observed(period, spec, before)
        async with self._store.chain:
            if await self._links.undecided():
                return False
            losses = await self._store.close_losses(period.end)
            inputs = await self._inputs(period, spec, later, losses, before)
            known, kept = await self._concluded(inputs, seen)
            sums = self._sums(inputs, kept)
            record = await self._links.publish(period, known.told, self._schedule, sums=sums)
        self._tell_listeners()
        log.debug("digest %d: %s to %s, %d bytes", record.seq, iso(period.start), iso(period.end), len(record.body))
        return True

    async def _before(self, period: Period) -> Kept:
        """What was open is known only to the period that ended where this one begins."""
        kept = kept_of(await self._store.rollup_ending(rollups.PERIOD, period.start))
        return kept or Kept(sums=Sums(start=period.start, end=period.start, covered_us=0))

    async def _observed(self, period: Period, spec: DigestSpec, before: Kept) -> Accumulator:
        # Batch by batch, each in a thread of its own: scans must not wait for arithmetic, and a
        # quarter of an hour of 10,000 tags would not fit into memory at once.
        accumulator = await asyncio.to_thread(Accumulator, spec, period, before.paths)
        async for batch in self._store.blocks(period.start - spec.lookback_us, period.end):
            await asyncio.to_thread(accumulator.add, batch)
        return accumulator

    async def _inputs(
        self, period: Period, spec: DigestSpec, later: Sequence[Event], losses: Sequence[Loss], before: Kept
    ) -> DigestInputs:
        oldest = rollups.days_before(period.start, self._windows.zone, LONGEST_WINDOW_DAYS)
        days = await self._store.rollups(rollups.DAY, oldest, period.start + 1)
        return DigestInputs(
            period=period,
            spec=spec,
            enterprise=self._configuration.file.enterprise,
            facts=self._facts(),
            events=[*await self._store.events(period.start, period.end), *later],
            losses=losses,
            carries=before.carries,
            paths=before.paths,
            days=await asyncio.to_thread(days_of, days),
            prescriptions=await self._prescriptions(period, spec),
        )

    async def _prescriptions(self, period: Period, spec: DigestSpec) -> tuple[PrescriptionLine, ...]:
        if self._prescribed is None:
            return ()
        zone = self._windows.zone
        told = to_be_told(await asyncio.to_thread(self._prescribed, period.end), period, zone)
        today, first = local_date(period.start, zone), look_back(told)
        needed = (
            await self._store.rollups(rollups.DAY, rollups.day_begin(first, zone), rollups.day_begin(today, zone))
            if first
            else []
        )
        return await asyncio.to_thread(lambda: lines(told, spec, days_of(needed), today, zone))

    async def _concluded(self, inputs: DigestInputs, seen: Accumulator) -> tuple[Known, Kept]:
        return await asyncio.to_thread(lambda: conclude(inputs, seen.result()))

    def _sums(self, inputs: DigestInputs, kept: Kept) -> list[RollupRecord]:
        zone = self._windows.zone
        today = rollups.day_of(inputs.period.start, zone)
        so_far = next((day for day in inputs.days if today.start <= day.start < today.end), None)
        return rollups.records(kept, rollups.with_period(so_far, kept.sums), zone)

    def _facts(self) -> Facts:
        return Facts(
            gateway=self._identity.gateway_id,
            timezone=self._configuration.file.gateway.timezone,
            config_hash=self._configuration.hash,
            agent_version=__version__,
            clock_trusted=self._clock.trusted,
            clock_source=self._clock.source,
            offset_us=self._clock.offset_us,
        )

    async def _spec(self) -> DigestSpec:
        # Looked up, not made: a preview works on a store that is open for reading only.
        series = {name: number for number, name in (await self._store.series_names()).items()}
        groups = {key: number for number, key in (await self._store.groups()).items()}
        return await asyncio.to_thread(compile_spec, self._configuration, series, groups)

    async def _boots(self, start: int) -> list[Event]:
        # Starts and stops of the agent since then; day by day, for there may be many other events.
        now, boots = self._clock.now(), []
        for begin in range(max(start, FLOOR_US), now + 1, DAY):
            events = await self._store.events(begin, min(begin + DAY, now + 1))
            boots += [event for event in events if event.kind in ("start", "stop")]
        return boots
