"""The byte cap and the retention: what goes, in which order, and where it is written down."""

from __future__ import annotations

import logging

from agent.buffer.branches import Branches
from agent.buffer.database import SMALL, Transaction
from agent.buffer.failures import StoreFull
from agent.buffer.records import Loss
from agent.buffer.restamps import Restamps
from agent.buffer.rollups import KEEP_DAYS_US, Rollups
from agent.buffer.room import FOREVER

log = logging.getLogger(__name__)

_KEEP_SETTLED = 96
"""Settled digests that outlive even fresh raw data: a day of quarter hours."""
HORIZON = "retention_horizon"
DAY_US = 86_400_000_000
_HORIZON_STEP_US = 3_600_000_000
_SLACK_US = 900_000_000
"""Retention is enforced in steps of so much at most, for the ledger's sake."""


class Limits(Restamps, Branches, Rollups):
    """Oldest raw data first, settled digests next, an unacknowledged digest last."""

    retention_us: int
    _horizon: int | None = None
    """Up to when things may have gone because of their age, as it is written down; None: not looked up yet."""
    _credit: int = 0

    async def enforce(self, now_us: int | None, allowance_us: int | None = None) -> None:
        """Keep to the retention and to the byte cap, and the small tables bounded.

        ``now_us``: None while nobody vouches for the time; then nothing goes because of its age. ``allowance_us``:
        by how much the horizon of what is kept may move on at most since it moved last, in this life or an
        earlier one: whoever vouches may be wrong, and what is gone does not come back. None: by any amount.
        """
        await self.finish_restamp()
        if now_us is not None:
            await self._enforce_retention(now_us, allowance_us)
        await self._trim()
        await self.fit()

    async def _enforce_retention(self, now_us: int, allowance_us: int | None) -> None:
        horizon = now_us - self.retention_us
        if allowance_us is not None:
            horizon = await self._moved_on(horizon, allowance_us)
        await self._expire(horizon, now_us)
        # They are small and tell what became of the raw data, so they stay for as long again.
        old = horizon - self.retention_us
        if old > 0:
            for table in ("event", "upload"):
                await self._db.put(f"DELETE FROM {table} WHERE time < ?", (old,))
            # What no digest has told yet stays, whatever the clock said when it was noted.
            await self._db.put("DELETE FROM loss WHERE noted < ? AND COALESCE(reported, 0) > 0", (old,))
        await self._expire_rollups(horizon, min(old, now_us - KEEP_DAYS_US))

    async def _moved_on(self, wanted: int, allowance: int) -> int:
        """Where the horizon may be now. It is written down each time that it has moved by an hour."""
        written = self._horizon
        if written is None:
            kept = await self.meta(HORIZON)
            oldest = await self._db.read("SELECT MIN(last) FROM block")
            written = int(kept) if kept else oldest[0][0]
            if written is None:
                return wanted  # there is nothing yet that could go
        self._credit = min(self._credit + allowance, DAY_US)
        horizon = min(wanted, written + self._credit)
        if self._horizon is None or abs(horizon - written) > _HORIZON_STEP_US:
            await self.set_meta(HORIZON, str(horizon))
            self._horizon, self._credit = horizon, 0
        return horizon

    async def fit(self) -> None:
        """Bring the files below a cap that has become smaller."""
        if await self._db.free_bytes() < 0:
            await self._shed(2 * SMALL)
        await self._db.shrink()

    async def _expire(self, horizon: int, now_us: int) -> None:
        slack = min(self.retention_us // 100, _SLACK_US)
        if not await self._db.read("SELECT 1 FROM block WHERE last < ? LIMIT 1", (horizon - slack,)):
            return
        # What was recorded behind something that is still fresh is fresh, too, whatever the clock of its time said.
        ((fresh,),) = await self._db.read("SELECT MIN(id) FROM block WHERE last BETWEEN ? AND ?", (horizon, now_us))
        while rows := await self._db.read(
            "SELECT id, first, last, samples FROM block WHERE last < ? AND id < ? ORDER BY last LIMIT ?",
            (horizon, FOREVER if fresh is None else fresh, self.piece),
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
            # In the order in which they were recorded: a clock that was wrong makes nothing older.
            "SELECT id, first, last, samples, LENGTH(data) FROM block ORDER BY id LIMIT ?",
            (self.piece,),
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
