"""What the parts of the store have in common."""

from __future__ import annotations

from collections.abc import Callable

from agent.buffer.database import Database, Transaction

FOREVER = 2**62


class Room:
    """A part of the store: some tables in the one database."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._db = database
        self._now = now
        self.stream = ""
        """The stream whose digests and settings these are; empty: the gateway's own."""
        self._shifts: dict[int, int] = {}

    async def load(self) -> None:
        """Read what is kept in memory."""
        self._shifts = dict(await self._db.read("SELECT id, correction FROM clock_epoch"))

    async def refill(self, transaction: Transaction) -> None:
        """Put into a new database what must not be missing."""
