"""Between sampling and the store: gathers what arrives, and commits it as one block every flush.

When the disk does not take a block, the recorder keeps it, encoded, in memory and tries again at each
flush; what exceeds its bounds is shed, oldest first, and entered in the ledger once the disk is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.buffer.blocks import Block, pack_aside
from agent.buffer.gather import halves, join
from agent.buffer.records import Loss
from agent.buffer.store import BlockTooLarge, Store, StoreUnavailable
from agent.clock import Clock
from drivers.contract import Samples

log = logging.getLogger(__name__)

MAX_PENDING = 4_000_000
"""Samples and scans held in memory while the disk fails; a byte or two each."""
MAX_PENDING_BYTES = 16_000_000
MAX_LOSSES = 200
"""Entries for the ledger between two flushes; beyond it, tags are no longer named."""
_MAX_ROWS = 100_000
"""A block is closed at so many rows, also between two flushes."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A batch on its way to the disk; encoded when it is its turn or when it has to wait."""

    batch: Batch | None
    block: Block | None
    epoch: int
    start: int
    end: int
    samples: int
    rows: int
    """Samples and scans."""


class Recorder:
    """Takes samples and scans without waiting; :meth:`flush` makes them durable."""

    def __init__(self, store: Store, clock: Clock, max_pending: int = MAX_PENDING) -> None:
        """``max_pending``: samples and scans held at most while the disk fails."""
        self._store = store
        self._clock = clock
        self._max_pending = max_pending
        self._blocks: list[tuple[NDArray[np.int32], Samples]] = []
        self._scans: list[tuple[int, int, int]] = []
        self._rows = 0
        self._epoch = clock.epoch
        self._waiting: deque[_Waiting] = deque()
        self._sending: _Waiting | None = None
        self._shed: list[Loss] = []
        self._lost: dict[tuple[str, str, str, int], Loss] = {}
        self._flushing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failing = ""
        """Why the disk does not take data at the moment; empty when it does."""

    def add_samples(self, series: NDArray[np.int32], samples: Samples) -> None:
        """Take over a block; ``series`` (int32) has one id a row. The arrays must not change any more."""
        self._make_way(len(samples))
        self._blocks.append((series, samples))

    def add_scan(self, group_id: int, time_us: int, late: int) -> None:
        """Note that a group was scanned at ``time_us`` after ``late`` skipped scans."""
        self._make_way(1)
        self._scans.append((group_id, time_us, late))

    def add_loss(self, loss: Loss) -> None:
        """Note samples that never arrived; entered in the ledger with the next flush.

        A device that drops samples of very many tags at once gets one entry for those beyond
        ``MAX_LOSSES``, without their names.
        """
        key = (loss.cause, loss.device, loss.series, loss.epoch)
        if key not in self._lost and len(self._lost) >= MAX_LOSSES:
            loss = replace(loss, series="")
            key = (loss.cause, loss.device, "", loss.epoch)
        self._lost[key] = _joined(self._lost[key], loss) if key in self._lost else loss

    def _make_way(self, rows: int) -> None:
        # A block is of one epoch of the clock, so that it can be re-stamped as a whole.
        if self._clock.epoch != self._epoch or self._rows > _MAX_ROWS:
            self._seal()
        self._rows += rows

    def _seal(self) -> None:
        blocks, self._blocks = self._blocks, []
        scans, self._scans = self._scans, []
        epoch, self._epoch = self._epoch, self._clock.epoch
        self._rows = 0
        if blocks or scans:
            batch = join(blocks, scans)
            times = np.concatenate((batch.time, batch.scan_time))
            if len(times):
                self._waiting.append(
                    _Waiting(batch, None, epoch, int(times.min()), int(times.max()), len(batch), len(times))
                )
        self._bound()

    async def flush(self) -> None:
        """Commit everything that was added before the call; never raises for a disk that fails.

        A flush that has begun ends even if the caller is cancelled: otherwise what the disk has taken
        meanwhile would be written again by the next one.
        """
        task = asyncio.create_task(self._flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _flush(self) -> None:
        async with self._flushing:
            self._seal()
            try:
                await self._commit()
            except StoreUnavailable as error:
                if not self.failing:
                    log.error("%s; samples are kept in memory until it works again", error.line())
                self.failing = str(error)
                await self._condense()
                return
            if self.failing:
                self.failing = ""
                log.warning("the disk takes data again; what had to be shed meanwhile is in the ledger")

    async def _commit(self) -> None:
        while self._waiting:
            waiting = self._waiting[0]
            await _encode(waiting)
            self._sending = waiting
            try:
                if waiting.block is not None:
                    await self._store.append_block(waiting.block)
            except BlockTooLarge:
                await self._divide(waiting)
            else:
                self._waiting.popleft()
            finally:
                self._sending = None
        while self._shed:
            await self._store.add_loss(self._shed[0])
            self._shed.pop(0)
        await self._enter_lost()

    async def _enter_lost(self) -> None:
        lost, self._lost = self._lost, {}
        try:
            await self._store.add_losses(list(lost.values()))
        except StoreUnavailable:
            newer, self._lost = self._lost, lost
            for loss in newer.values():
                self.add_loss(loss)
            raise

    async def _divide(self, waiting: _Waiting) -> None:
        parts = await asyncio.to_thread(halves, waiting.block) if waiting.block else []
        self._waiting.popleft()
        if not parts:
            self._note(waiting)
        for batch, start, end in reversed(parts):
            rows = len(batch) + len(batch.scan_time)
            self._waiting.appendleft(_Waiting(batch, None, waiting.epoch, start, end, len(batch), rows))

    async def _condense(self) -> None:
        """Hold what has to wait as bytes, not as arrays."""
        for waiting in list(self._waiting):
            await _encode(waiting)
        self._bound()

    def _bound(self) -> None:
        held = sum(each.rows for each in self._waiting)
        size = sum(len(each.block.data) for each in self._waiting if each.block is not None)
        while len(self._waiting) > 1 and (held > self._max_pending or size > MAX_PENDING_BYTES):
            # What is under way to the disk at this moment is neither lost nor shed.
            oldest = self._waiting[1 if self._waiting[0] is self._sending else 0]
            self._waiting.remove(oldest)
            held -= oldest.rows
            size -= len(oldest.block.data) if oldest.block else 0
            self._note(oldest)

    def _note(self, waiting: _Waiting) -> None:
        loss = Loss(waiting.start, waiting.end, "write_failed", count=waiting.samples, epoch=waiting.epoch)
        if self._shed and self._shed[-1].epoch == loss.epoch:
            loss = _joined(self._shed.pop(), loss)
        self._shed.append(loss)


def _joined(one: Loss, other: Loss) -> Loss:
    start, end = min(one.start, other.start), max(one.end, other.end)
    return replace(one, start=start, end=end, count=one.count + other.count)


async def _encode(waiting: _Waiting) -> None:
    if waiting.batch is not None:
        waiting.block = await pack_aside(waiting.batch, waiting.epoch)
        waiting.batch = None
