"""Keeps the buffer within its bounds, by a clock that may be wrong."""

from __future__ import annotations

import asyncio
import logging

from agent.buffer.ballast import Ballast
from agent.buffer.store import Store
from agent.clock import Clock
from agent.errors import GongfuError

log = logging.getLogger(__name__)

EVERY_S = 60.0
RETENTION_PACE = 2.0
"""Days of old data that may go in a day: whoever vouches for the time may be wrong, and what is gone is gone."""


class Housekeeping:
    """One a store. The byte cap holds always; age counts only while somebody vouches for the time."""

    def __init__(self, store: Store, clock: Clock, ballast: Ballast | None = None) -> None:
        self._store = store
        self._ballast = ballast
        self._clock = clock
        self._looked_s = clock.monotonic()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.tidy()
            except GongfuError as error:
                log.debug("housekeeping: %s", error)
            await asyncio.sleep(EVERY_S)

    async def tidy(self) -> None:
        """Once. Raises GongfuError when the store cannot be written."""
        if self._ballast is not None:
            await asyncio.to_thread(self._ballast.keep)
        now = self._clock.monotonic()
        elapsed, self._looked_s = now - self._looked_s, now
        time = self._clock.now() if self._clock.trusted else None
        await self._store.enforce(time, round(RETENTION_PACE * elapsed * 1e6))
