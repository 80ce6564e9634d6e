"""Re-stamping: what a clock that was wrong has stamped is corrected when the time is known."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from agent.buffer.blocks import Blocks
from agent.buffer.codec import CorruptBlock, decode
from agent.buffer.database import Transaction
from agent.buffer.failures import StoreUnavailable
from agent.buffer.records import Closed, Loss
from agent.buffer.room import FOREVER

_RESTAMPING = "restamping"


NOTHING_CLOSED = Closed(0, 0, -FOREVER)


class Restamps(Blocks):
    """Blocks whose times may be corrected."""

    async def load(self) -> None:
        if not self._db.read_only:
            await self.finish_restamp()
        await super().load()

    async def restamp(self, epoch: int, correction_us: int, closed: Closed = NOTHING_CLOSED) -> None:
        """Shift everything stamped in an epoch of the clock (L11); corrections of one epoch add up.

        One transaction decides it. The blocks' own stamps are never rewritten; the intervals by which
        they are found follow in pieces, and readers wait for that. It is finished at the next start
        if it is cut short. Samples that no digest has told of and none will, because they move into a
        period that is ``closed``, are entered in the ledger.
        """

        async def work(transaction: Transaction) -> None:
            if late is not None:
                await self._enter(transaction, late)
            await transaction.run(
                "INSERT INTO clock_epoch (id, correction) VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET correction = correction + excluded.correction",
                (epoch, correction_us),
            )
            await transaction.run("UPDATE event SET time = time + ? WHERE epoch = ?", (correction_us, epoch))
            await transaction.run(
                "UPDATE loss SET first = first + ?1, last = last + ?1 WHERE epoch = ?2", (correction_us, epoch)
            )
            await transaction.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, '1')", (_RESTAMPING,))

        def shift() -> None:
            self._shifts[epoch] = self._shifts.get(epoch, 0) + correction_us

        async with self._moving:
            late = await self._late(epoch, correction_us, closed)
            await self._db.write(work, size=self._db.log_limit // 2, then=shift)
            # Decided; what cannot be moved now is moved by finish_restamp.
            with suppress(StoreUnavailable):
                await self._follow()
            ((self._first,),) = await self._db.read("SELECT COALESCE(MIN(first), 0) FROM block")

    def restamped(self, epoch: int) -> int:
        """By how much that was done for an epoch so far."""
        return self._shifts.get(epoch, 0)

    async def finish_restamp(self) -> None:
        """Move what a correction that was cut short has left where it was."""
        async with self._moving:
            if await self._db.read("SELECT 1 FROM meta WHERE key = ?", (_RESTAMPING,)):
                await self._follow()

    async def _follow(self) -> None:
        after, piece = -1, self.piece
        while after < FOREVER:
            start = after

            async def work(transaction: Transaction, start: int = start) -> int:
                rows = await transaction.rows(
                    "SELECT block.id, correction - shift FROM block JOIN clock_epoch ON clock_epoch.id = epoch"
                    " WHERE block.id > ? AND shift != correction ORDER BY block.id LIMIT ?",
                    (start, piece),
                )
                await transaction.run_each(
                    "UPDATE block SET first = first + ?2, last = last + ?2, shift = shift + ?2 WHERE id = ?1", rows
                )
                if not rows:
                    await transaction.run("DELETE FROM meta WHERE key = ?", (_RESTAMPING,))
                return rows[-1][0] if rows else FOREVER

            after = await self._db.write(work, size=piece * 4096)

    async def _late(self, epoch: int, correction: int, closed: Closed) -> Loss | None:
        """What of the epoch is in no digest and, corrected, will be in none."""
        # A little more than that: blocks that lie across a border are looked into.
        rows = await self._db.read(
            "SELECT id, first, last, shift, samples FROM block"
            " WHERE epoch = ?1 AND first + ?2 < ?3 AND NOT (first >= ?4 AND last < ?5)",
            (epoch, correction, closed.until, closed.since, closed.told),
        )
        count, first, last = 0, FOREVER, -FOREVER
        for number, begin, end, shift, samples in rows:
            outside = end < closed.since or begin >= closed.told
            if not outside or end + correction >= closed.until:
                begin, end, samples = await self._looked_into(number, shift, correction, closed)
            if samples:
                count, first, last = count + samples, min(first, begin), max(last, end)
        return Loss(first + correction, last + correction, "late_data", count=count) if count else None

    async def _looked_into(self, number: int, shift: int, correction: int, closed: Closed) -> tuple[int, int, int]:
        ((data,),) = await self._db.read("SELECT CAST(data AS BLOB) FROM block WHERE id = ?", (number,))
        try:
            time = decode(data).time + shift
        except CorruptBlock:
            return 0, 0, 0  # entered as that when it is read
        told = (time >= closed.since) & (time < closed.told)
        late = time[~told & (time + correction < closed.until)]
        return (int(np.min(late)), int(np.max(late)), len(late)) if len(late) else (0, 0, 0)
