"""Tells the platform how this gateway is: the latest state only, never queued.

A state that changed is told soon, one that did not every half hour or so. It goes over a connection of its
own, is given a part of the day's bytes only, and only while digests are taken: nothing ever waits for it.
What an administrator waits for (how a configuration fared) is told at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.backoff import Backoff
from agent.errors import GongfuError
from agent.uplink.client import Client
from agent.uplink.held import Held

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Between two looks at the state; nothing is sent by looking."""
FIRST_LOOK_S = 1.0
"""The same as long as the platform has not heard of this agent."""
HASTE_S = 2.0
"""What is told at once is told so much later at most: all gateways of a park may have been asked together."""
STEADY_S = 1800.0
"""Between two reports of a state that does not change, a tenth more or less."""
GAP_S = 30.0
"""At least between two reports, however often the state changes."""
DEADLINE_S = 30.0
"""Longest time for one report."""
FIRST_RETRY_S, LONGEST_RETRY_S = 15.0, 3600.0

Told = Mapping[str, Any]
Sleep = Callable[[float], Awaitable[None]]


class Pace:
    """When a report is due. Times are seconds of a monotonic clock."""

    def __init__(self, phase_s: float, rng: Callable[[], float] = random.random) -> None:
        """``phase_s``: how much later than the change it is told, each gateway at its own time."""
        self._phase_s = phase_s
        self._rng = rng
        self._backoff = Backoff(first_s=FIRST_RETRY_S, cap_s=LONGEST_RETRY_S, rng=rng)
        self._told: bytes | None = None
        self._changed_at: float | None = None
        self._next = self._retry = self._steady = float("-inf")

    @property
    def has_told(self) -> bool:
        """Whether the platform has any state of ours."""
        return self._told is not None

    @property
    def haste_s(self) -> float:
        """How much later to tell what is told at once."""
        return min(self._phase_s, HASTE_S)

    def hurry(self, now: float) -> None:
        """Keep no distance to the last report this time; only a platform that takes none is still spared."""
        self._next = float("-inf")
        self._changed_at = now - self._phase_s

    def is_due(self, now: float, essence: bytes) -> bool:
        """Whether to report now, given what is worth telling of the state."""
        if essence == self._told:
            self._changed_at = None
            return now >= max(self._steady, self._earliest())
        if self._changed_at is None:
            self._changed_at = now
        return now >= max(self._changed_at + self._phase_s, self._earliest())

    def _earliest(self) -> float:
        return max(self._next, self._retry)

    def told(self, now: float, essence: bytes) -> None:
        """Note that the platform has it."""
        self._told, self._changed_at = essence, None
        self._backoff.reset()
        self._next = now + GAP_S
        self._steady = now + STEADY_S * (0.9 + 0.2 * self._rng())

    def failed(self, now: float, after_s: float | None = None) -> None:
        """Note that it was not taken; ``after_s``: the platform's own wish."""
        wait = self._backoff.next()
        self._retry = now + (wait if after_s is None else after_s + wait / 4)


class Reporter:
    """Runs for ever beside the outbox; see the module."""

    def __init__(
        self,
        look: Callable[[], tuple[Told, bytes]],
        client: Client,
        is_connected: Callable[[], bool],
        pace: Pace,
        *,
        news: asyncio.Event | None = None,
        sleep: Sleep = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``look``: the state now, and what of it is worth a report. ``is_connected``: digests are taken.
        ``news``: set when something has changed that is waited for."""
        self._look = look
        self._client = client
        self._is_connected = is_connected
        self._pace = pace
        self._news = news or asyncio.Event()
        self._sleep = sleep
        self._monotonic = monotonic
        self._trouble = False

    async def run(self) -> None:
        """Look and report, for ever."""
        try:
            while True:
                if await self._is_waited_for():
                    self._pace.hurry(self._monotonic())
                    await self._report_when_due()
                elif self._is_connected():
                    await self._report_when_due()
        finally:
            self._client.close()

    async def _is_waited_for(self) -> bool:
        """Pause until the next look; whether it is because of news."""
        look = asyncio.create_task(self._pause())
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait({look, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            look.cancel()
            news.cancel()
        if not self._news.is_set():
            return False
        await self._sleep(self._pace.haste_s)
        self._news.clear()
        return True

    async def _pause(self) -> None:
        await self._sleep(LOOK_S if self._pace.has_told else FIRST_LOOK_S)

    async def _report_when_due(self) -> None:
        told, essence = self._look()
        if not self._pace.is_due(self._monotonic(), essence):
            return
        try:
            await self._client.report(told)
        except (Held, GongfuError) as trouble:
            self._pace.failed(self._monotonic(), getattr(trouble, "after_s", None))
            if not self._trouble:
                log.info("the status was not taken, digests are not concerned: %s", trouble)
            self._trouble = True
        else:
            self._pace.told(self._monotonic(), essence)
            if self._trouble:
                log.info("the status is taken again")
            self._trouble = False
        finally:
            self._client.close()
