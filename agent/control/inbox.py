"""Takes the platform's prescriptions: asks now and then, judges each, keeps it or says why not."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from agent.backoff import Backoff
from agent.control.prescription import MOST_OPEN, read_signed, verify
from agent.control.prescriptions import Prescriptions, Refused
from agent.control.reasons import Refusal
from agent.control.trust import Trust
from agent.core.bounded import rest
from agent.errors import GongfuError
from agent.uplink.client import NotOffered
from agent.uplink.held import Held

log = logging.getLogger(__name__)

EVERY_S = 900.0
"""Between two questions, a fifth more or less: nobody waits for a prescription by the minute."""
SELDOM_S = 6 * 3600.0
"""The same to a platform that knows no prescriptions: it may learn of them."""
FIRST_S = 5.0
"""After the start at most, each gateway at its own time."""
LOOK_S = 10.0
"""Between looks whether the gateway is enrolled by now and trusts anybody."""


class Offers(Protocol):
    """What is asked of :class:`agent.uplink.client.Client`."""

    async def prescriptions(self, etag: str) -> tuple[bytes | None, str]: ...
    def close(self) -> None: ...


class InboxClock(Protocol):
    """What is asked of :class:`agent.clock.Clock`."""

    @property
    def trusted(self) -> bool: ...
    def now(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Who this is, whom it trusts, its plant's time zone, and ``[remote] prescriptions``; asked anew each time."""

    id: Callable[[], str]
    trust: Callable[[], Trust]
    zone: Callable[[], ZoneInfo]
    wanted: Callable[[], bool | None]


class _Answer(msgspec.Struct, frozen=True):
    prescriptions: list[msgspec.Raw]


class Inbox:
    """Judges answers; see :meth:`take`."""

    def __init__(self, book: Prescriptions, clock: InboxClock, addressee: Addressee) -> None:
        self._book = book
        self._clock = clock
        self._addressee = addressee

    def asks(self) -> bool:
        """Whether the plant wants to hear of prescriptions; where it does not say, trust in anybody says so."""
        wanted = self._addressee.wanted()
        try:
            return bool(self._addressee.trust().admins) if wanted is None else wanted
        except GongfuError:
            return False  # said by the configuration's loop

    def take(self, answer: bytes) -> bool:
        """Judge what the platform offers; False when something has to wait until the time is known.

        What is kept already is not judged again. Raises ValueError when the answer is none, GongfuError when the
        disk or the trust file fails.
        """
        try:
            offered = [bytes(each) for each in msgspec.json.decode(answer, type=_Answer).prescriptions]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"it is no list of prescriptions: {error}") from error
        if len(offered) > MOST_OPEN:
            raise ValueError(f"it holds {len(offered)} prescriptions, {MOST_OPEN} are the most")
        known = {each.key: each for each in self._book.refused()}
        kept = {revision.hash for case in self._book.cases() for revision in case.kept}
        refused: list[Refused] = []
        complete = True
        for data in offered:
            refusal = self._judge(data, kept)
            if refusal is None:
                continue
            complete &= not refusal.held
            if not refusal.held:
                refused.append(_entry(data, refusal, known, self._clock.now()))
        self._book.note_refused(refused)
        return complete

    def _judge(self, data: bytes, kept: set[str]) -> Refusal | None:
        try:
            if read_signed(data).sha256 in kept:
                return None
        except ValueError:
            pass  # said below
        newest = {case.id: case.newest.revision for case in self._book.cases()}
        found = verify(
            data,
            self._addressee.trust(),
            self._addressee.id(),
            now_us=self._clock.now() if self._clock.trusted else None,
            zone=self._addressee.zone(),
            newest=newest,
        )
        if isinstance(found, Refusal):
            return found
        self._book.keep(found, data, self._clock.now())
        kept.add(found.sha256)
        log.info("prescription %s, revision %d, has come: gongfu-edge prescription show %s",
                 found.prescription.id, found.prescription.revision, found.prescription.id)  # fmt: skip
        return None


def _entry(data: bytes, refusal: Refusal, known: dict[str, Refused], now_us: int) -> Refused:
    key = sha256(data).hexdigest()
    if key in known and known[key].reason == refusal.line():
        return known[key]
    log.warning("a prescription of the platform is not taken: %s", refusal.line())
    try:
        envelope = read_signed(data)
    except ValueError:
        return Refused(key=key, id="", revision=0, hash="", reason=refusal.line(), at_us=now_us)
    said = envelope.payload
    return Refused(
        key=key, id=said.id, revision=said.revision, hash=envelope.sha256, reason=refusal.line(), at_us=now_us
    )


async def ask_for_prescriptions(
    inbox: Inbox, client_of: Callable[[], Offers | None], *, every_s: float = EVERY_S, first_s: float = FIRST_S
) -> None:
    """Ask for ever. ``client_of``: a client of the platform in force; None: nobody is to be asked now."""
    backoff, etag, said = Backoff(first_s=30.0, cap_s=3600.0), "", False
    await rest(random.random() * first_s)
    while True:
        client = client_of()
        if client is None:
            await asyncio.sleep(LOOK_S)
            continue
        try:
            etag = await _ask(inbox, client, etag)
            wait, said = every_s, False
            backoff.reset()
        except NotOffered:
            wait, etag = SELDOM_S, ""
        except Held as trouble:
            log.debug("prescriptions cannot be asked for now: %s", trouble)
            wait = max(backoff.next(), trouble.after_s or 0.0)
        except (ValueError, GongfuError) as error:
            if not said:
                log.warning("the platform's prescriptions cannot be taken: %s", error)
            said = True
            wait, etag = max(backoff.next(), every_s), ""
        finally:
            client.close()
        await rest(wait * (0.8 + 0.4 * random.random()))


async def _ask(inbox: Inbox, client: Offers, etag: str) -> str:
    answer, new = await client.prescriptions(etag)
    if answer is not None and not await asyncio.to_thread(inbox.take, answer):
        return ""
    return new
