"""The durable store: blocks, events, losses, digests, uploads in one SQLite file.

The rules: what ``append`` or ``add_digest`` returned from is on disk. The files never grow beyond the
byte cap: the oldest raw blocks go first, settled digests next, an unacknowledged digest last. What
goes is written to the loss ledger in the same transaction. A damaged file is set aside and a new one
started, with what could be saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agent.buffer.database import MIN_BYTES, Database, Transaction
from agent.buffer.failures import BlockTooLarge, StoreConflict, StoreCorrupt, StoreFull, StoreUnavailable
from agent.buffer.limits import Limits
from agent.buffer.names import Names
from agent.buffer.records import DigestAside, DigestRecord, Event, Loss, Stats, Upload
from agent.buffer.room import FOREVER
from agent.buffer.streams import Stream
from agent.errors import GongfuError

__all__ = [
    "MIN_BYTES",
    "BlockTooLarge",
    "DigestAside",
    "DigestRecord",
    "Event",
    "Loss",
    "Stats",
    "Store",
    "StoreConflict",
    "StoreCorrupt",
    "StoreFull",
    "StoreUnavailable",
    "Upload",
]


def _system_us() -> int:
    return time.time_ns() // 1000


class Store(Names, Limits):
    """The gateway's memory. Open it with :meth:`open`; one process writes, others may read."""

    def __init__(self, database: Database, retention_us: int, now: Callable[[], int]) -> None:
        super().__init__(database, now)
        self.retention_us = retention_us
        self._written = _written_bytes()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        max_bytes: int = 2_000_000_000,
        retention_us: int = FOREVER,
        read_only: bool = False,
        now: Callable[[], int] = _system_us,
    ) -> Store:
        """Open or make the store; ``now`` (UTC microseconds) stamps the ledger's entries.

        Raises GongfuError for a file of a newer version or a cap that is too small, StoreUnavailable
        when the disk fails, and StoreCorrupt only when read only.
        """
        if read_only and not path.exists():
            raise GongfuError(f"nothing recorded yet: {path} does not exist", remedy="start the agent")
        database = Database(path, max_bytes=max_bytes, read_only=read_only)
        store = cls(database, retention_us, now)
        if not read_only:
            database.shed, database.reborn = store._shed, store.refill
        try:
            await database.open()
            await store._load()
        except BaseException:
            await database.close()
            raise
        return store

    async def _load(self) -> None:
        try:
            await self.load()
        except StoreUnavailable:
            await self.load()  # damaged, and made anew meanwhile; or it fails for good
        if not self._db.read_only:
            await self.fit()

    async def refill(self, transaction: Transaction) -> None:
        """Put into a new database what must not be missing: the numbers handed out, and the loss."""
        await super().refill(transaction)

    def stream_of(self, audience: str) -> Stream | Store:
        """The digests of one audience; of ``""`` the gateway's own."""
        return Stream(self._db, self._now, audience, self.chain, self._shifts) if audience else self

    async def close(self) -> None:
        """Close; may be called twice."""
        await self._db.close()

    async def stats(self) -> Stats:
        """How full the buffer is."""
        rows = await self._db.read("SELECT first FROM block ORDER BY last LIMIT 1")
        return Stats(
            bytes=self._db.size(),
            samples=self._samples,
            oldest=int(rows[0][0]) if rows else None,
            bytes_written=_written_bytes() - self._written,
        )


def _written_bytes() -> int:
    """Bytes that this process has caused to be written to disk; 0 where the system does not say."""
    try:
        counters = Path("/proc/self/io").read_text()
    except OSError:
        return 0
    return int(next((line.split()[1] for line in counters.splitlines() if line.startswith("write_bytes:")), 0))
