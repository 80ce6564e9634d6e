"""The digests of one audience: a chain of its own in the same database, in the same hands as the gateway's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.buffer.branches import Branches
from agent.buffer.database import Database


class Stream(Branches):
    """What :class:`~agent.buffer.store.Store` is for the gateway's own digests, for those of one audience.

    Its settings are its own, and what it enters in the ledger is about its own chain.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], int],
        name: str,
        chain: asyncio.Lock,
        shifts: dict[int, int],
    ) -> None:
        super().__init__(database, now)
        self.stream = name
        self.chain = chain  # one for all: a period's digests get their places together
        self._shifts = shifts
