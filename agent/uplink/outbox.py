"""The outbox loop: digests go in the order of their chain, and only the platform's own word settles one.

*begin* – take the oldest digest without an answer; *send*; then *accept* (stored, with a receipt for these
bytes), *reject* (it will never be taken) or *keep* (anything else: later again). Before the first digest
and after every trouble the platform is asked for its head, so that neither a restored disk nor a lost
answer makes a fork or a gap.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from agent.backoff import Backoff
from agent.buffer.records import DigestRecord, Loss
from agent.config.model import PlatformSection
from agent.errors import GongfuError
from agent.evidence.chain import GENESIS
from agent.evidence.head import HEAD
from agent.evidence.identity import Identity
from agent.uplink.answers import Accepted, Conflict, Head, Rejected
from agent.uplink.budget import Budget, UploadLedger
from agent.uplink.client import Client, UplinkClock
from agent.uplink.heads import Heads, noted
from agent.uplink.held import Held
from agent.uplink.reporter import DEADLINE_S, Pace, Reporter, Told
from agent.uplink.transport import Transport

log = logging.getLogger(__name__)

ENROLMENT_POLL_S = 2.0
IDLE_S = 60.0
"""Between looks for new digests when nobody wakes the loop."""
PACE_S = 0.05
"""Between the digests of a backlog: at most twenty a second."""
CONFLICT = "conflict"
STRIKES = 3
"""A 400 may be damage on the way; after so many it is taken for the platform's word."""

Sleep = Callable[[float], Awaitable[None]]
UplinkState = Literal["starting", "connected", "waiting", "failing", "refused"]


class UplinkStore(UploadLedger, Protocol):
    """What is asked of :class:`agent.buffer.store.Store`."""

    async def pending(self, limit: int, newest_first: bool = False) -> list[DigestRecord]: ...
    async def digest(self, seq: int) -> DigestRecord | None: ...
    async def last_digest(self) -> DigestRecord | None: ...
    async def mark(self, seq: int, state: str, reason: str = "", time_us: int = 0) -> None: ...
    async def last_settled(self, state: str) -> DigestRecord | None: ...
    async def set_aside_digests(
        self, after_seq: int, notes: tuple[str, str] | None = None, *, accepted: bool = False
    ) -> int: ...
    async def add_loss(self, loss: Loss) -> None: ...
    async def meta(self, key: str) -> str | None: ...
    async def set_meta(self, key: str, value: str) -> None: ...


@dataclass(frozen=True, slots=True)
class UplinkSnapshot:
    """The uplink as it is now; ``contact_us``: the platform's last answer, 0: none yet."""

    state: UplinkState
    url: str
    contact_us: int
    last_error: str
    remedy: str
    bytes_today: int
    max_bytes_per_day: int


class Uplink:
    """The way of the digests to one platform. Runs for ever; a platform that is away costs nothing."""

    def __init__(
        self,
        store: UplinkStore,
        identity: Identity,
        platform: PlatformSection,
        clock: UplinkClock,
        *,
        stream: str = "",
        audiences: Sequence[str] | None = None,
        budget: Budget | None = None,
        wake: asyncio.Event | None = None,
        max_phase_s: float = 0.0,
        backoff: Backoff | None = None,
        sleep: Sleep = asyncio.sleep,
        transport: Transport | None = None,
    ) -> None:
        """``stream``: the audience whose digests these are, those in ``store``; empty: the gateway's own. ``budget``:
        that of the same platform; without it one is made for the chains of ``audiences`` (None: all there are).
        ``wake`` is set when there is a new digest. ``max_phase_s``: new digests are sent up to so much
        later, each gateway at its own time, so that a park does not send at the same second."""
        self._store = store
        self._identity = identity
        self._clock = clock
        self._wake = wake or asyncio.Event()
        self._sleep = sleep
        self.platform = platform
        """Where to, and how."""
        self._transport = transport or Transport(platform.url, ca_file=platform.ca_file, proxy=platform.proxy.plain)
        self.budget = budget or Budget(store, clock, int(platform.max_bytes_per_day), audiences)
        """Shared with whatever else sends to this platform."""
        self._stream = stream
        self._is_apart = budget is None
        self._whose = f"digests for {stream}" if stream else "digests"
        self._client = Client(identity, clock, self._transport, self.budget, stream)
        self._heads = Heads(store, identity, stream, self._transport.url)
        self._backoff = backoff or Backoff(first_s=1.0, cap_s=60.0)
        self._slow = Backoff(first_s=15.0, cap_s=900.0)
        share = int(hashlib.sha256(identity.own_id.encode()).hexdigest()[:4], 16) / 0xFFFF
        self._phase = max_phase_s * share
        self._head: Head | None = None
        self._strikes: dict[int, int] = {}
        self._compare_again = False
        self._state: UplinkState = "starting"
        self._error, self._remedy = "", ""
        self.reconciled = asyncio.Event()
        """Set once the platform's head is known, and where there is nobody to ask (not enrolled). Digests
        that are built after it follow the platform's chain, even on a restored disk."""

    def snapshot(self) -> UplinkSnapshot:
        """The uplink as it is now."""
        return UplinkSnapshot(
            state=self._state,
            url=self._transport.url,
            contact_us=self._client.contact_us,
            last_error=self._error,
            remedy=self._remedy,
            bytes_today=self.budget.bytes_today,
            max_bytes_per_day=self.budget.max_bytes,
        )

    @property
    def is_enrolled(self) -> bool:
        """Whether the platform knows this gateway."""
        return self._identity.enrolment is not None

    async def ask(self) -> None:
        """Ask the platform for its head, and nothing else. Raises GongfuError when it does not tell."""
        client = self.beside()
        try:
            await client.head()
        except Held as trouble:
            raise GongfuError(f"{self._transport.url}: {trouble}", remedy=trouble.remedy) from trouble
        finally:
            client.close()

    def beside(self, *, deadline_s: float = 0.0) -> Client:
        """A client over a connection of its own, within the same budget; ``deadline_s``: other than the usual."""
        section, times = self.platform, {"read_s": deadline_s, "deadline_s": deadline_s} if deadline_s else {}
        transport = Transport(section.url, ca_file=section.ca_file, proxy=section.proxy.plain, **times)
        return Client(self._identity, self._clock, transport, self.budget, self._stream)

    def reporter(self, look: Callable[[], tuple[Told, bytes]], news: asyncio.Event | None = None) -> Reporter:
        """What reports the status that ``look`` gives to the same platform, within the same budget.

        ``news``: set when something has changed that is waited for.
        """
        client = self.beside(deadline_s=DEADLINE_S)
        return Reporter(look, client, lambda: self._state == "connected", Pace(self._phase), news=news)

    async def run(self) -> None:
        """Send what there is, wait for more, for ever; may be called again after it was ended."""
        self._head = None  # whatever happened, ask anew
        try:
            await self._until_enrolled()
            while True:
                try:
                    await self._drain()
                except (Held, GongfuError) as trouble:
                    self._transport.close()
                    await self._sleep(self._note(trouble))
                    continue
                self._went_well()
                self._transport.close()
                await self._until_woken()
        finally:
            self._transport.close()

    async def _until_enrolled(self) -> None:
        if self._identity.enrolment is None:
            self.reconciled.set()
            apart = f" --audience {self._stream}" if self._stream and self._is_apart else ""
            self._state, self._remedy = "waiting", f"gongfu-edge enroll --url … --token …{apart}"
            self._error = "this gateway is not enrolled"
            log.warning("%s; %s are kept → %s", self._error, self._whose, self._remedy)
        while self._identity.enrolment is None and not self._identity.refresh():
            await self._sleep(ENROLMENT_POLL_S)

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        await self._sleep(self._phase)

    def _went_well(self) -> None:
        if self._error:
            log.info("the platform takes %s again", self._whose)
        self._backoff.reset()
        self._slow.reset()
        self._state, self._error, self._remedy = "connected", "", ""

    def _note(self, trouble: Exception) -> float:
        """Say a new kind of trouble once; returns the seconds to wait."""
        held = trouble if isinstance(trouble, Held) else Held(str(trouble), getattr(trouble, "remedy", ""))
        if held.kind != "waiting":
            self._head = None  # whatever happened, ask anew
        before, self._state = self._state, _state(held.kind)
        if before != self._state or not self._error:
            log.warning("%s are kept: %s%s", self._whose, held, f" → {held.remedy}" if held.remedy else "")
        self._error, self._remedy = str(held), held.remedy
        if held.kind == "waiting":
            return held.after_s or 0.0
        wait = (self._slow if held.kind == "refused" else self._backoff).next()
        # As late as asked for, and a little spread: the whole park was told the same.
        return wait if held.after_s is None else held.after_s + wait / 4

    # -- in order ------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        head = self._head = self._head or await self._reconcile()
        while record := await self._next(head):
            head = self._head = await self._deliver(record, head)
            if self._compare_again:
                await self._compared(head)
            await self._sleep(PACE_S)

    async def _next(self, head: Head) -> DigestRecord | None:
        """What to offer: the oldest without an answer, unless the platform lacks one that had been settled."""
        oldest = next(iter(await self._store.pending(1)), None)
        if oldest is not None and oldest.seq <= head.seq + 1:
            return oldest  # at or below the head: its answer was lost
        lacking = await self._store.digest(head.seq + 1)
        if lacking is not None and not _is_final(lacking):
            return lacking  # the platform was restored from an older copy, or may have changed its mind
        return oldest

    async def _deliver(self, record: DigestRecord, head: Head) -> Head:
        verdict = await self._client.offer(record)
        if isinstance(verdict, Accepted):
            if not verdict.proven:
                head = await self._confirmed(record)
            await self._settle(record, "accepted")
            self._strikes.pop(record.seq, None)
            self._went_well()
            return head if head.seq >= record.seq else Head(record.seq, record.hash)
        # It is not stored. Where the chain is now says what that means for those behind it.
        now_head = await self._ask_head()
        if isinstance(verdict, Conflict):
            if now_head.seq < record.seq:
                raise Held(f"the platform has another digest {record.seq}, but its head does not show it")
            if now_head.vouched_by == "disk":
                raise Held(f"the platform has another digest {record.seq}, but its head is ours", kind="refused")
            await self._set_aside(record.seq - 1, now_head)
            return now_head
        return await self._refused(record, verdict, now_head)

    async def _confirmed(self, record: DigestRecord) -> Head:
        """A 201 without a receipt could be anybody's: the head must show the digest."""
        head = await self._ask_head()
        if head.seq < record.seq or (head.seq == record.seq and head.hash != record.hash):
            raise Held(f"the platform said that digest {record.seq} is stored, but its head does not show it")
        return head

    async def _refused(self, record: DigestRecord, verdict: Rejected, head: Head) -> Head:
        taken = head.seq >= record.seq  # a tombstone: rejected, but the chain goes on behind it
        in_place = head.seq == record.seq - 1 and head.hash == record.previous
        if not taken and not in_place:
            await self._compared(head)  # settles what another branch of the chain explains
            if await self._store.digest(record.seq) == record:
                raise Held(
                    f"the platform's chain stands at {head.seq} and cannot take digest {record.seq}: {verdict.reason}",
                    f"let the platform's operator look at digest {head.seq + 1}; nothing is deleted here",
                    kind="refused",
                )
            return head
        if not verdict.final:
            strikes = self._strikes[record.seq] = self._strikes.get(record.seq, 0) + 1
            if verdict.reason.startswith("400") and strikes < STRIKES:
                raise Held(f"the platform answers {verdict.reason}")
        await self._reject(record, verdict.reason)
        if not taken and not verdict.final:
            raise Held(
                f"the platform does not take digest {record.seq} ({verdict.reason}); those behind it wait",
                "it is offered again from time to time; let the platform's operator look at it",
                kind="refused",
            )
        return head

    # -- settling ------------------------------------------------------------------------------------

    async def _settle(self, record: DigestRecord, state: str, reason: str = "") -> None:
        if (record.state, record.reason) != (state, reason):
            await self._store.mark(record.seq, state, reason, self._clock.now())

    async def _reject(self, record: DigestRecord, reason: str) -> None:
        if record.state != "rejected":
            whose = f" for {self._stream}" if self._stream else ""
            log.error("the platform rejects digest %d%s: %s; it is kept here", record.seq, whose, reason)
            await self._store.add_loss(Loss(record.start, record.end, "digest_rejected", count=1))
        await self._settle(record, "rejected", reason)

    async def _reconcile(self) -> Head:
        """Compare the platform's head with our chain, before anything is sent."""
        return await self._compared(await self._ask_head())

    async def _ask_head(self) -> Head:
        """The platform's head, where it may be believed. Raises Held; nothing is changed then."""
        return await self._heads.judged(await self._client.head())

    async def _compared(self, head: Head) -> Head:
        waiting = next(iter(await self._store.pending(1)), None)
        self._compare_again = waiting is not None and waiting.seq <= head.seq
        if self._compare_again:
            return head  # offered first: the platform's word on it tells where the two chains part, if they do
        last = await self._store.last_digest()
        try:
            if head.seq and (last is None or last.seq < head.seq):
                await self._note_ahead(head, last)
            elif await self._is_forked(head):
                await self._give_up_branch(head)
            elif await self._heads.misled(head):
                why = "a head was followed that nobody vouched for"
                await self._set_aside(head.seq, head, why, accepted=True)
            elif waiting is not None and await self._lacks_a_link(head):
                await self._set_aside(head.seq, head, "had this disk no room for those between?")
        finally:
            self.reconciled.set()
        return head

    async def _is_forked(self, head: Head) -> bool:
        """Whether our chain and the platform's part at or before its head."""
        ours, following = await self._store.digest(head.seq), await self._store.digest(head.seq + 1)
        if ours is not None:
            return ours.hash != head.hash
        return following is not None and following.previous != (head.hash if head.seq else GENESIS)

    async def _lacks_a_link(self, head: Head) -> bool:
        """Whether the digest that follows the platform's head is gone here, shed in a long outage."""
        if await self._store.digest(head.seq + 1) is not None:
            return False
        accepted = await self._store.last_settled("accepted")
        return accepted is None or accepted.seq <= head.seq

    async def _note_ahead(self, head: Head, last: DigestRecord | None) -> None:
        """This disk is an old copy, or new: go on behind the platform's head, and say so."""
        if await self._heads.is_noted(head):
            return
        behind = last.seq if last else 0
        log.warning("the platform has digests up to %d, this disk up to %d; the chain goes on there", head.seq, behind)
        now = self._clock.now()
        await self._store.set_meta(HEAD, noted(head))
        await self._store.add_loss(Loss(last.end if last else now, now, "head_ahead", count=head.seq - behind))

    async def _give_up_branch(self, head: Head) -> None:
        """Our digests part from the platform's chain somewhere behind the last one that it accepted."""
        accepted = await self._store.last_settled("accepted")
        if accepted is not None and accepted.seq >= head.seq:
            raise Held(
                f"the platform accepted digest {accepted.seq} once, but its chain is another one now, up to {head.seq}",
                "let the platform's operator look at it; nothing is deleted here (gongfu-edge digest export)",
                kind="refused",
            )
        await self._set_aside(accepted.seq if accepted else 0, head)

    async def _set_aside(
        self, after_seq: int, head: Head, why: str = "was this disk restored?", *, accepted: bool = False
    ) -> None:
        """What was built on a chain that the platform does not have can never be taken there.

        It is kept, out of the way, and the chain goes on behind the platform's head, where the digests'
        builder repeats what would be missing.
        """
        self._heads.demand_vouched(head)
        last = await self._store.digest(after_seq)
        count = await self._store.set_aside_digests(after_seq, (HEAD, noted(head)), accepted=accepted)
        log.warning(
            "%d %s from %d on are no part of the platform's chain, which stands at %d (%s); they are set aside,"
            " and the chain goes on there", count, self._whose, after_seq + 1, head.seq, why,
        )  # fmt: skip
        if head.seq > after_seq:
            now = self._clock.now()
            await self._store.add_loss(Loss(last.end if last else now, now, "head_ahead", count=head.seq - after_seq))
        self.reconciled.set()


def _is_final(record: DigestRecord) -> bool:
    return record.state == "rejected" and (record.reason == CONFLICT or record.reason.startswith("422"))


def _state(kind: str) -> UplinkState:
    return "refused" if kind == "refused" else "waiting" if kind == "waiting" else "failing"
