"""The byte cap and the retention: what goes, in which order, and where it is written down."""

from __future__ import annotations

import logging

from agent.buffer.branches import Branches
from agent.buffer.database import SMALL, Transaction
from agent.buffer.failures import StoreFull
from agent.buffer.records import Loss
from agent.buffer.restamps import Restamps
from agent.buffer.rollups import KEEP_DAYS_US, Rollups

log = logging.getLogger(__name__)

_KEEP_SETTLED = 96
"""Settled digests that outlive even fresh raw data: a day of quarter hours."""
_SLACK_US = 900_000_000
"""Retention is enforced in steps of so much at most, for the ledger's sake."""


class Limits(Restamps, Branches, Rollups):
    """Oldest raw data first, settled digests next, an unacknowledged digest last."""

    retention_us: int

    async def enforce(self, now_us: int) -> None:
        """Keep to the retention and to the byte cap, and the small tables bounded."""
        await self.finish_restamp()
        horizon = now_us - self.retention_us
        await self._expire(horizon)
        # They are small and tell what became of the raw data, so they stay for as long again.
        old = horizon - self.retention_us
        if old > 0:
            for table, column in (("event", "time"), ("upload", "time"), ("loss", "noted")):
                await self._db.put(f"DELETE FROM {table} WHERE {column} < ?", (old,))
        await self._expire_rollups(horizon, min(old, now_us - KEEP_DAYS_US))
        await self._trim()
        await self.fit()

    async def fit(self) -> None:
        """Bring the files below a cap that has become smaller."""
        if await self._db.free_bytes() < 0:
            await self._shed(2 * SMALL)
        await self._db.shrink()

    async def _expire(self, horizon: int) -> None:
        slack = min(self.retention_us // 100, _SLACK_US)
        if not await self._db.read("SELECT 1 FROM block WHERE last < ? LIMIT 1", (horizon - slack,)):
            return
        while rows := await self._db.read(
            "SELECT id, first, last, samples FROM block WHERE last < ? ORDER BY last LIMIT ?", (horizon, self.piece)
        ):
            await self._drop(rows, "retention")

    async def _shed(self, wanted: int) -> None:
        """Make ``wanted`` bytes free within the cap. Raises StoreFull when nothing is left to go."""
        while (missing := wanted - await self._db.free_bytes()) > 0:
            if not (
                await self._shed_blocks(missing)
                or await self._shed_digests(missing, "state != 'pending'", _KEEP_SETTLED)
                or await self._shed_aside(missing, "became IS NOT NULL")
                or await self._shed_rows()
                or await self._shed_rollups()
                or await self._shed_digests(missing, "state != 'pending'", 1)
                or await self._shed_aside(missing, "became IS NULL")
                or await self._shed_digests(missing, "state = 'pending'", 1)
            ):
                raise StoreFull(f"{self._db.path}: nothing is left to make room", remedy="raise [buffer] max_size")

    async def _shed_blocks(self, missing: int) -> bool:
        rows = await self._db.read(
            "SELECT id, first, last, samples, LENGTH(data) FROM block ORDER BY last, id LIMIT ?", (self.piece,)
        )
        chosen = []
        for *row, size in rows:
            chosen.append(tuple(row))
            missing -= size
            if missing <= 0:
                break
        if chosen:
            await self._drop(chosen, "shed_cap")
        return bool(chosen)

    async def _shed_digests(self, missing: int, condition: str, keep: int) -> bool:
        """The oldest digests of a kind but the ``keep`` newest of each stream: the chain needs its head, and what
        follows needs the last period's."""
        rows = await self._db.read(
            f"SELECT stream, seq, LENGTH(body), first, last, state = 'pending' FROM digest AS one"
            f" WHERE {condition} AND seq <= (SELECT MAX(seq) FROM digest WHERE stream = one.stream) - ?"
            " AND seq < COALESCE((SELECT MAX(seq) FROM digest WHERE stream = one.stream AND kind = 'period'), seq + 1)"
            " ORDER BY first, seq LIMIT 16",
            (keep,),
        )
        chosen = []
        for stream, seq, size, *rest in rows:
            chosen.append((stream, seq, *rest))
            missing -= size
            if missing <= 0:
                break
        if not chosen:
            return False

        async def work(transaction: Transaction) -> None:
            await transaction.run_each("DELETE FROM digest WHERE stream = ? AND seq = ?", [each[:2] for each in chosen])
            for stream, _, first, last, pending in chosen:
                if pending:
                    await self._enter(transaction, Loss(first, last, "digest_shed", count=1, stream=stream))

        await self._db.write(work, size=64 * 1024, may_shed=False)
        return True

    async def _shed_aside(self, missing: int, condition: str) -> bool:
        """The oldest that were set aside; those whose evidence is nowhere else are a loss."""
        rows = await self._db.read(
            "SELECT id, LENGTH(body), first, last, stream, became IS NULL FROM digest_aside"
            f" WHERE {condition} ORDER BY id LIMIT 16"
        )
        chosen = []
        for number, size, *rest in rows:
            chosen.append((number, *rest))
            missing -= size
            if missing <= 0:
                break
        if not chosen:
            return False

        async def work(transaction: Transaction) -> None:
            await transaction.run_each("DELETE FROM digest_aside WHERE id = ?", [(number,) for number, *_ in chosen])
            await transaction.run_each(
                "UPDATE loss SET reported = 0 WHERE reported = ?", [(-number,) for number, *_ in chosen]
            )
            for _, first, last, stream, undecided in chosen:
                if undecided:
                    await self._enter(transaction, Loss(first, last, "digest_shed", count=1, stream=stream))

        await self._db.write(work, size=64 * 1024, may_shed=False)
        return True

    async def _shed_rows(self) -> bool:
        """Half of the events and uploads, when there are enough of them to matter."""
        some = False
        for table in ("event", "upload"):
            ((newest, oldest),) = await self._db.read(f"SELECT MAX(id), MIN(id) FROM {table}")
            if newest is not None and newest - oldest > 1000:
                middle = min(oldest + 1000, (newest + oldest) // 2)

                async def work(transaction: Transaction, table: str = table, middle: int = middle) -> None:
                    await transaction.run(f"DELETE FROM {table} WHERE id <= ?", (middle,))

                await self._db.write(work, size=64 * 1024, may_shed=False)
                some = True
        return some
