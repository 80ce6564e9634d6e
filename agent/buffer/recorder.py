"""Between sampling and the store: gathers what arrives, and commits it as one block every flush.

When the disk does not take a block, the recorder keeps what it can hold in memory and tries again at
each flush; what exceeds its bound is shed, oldest first, and entered in the ledger once the disk is
back.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.buffer.records import Loss
from agent.buffer.store import Store, StoreUnavailable
from agent.clock import Clock
from drivers.contract import Samples

log = logging.getLogger(__name__)

MAX_PENDING = 1_000_000
"""Samples held in memory while the disk fails; about 25 bytes each."""


class Recorder:
    """Takes samples and scans without waiting; :meth:`flush` makes them durable."""

    def __init__(self, store: Store, clock: Clock, flush_s: float = 5.0, max_pending: int = MAX_PENDING) -> None:
        self._store = store
        self._clock = clock
        self.flush_s = flush_s
        self._max_pending = max_pending
        self._blocks: list[tuple[NDArray[np.int32], Samples]] = []
        self._scans: list[tuple[int, int, int]] = []
        self._epoch = clock.epoch
        self._pending: deque[tuple[Batch, int]] = deque()
        self._losses: list[Loss] = []
        self._flushing = asyncio.Lock()
        self.failing = ""
        """Why the disk does not take data at the moment; empty when it does."""

    def add_samples(self, series: NDArray[np.int32], samples: Samples) -> None:
        """Take over a block; ``series`` (int32) has one id a row."""
        self._blocks.append((series, samples))

    def add_scan(self, group_id: int, time_us: int, late: int) -> None:
        """Note that a group was scanned at ``time_us`` after ``late`` skipped scans."""
        self._scans.append((group_id, time_us, late))

    async def flush(self) -> None:
        """Commit everything that was added before the call; never raises for a disk that fails."""
        async with self._flushing:
            self._gather()
            try:
                await self._commit()
            except StoreUnavailable as error:
                if not self.failing:
                    log.error("%s; keeping data in memory", error.line())
                self.failing = str(error)
                self._bound()
                return
            if self.failing:
                log.info("the disk takes data again")
                self.failing = ""

    def _gather(self) -> None:
        if self._blocks or self._scans:
            blocks, self._blocks = self._blocks, []
            scans, self._scans = self._scans, []
            self._pending.append((_batch(blocks, scans), self._epoch))
        self._epoch = self._clock.epoch

    async def _commit(self) -> None:
        while self._pending:
            batch, epoch = self._pending[0]
            await self._store.append(batch, epoch)
            self._pending.popleft()
        while self._losses:
            await self._store.add_loss(self._losses[0])
            self._losses.pop(0)

    def _bound(self) -> None:
        held = sum(len(batch) + len(batch.scan_group) for batch, _ in self._pending)
        while held > self._max_pending and len(self._pending) > 1:
            batch, _ = self._pending.popleft()
            held -= len(batch) + len(batch.scan_group)
            times = np.concatenate((batch.time, batch.scan_time))
            loss = Loss(int(times.min()), int(times.max()), "write_failed", count=len(batch))
            if self._losses and self._losses[-1].cause == loss.cause:
                previous = self._losses.pop()
                loss = dataclasses.replace(loss, start=previous.start, count=previous.count + loss.count)
            self._losses.append(loss)


def _batch(blocks: list[tuple[NDArray[np.int32], Samples]], scans: list[tuple[int, int, int]]) -> Batch:
    columns = [samples for _, samples in blocks]
    text: dict[int, str] = {}
    row = 0
    for samples in columns:
        text.update({row + number: value for number, value in samples.text.items()})
        row += len(samples)
    scan = np.array(scans, np.int64).reshape(-1, 3)
    has_source = any(samples.source_time is not None for samples in columns)
    return Batch(
        series=_join([series for series, _ in blocks], np.int32),
        time=_join([samples.time for samples in columns], np.int64),
        value=_join([samples.value for samples in columns], np.float64),
        quality=_join([samples.quality for samples in columns], np.uint8),
        source_time=_join([_source(samples) for samples in columns], np.int64) if has_source else None,
        text=text,
        scan_group=scan[:, 0].astype(np.int32),
        scan_time=scan[:, 1],
        scan_late=scan[:, 2].astype(np.int32),
    )


def _source(samples: Samples) -> NDArray[np.int64]:
    return samples.time if samples.source_time is None else samples.source_time


def _join(arrays: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)
