"""The loops of remote configuration: ask the platform, hear the local engineer, look again at what waits."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

from agent.backoff import Backoff
from agent.control.mailbox import Mailbox, Reply, Request
from agent.control.reasons import Refusal
from agent.control.service import Control, name_of
from agent.core.bounded import rest
from agent.errors import GongfuError
from agent.uplink.held import Held

log = logging.getLogger(__name__)

WAIT_S = 55
"""How long the platform may keep a question open; what the contract names."""
QUICK_S = 2.0
"""An answer without news that came sooner than this: the platform does not keep questions open."""
PAUSE_S = 30.0
"""Between questions to such a platform, on average."""
NO_NEWS_S, LONGEST_NO_NEWS_S = 5.0, 3600.0
"""Pause after a bundle that is no news, at first and at most."""
PATIENT_ANSWERS = 20
"""Questions kept open to their end after which a platform's next bad bundle costs a short pause again."""
MOST_KNOWN = 100
LOOK_S = 0.5


class Desired(Protocol):
    """What is asked of :class:`agent.uplink.client.Client`."""

    async def desired(self, etag: str, wait_s: int) -> tuple[bytes | None, str]: ...


async def ask_platform(control: Control, client_of: Callable[[], Desired], *, pause_s: float = PAUSE_S) -> None:
    """Ask for ever what this gateway shall run; silent as long as nothing changes.

    ``client_of`` gives the client of the platform in force, which a configuration may change.
    """
    backoff, etag = Backoff(first_s=5.0, cap_s=300.0), ""
    news = _News()
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time()
        try:
            bundle, etag = await client_of().desired(etag, WAIT_S)
        except Held as trouble:
            wait = backoff.next()
            await rest(max(wait, trouble.after_s or 0.0))
            continue
        if bundle is not None:
            try:
                refusal = await control.offer(bundle)
            except GongfuError as error:  # this disk; the agent goes on without it
                log.error("the configuration of the platform cannot be kept: %s", error.line())
                etag = ""
                await rest(backoff.next())
                continue
            backoff.reset()
            if not await asyncio.to_thread(news.brought_by, bundle, refusal):
                await rest(news.pause_s())
            continue
        backoff.reset()
        news.none_after(loop.time() - asked)
        if loop.time() - asked < QUICK_S:
            await rest(pause_s * (0.5 + random.random()))


class _News:
    """Whether the platform's answers are worth their bytes: the same or a refused bundle is no news, however often it
    comes, and is asked for less and less often."""

    def __init__(self) -> None:
        self._backoff = Backoff(first_s=NO_NEWS_S, cap_s=LONGEST_NO_NEWS_S)
        self._known: list[str] = []
        self._patient = 0

    def brought_by(self, bundle: bytes, refusal: Refusal | None) -> bool:
        """Note an answer with a bundle."""
        self._patient = 0
        name = name_of(bundle) or sha256(bundle).hexdigest()
        if refusal is not None or name in self._known:
            return False
        self._known = [*self._known[-MOST_KNOWN:], name]
        self._backoff.reset()
        return True

    def none_after(self, waited_s: float) -> None:
        """Note an answer that says there is nothing new; a platform that goes on so is trusted again."""
        self._patient = self._patient + 1 if waited_s > WAIT_S / 2 else 0
        if self._patient >= PATIENT_ANSWERS:
            self._backoff.reset()

    def pause_s(self) -> float:
        """Before the next question."""
        pause = self._backoff.next()
        log.info("the platform's answer %d without news: asking again in %.0f s", self._backoff.attempts, pause)
        return pause


async def hear_engineer(control: Control, mailbox: Mailbox, reload: asyncio.Event) -> None:
    """Do what commands on this gateway and SIGHUP ask for; and look again at what had to wait."""
    backoff = Backoff(first_s=5.0, cap_s=300.0)
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await _hear(control, mailbox, reload)
        except (GongfuError, OSError) as error:  # this disk; the agent goes on without it
            log.error("configuration: %s", error)
            await rest(backoff.next())
        else:
            backoff.reset()


async def _hear(control: Control, mailbox: Mailbox, reload: asyncio.Event) -> None:
    if reload.is_set():
        reload.clear()
        await control.reload()
    request = await asyncio.to_thread(mailbox.take)
    if request is not None:
        refusal = await _do(control, request)
        reply = Reply(
            id=request.id,
            refusal=refusal.line() if refusal else "",
            locked_until_us=control.locked_until_us,
            trusted=control.clock_trusted,
        )
        await asyncio.to_thread(mailbox.answer, reply)
    await control.look_again()


async def _do(control: Control, request: Request) -> Refusal | None:
    if request.action == "reload":
        return await control.reload()
    if request.action == "rollback":
        return await control.roll_back(request.revision)
    await control.lock(request.seconds)
    return None
