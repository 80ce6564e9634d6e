"""Sums of periods and days, kept much longer than the raw data that they were made from."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import zstandard

from agent.buffer.database import Transaction
from agent.buffer.records import RollupRecord
from agent.buffer.room import FOREVER, Room

log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
KEEP_DAYS_US = 400 * DAY_US
"""Sums of a day are kept for so long: a year and what a yearly comparison needs."""
KEEP_PERIODS_US = 2 * DAY_US
"""Sums of periods outlive the raw data for so long before the newest: those of a day or shift that still runs."""
FEWEST = {"period": 1, "day": 35, "told": 35}
"""The newest of each kind are never shed: what is open on the machines, and 28 days of findings."""
_AT_ONCE = 64
_MOST_BYTES = 64_000_000


class Rollups(Room):
    """Written together with the digest of the period (:meth:`~agent.buffer.digests.Digests.add_digest`)."""

    async def rollups(self, kind: str, start: int, end: int = FOREVER) -> list[RollupRecord]:
        """Those that begin from ``start`` up to, and without, ``end``; oldest first."""
        rows = await self._db.read(
            "SELECT kind, first, last, body FROM rollup WHERE kind = ? AND first >= ? AND first < ? ORDER BY first",
            (kind, start, end),
        )
        return [record for row in rows if (record := _record(*row)) is not None]

    async def rollup_ending(self, kind: str, end: int) -> RollupRecord | None:
        """The newest one that ends at ``end``."""
        rows = await self._db.read(
            "SELECT kind, first, last, body FROM rollup WHERE kind = ? AND first < ? AND last = ?"
            " ORDER BY first DESC LIMIT 1",
            (kind, end, end),
        )
        return _record(*rows[0]) if rows else None

    async def _expire_rollups(self, periods_before: int, days_before: int) -> None:
        """Drop the sums of periods and days that ended before; without them nothing is lost but detail."""
        for kind, before, kept in (
            ("period", periods_before, KEEP_PERIODS_US),
            ("day", days_before, 0),
            ("told", days_before, 0),
        ):
            await self._db.put(
                "DELETE FROM rollup WHERE kind = ? AND first < ? AND first <"
                " (SELECT MIN(first) FROM (SELECT first FROM rollup WHERE kind = ? ORDER BY first DESC LIMIT ?))"
                " AND first < (SELECT MAX(first) FROM rollup WHERE kind = ?) - ?",
                (kind, before, kind, FEWEST[kind], kind, kept),
            )

    async def _shed_rollups(self) -> bool:
        """The oldest sums of periods, then of days, but the newest of each kind."""
        for kind, fewest in FEWEST.items():
            rows = await self._db.read(
                "SELECT id FROM rollup WHERE kind = ? ORDER BY first DESC LIMIT -1 OFFSET ?", (kind, fewest)
            )
            if rows:
                oldest = [tuple(row) for row in rows[-_AT_ONCE:]]

                async def work(transaction: Transaction, oldest: list[tuple[int, ...]] = oldest) -> None:
                    await transaction.run_each("DELETE FROM rollup WHERE id = ?", oldest)

                await self._db.write(work, size=64 * 1024, may_shed=False)
                return True
        return False


async def insert_rollups(transaction: Transaction, records: Sequence[RollupRecord]) -> None:
    """Keep sums, within a transaction; those of a day replace what was known of it before."""
    await transaction.run_each(
        "INSERT INTO rollup (kind, first, last, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (kind, first) DO UPDATE SET last = excluded.last, body = excluded.body",
        [(each.kind, each.start, each.end, zstandard.compress(each.body)) for each in records],
    )


def _record(kind: str, first: int, last: int, body: bytes) -> RollupRecord | None:
    try:
        plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=_MOST_BYTES)
    except zstandard.ZstdError as error:  # saved from a damaged file: the digests must go on without it
        log.warning("the sums of the %s from %d are damaged and not used: %s", kind, first, error)
        return None
    return RollupRecord(kind, first, last, plain)
