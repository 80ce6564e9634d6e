"""The digests that were built, and what the platform said to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from agent.buffer.database import Transaction
from agent.buffer.records import DigestRecord, Place, RollupRecord
from agent.buffer.rollups import insert_rollups
from agent.buffer.room import FOREVER
from agent.buffer.settings import Settings

DIGEST = "seq, kind, first, last, hash, previous, body, jws, state, reason, settled, stream"
"""Columns of a digest, in the order of :class:`DigestRecord`."""
_READ = DIGEST.replace("body", "CAST(body AS BLOB)")


class Digests(Settings):
    """The outbox of one stream and its history."""

    async def add_digest(self, record: DigestRecord, sums: Sequence[RollupRecord] = ()) -> None:
        """As :meth:`add_digests`, for one."""
        await self.add_digests([record], sums)

    async def add_digests(self, records: Sequence[DigestRecord], sums: Sequence[RollupRecord] = ()) -> None:
        """Keep digests of one period, the gateway's own and those for other audiences, all or none.

        On disk when this returns. ``sums`` are kept with them. Losses that were closed for them
        (:meth:`~agent.buffer.ledger.Ledger.close_losses`) count as reported by the gateway's own.
        Raises StoreConflict where a ``seq`` is taken.
        """

        async def work(transaction: Transaction) -> None:
            for record in records:
                await insert_digest(transaction, record)
                if not record.stream and record.kind == "period":  # others have no ledger
                    await transaction.run(
                        "UPDATE loss SET reported = ? WHERE reported = 0 AND first < ?", (record.seq, record.end)
                    )
            await insert_rollups(transaction, sums)

        size = sum(len(each.body) + len(each.jws) for each in records) + sum(len(each.body) for each in sums)
        await self._db.write(work, size=size)

    async def last_digest(self, kind: str = "") -> DigestRecord | None:
        """The digest with the highest ``seq``; ``kind``: of this kind."""
        return next(iter(await self._digests("AND ? IN ('', kind) ORDER BY seq DESC LIMIT 1", kind)), None)

    async def places(self, limit: int, before_seq: int = FOREVER) -> list[Place]:
        """As :meth:`digests`, without what they say."""
        rows = await self._db.read(
            "SELECT seq, kind, first, last FROM digest WHERE stream = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            (self.stream, before_seq, limit),
        )
        return [Place(*row) for row in rows]

    async def last_settled(self, state: str) -> DigestRecord | None:
        """The newest digest in this state (``accepted`` or ``rejected``)."""
        return next(iter(await self._digests("AND state = ? ORDER BY seq DESC LIMIT 1", state)), None)

    async def digest(self, seq: int) -> DigestRecord | None:
        """One digest."""
        return next(iter(await self._digests("AND seq = ?", seq)), None)

    async def digests(self, limit: int, before_seq: int = FOREVER) -> list[DigestRecord]:
        """Digests below ``before_seq``, newest first."""
        return await self._digests("AND seq < ? ORDER BY seq DESC LIMIT ?", before_seq, limit)

    async def pending(self, limit: int, newest_first: bool = False) -> list[DigestRecord]:
        """Digests that the platform has not answered yet."""
        order = "DESC" if newest_first else "ASC"
        return await self._digests(f"AND state = 'pending' ORDER BY seq {order} LIMIT ?", limit)

    async def digest_counts(self) -> dict[str, int]:
        """How many digests are ``pending``, ``accepted`` and ``rejected``."""
        rows = await self._db.read("SELECT state, COUNT(*) FROM digest WHERE stream = ? GROUP BY state", (self.stream,))
        return {"pending": 0, "accepted": 0, "rejected": 0} | dict(rows)

    async def mark(self, seq: int, state: str, reason: str = "", time_us: int = 0) -> None:
        """Settle a digest (``accepted``, ``rejected``), or make it ``pending`` again."""
        await self._db.put(
            "UPDATE digest SET state = ?, reason = ?, settled = ? WHERE stream = ? AND seq = ?",
            (state, reason, time_us, self.stream, seq),
        )

    async def streams(self) -> list[str]:
        """Every stream that has digests, the gateway's own first."""
        # From one to the next in the index, past all of its digests: the status asks every few seconds.
        rows = await self._db.read(
            "WITH RECURSIVE some (name) AS (SELECT MIN(stream) FROM digest UNION ALL"
            " SELECT (SELECT MIN(stream) FROM digest WHERE stream > name) FROM some WHERE name IS NOT NULL)"
            " SELECT name FROM some WHERE name IS NOT NULL"
        )
        return [name for (name,) in rows]

    async def _digests(self, tail: str, *arguments: Any) -> list[DigestRecord]:
        rows = await self._db.read(f"SELECT {_READ} FROM digest WHERE stream = ? {tail}", (self.stream, *arguments))
        return [DigestRecord(*row) for row in rows]


async def insert_digest(transaction: Transaction, record: DigestRecord) -> None:
    """Keep a digest, within a transaction."""
    values = dataclasses.astuple(record)
    marks = ", ".join("?" * len(values))
    await transaction.run(f"INSERT INTO digest ({DIGEST}) VALUES ({marks})", values)
