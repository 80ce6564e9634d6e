"""Raw data: appended as encoded blocks, read back by interval, set aside when damaged."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from agent.buffer.batch import Batch
from agent.buffer.codec import CorruptBlock, decode, encode
from agent.buffer.database import Database, Row, Transaction, footprint
from agent.buffer.failures import BlockTooLarge
from agent.buffer.ledger import Ledger
from agent.buffer.records import Loss
from agent.errors import GongfuError

log = logging.getLogger(__name__)

_PAGE_OF_NUMBERS = 256
_PAGE_OF_DATA = 4
_KEPT_ASIDE = 32
"""Damaged blocks that are kept for whoever wants to know."""
_OFFLOAD = 2000
"""Rows from which encoding, and bytes from which decoding, is worth a thread: less than a millisecond."""


@dataclass(frozen=True, slots=True)
class Block:
    """A batch as it is stored: a byte or two a sample, so that much of it can wait in memory."""

    data: bytes
    first: int
    last: int
    samples: int
    epoch: int


def pack(batch: Batch, epoch: int = 0) -> Block | None:
    """The batch as a block; None when there is nothing in it."""
    times = [column for column in (batch.time, batch.scan_time) if len(column)]
    if not times:
        return None
    first, last = min(int(column.min()) for column in times), max(int(column.max()) for column in times)
    return Block(encode(batch), first, last, len(batch), epoch)


async def pack_aside(batch: Batch, epoch: int = 0) -> Block | None:
    """:func:`pack`, in a thread when it would hold the event loop up."""
    rows = len(batch) + len(batch.scan_time)
    return await asyncio.to_thread(pack, batch, epoch) if rows > _OFFLOAD else pack(batch, epoch)


class Blocks(Ledger):
    """Blocks, and the ledger in which every lost one is entered in the same transaction."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        super().__init__(database, now)
        self._samples = 0
        self._first = 0
        self._moving = asyncio.Lock()

    async def load(self) -> None:
        await super().load()
        ((self._samples, self._first),) = await self._db.read(
            "SELECT COALESCE(SUM(samples), 0), COALESCE(MIN(first), 0) FROM block"
        )

    async def refill(self, transaction: Transaction) -> None:
        await super().refill(transaction)
        first, samples = self._db.lost or (0, 0)
        ((kept, oldest),) = await transaction.rows(
            "SELECT COALESCE(SUM(samples), 0), COALESCE(MIN(first), 0) FROM block"
        )
        count = max((self._samples or samples) - kept, 0)
        if count or not kept:
            await self._enter(transaction, Loss(self._first or first, self._now(), "corrupt", count=count))
        self._samples, self._first = kept, oldest

    async def append(self, batch: Batch, epoch: int = 0) -> None:
        """Store a batch, stamped in ``epoch`` of the clock; on disk when this returns.

        Raises StoreUnavailable when the disk does not take it, BlockTooLarge when it has to be divided.
        """
        block = await pack_aside(batch, epoch)
        if block is not None:
            await self.append_block(block)

    async def append_block(self, block: Block) -> None:
        """Store a block; see :meth:`append`."""
        if footprint(len(block.data)) > self._db.log_limit:
            raise BlockTooLarge(f"a block of {len(block.data)} bytes does not fit", remedy="raise [buffer] max_size")
        await self._db.write(
            lambda transaction: self._insert(transaction, block),
            size=len(block.data),
            then=partial(self._count, block),
        )

    def _count(self, block: Block) -> None:
        first = block.first + self._shifts.get(block.epoch, 0)
        self._first = min(self._first, first) if self._samples else first
        self._samples += block.samples

    def _discount(self, loss: Loss, *, oldest: bool) -> None:
        self._samples -= loss.count
        if oldest:
            self._first = max(self._first, loss.end)

    async def _insert(self, transaction: Transaction, block: Block) -> None:
        shift = self._shifts.get(block.epoch, 0)
        await transaction.run(
            "INSERT INTO block (epoch, shift, first, last, samples, data) VALUES (?, ?, ?, ?, ?, ?)",
            (block.epoch, shift, block.first + shift, block.last + shift, block.samples, block.data),
        )

    # -- reading -------------------------------------------------------------------------------------

    async def blocks(self, start: int, end: int) -> AsyncIterator[Batch]:
        """Whole blocks that overlap [start, end), oldest first, with corrected times.

        No transaction stays open between two blocks. A block that does not decode is set aside,
        entered in the ledger, and skipped.
        """
        after = (start, -1)
        while True:
            async with self._moving:
                numbers = await self._db.read(
                    "SELECT last, id FROM block WHERE last >= ? AND first < ? AND (last, id) > (?, ?)"
                    " ORDER BY last, id LIMIT ?",
                    (start, end, *after, _PAGE_OF_NUMBERS),
                )
            for at in range(0, len(numbers), _PAGE_OF_DATA):
                for row in await self._rows([number for _, number in numbers[at : at + _PAGE_OF_DATA]]):
                    batch = await self._decoded(row)
                    if batch is not None:
                        yield batch
            if len(numbers) < _PAGE_OF_NUMBERS:
                return
            after = numbers[-1]

    async def _rows(self, numbers: list[int]) -> list[Row]:
        marks = ", ".join("?" * len(numbers))
        rows = await self._db.read(
            "SELECT block.id, first, last, COALESCE(correction, 0), samples, CAST(data AS BLOB)"
            f" FROM block LEFT JOIN clock_epoch ON clock_epoch.id = epoch WHERE block.id IN ({marks})",
            numbers,
        )
        return sorted(rows, key=lambda row: numbers.index(row[0]))

    async def _decoded(self, row: Row) -> Batch | None:
        number, first, last, correction, samples, data = row
        try:
            batch = await asyncio.to_thread(decode, data) if len(data) > _OFFLOAD else decode(data)
        except CorruptBlock as error:
            await self._quarantine(number, str(error), Loss(first, last, "corrupt", count=samples))
            return None
        return _corrected(batch, correction) if correction else batch

    async def _quarantine(self, number: int, reason: str, loss: Loss) -> None:
        log.error("block %d is damaged (%s) and left out: %d samples", number, reason, loss.count)
        if self._db.read_only:
            return  # the agent will set it aside

        async def work(transaction: Transaction) -> None:
            await transaction.run("DELETE FROM quarantine WHERE id <= ?", (number - _KEPT_ASIDE,))
            await transaction.run(
                "INSERT OR IGNORE INTO quarantine SELECT id, ?, data FROM block WHERE id = ?", (reason, number)
            )
            await transaction.run(
                "DELETE FROM quarantine WHERE id NOT IN (SELECT id FROM quarantine ORDER BY id DESC LIMIT ?)",
                (_KEPT_ASIDE,),
            )
            await transaction.run("DELETE FROM block WHERE id = ?", (number,))
            await self._enter(transaction, loss)

        try:
            ((size,),) = await self._db.read("SELECT LENGTH(data) FROM block WHERE id = ?", (number,))
            await self._db.write(work, size=size, then=partial(self._discount, loss, oldest=False))
        except (GongfuError, ValueError) as error:
            log.debug("block %d stays for now: %s", number, error)

    async def span(self) -> tuple[int, int] | None:
        """Times of the first and the last thing recorded, or None."""
        async with self._moving:
            ((first, last),) = await self._db.read("SELECT MIN(first), MAX(last) FROM block")
        return None if first is None else (int(first), int(last))

    @property
    def piece(self) -> int:
        """How many blocks one transaction may touch within the log's part of the cap."""
        return self._db.log_limit // 8192

    async def _drop(self, rows: list[Row], cause: str) -> None:
        """Delete blocks (id, first, last, samples), and say so in the ledger, in one transaction."""
        loss = Loss(
            min(first for _, first, _, _ in rows),
            max(last for _, _, last, _ in rows),
            cause,
            count=sum(samples for _, _, _, samples in rows),
        )

        async def work(transaction: Transaction) -> None:
            await transaction.run_each("DELETE FROM block WHERE id = ?", [(number,) for number, *_ in rows])
            await self._enter(transaction, loss)

        then = partial(self._discount, loss, oldest=True)
        await self._db.write(work, size=len(rows) * 4096, may_shed=False, then=then)


def _corrected(batch: Batch, correction: int) -> Batch:
    time = batch.time + correction
    source = batch.source_time
    if source is not None:  # where the device gave no time, it is ours
        source = np.where(source == batch.time, time, source)
    return dataclasses.replace(
        batch, time=time, source_time=source, scan_time=batch.scan_time + correction, corrected=True
    )
