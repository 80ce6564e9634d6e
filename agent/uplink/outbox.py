"""The outbox loop: digests in order of their chain, each deleted from it by the platform's own answer only.

*begin* – take the oldest digest without an answer; *send*; then *accept* (201, 200), *reject* (the
platform says that it will never take it: 409, 413, 422 …) or *keep* (anything else: later again).
Before the first digest, and after every trouble, the platform is asked for its head, so that neither a
restored disk nor an answer that was lost makes a fork or a gap.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from agent.backoff import Backoff
from agent.buffer.records import DigestRecord, Loss, Upload
from agent.buffer.store import Store, StoreUnavailable
from agent.clock import Clock
from agent.config.model import PlatformSection
from agent.evidence.identity import Identity
from agent.uplink.answers import (
    Accepted,
    Answer,
    Conflict,
    Later,
    Rejected,
    Unauthorized,
    judge_digest,
    judge_failure,
    read_head,
)
from agent.uplink.transport import Transport, Unreachable, compress

log = logging.getLogger(__name__)

HEAD = "chain_head"
ENROLMENT_POLL = 2.0
IDLE = 60.0
"""Seconds between looks for new digests when nobody wakes the loop."""
PACE = 0.05
"""Seconds between digests of a backlog: at most twenty a second."""
CONFLICT = "conflict"
_OVERHEAD = 1000
"""Bytes of a request besides its body, before it is sent: line, headers, token."""

Sleep = Callable[[float], Awaitable[None]]
UplinkState = Literal["starting", "connected", "waiting", "failing", "refused"]


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


class _Later(Exception):
    """Nothing more can be sent now; ``after_s`` is the platform's own wish, where it had one."""

    def __init__(self, reason: str, remedy: str = "", after_s: float | None = None, refused: bool = False) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.after_s = after_s
        self.refused = refused


class Uplink:
    """The way of the digests to one platform. Runs for ever; a platform that is away costs nothing."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        platform: PlatformSection,
        clock: Clock,
        *,
        wake: asyncio.Event | None = None,
        max_phase_s: float = 0.0,
        backoff: Backoff | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """``wake`` is set when there is a new digest. ``max_phase_s``: new digests are sent up to so much
        later, each gateway at its own time, so that a park does not send at the same second."""
        self._store = store
        self._identity = identity
        self._clock = clock
        self._wake = wake or asyncio.Event()
        self._sleep = sleep
        self._budget = int(platform.max_bytes_per_day)
        self._transport = Transport(platform.url, ca_file=platform.ca_file, proxy=platform.proxy.plain)
        self._backoff = backoff or Backoff(first_s=1.0, cap_s=300.0)
        self._phase = max_phase_s * int(hashlib.sha256(identity.own_id.encode()).hexdigest()[:4], 16) / 0xFFFF
        self._reconciled = False
        self._state: UplinkState = "starting"
        self._error, self._remedy = "", ""
        self._contact_us = 0
        self._sent_today = 0

    def snapshot(self) -> UplinkSnapshot:
        """The uplink as it is now."""
        return UplinkSnapshot(
            state=self._state,
            url=self._transport.url,
            contact_us=self._contact_us,
            last_error=self._error,
            remedy=self._remedy,
            bytes_today=self._sent_today,
            max_bytes_per_day=self._budget,
        )

    async def run(self) -> None:
        """Send what there is, wait for more, for ever."""
        try:
            await self._until_enrolled()
            while True:
                try:
                    await self._drain()
                except (_Later, StoreUnavailable) as trouble:
                    await self._sleep(self._note(trouble))
                    continue
                self._went_well()
                await self._until_woken()
        finally:
            self._transport.close()

    async def _until_enrolled(self) -> None:
        if self._identity.enrolment is None:
            self._state, self._remedy = "waiting", "gongfu-edge enroll --url … --token …"
            self._error = "this gateway is not enrolled"
            log.warning("%s; digests are kept → %s", self._error, self._remedy)
        while self._identity.enrolment is None and not self._identity.refresh():
            await self._sleep(ENROLMENT_POLL)

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(IDLE):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        await self._sleep(self._phase)

    async def _drain(self) -> None:
        if not self._reconciled:
            await self._reconcile()
        while records := await self._store.pending(1):
            await self._deliver(records[0])
            await self._sleep(PACE)

    def _went_well(self) -> None:
        if self._error:
            log.info("the platform takes digests")
        self._backoff.reset()
        self._state, self._error, self._remedy = "connected", "", ""

    def _note(self, trouble: Exception) -> float:
        """Say a new trouble once; returns the seconds to wait."""
        later = trouble if isinstance(trouble, _Later) else _Later(str(trouble))
        self._reconciled = False
        self._state = "refused" if later.refused else "failing"
        if str(later) != self._error:
            log.warning("digests are kept: %s%s", later, f" → {later.remedy}" if later.remedy else "")
        self._error, self._remedy = str(later), later.remedy
        wait = self._backoff.next()
        return wait if later.after_s is None else later.after_s + wait / 4

    # -- one digest ----------------------------------------------------------------------------------

    async def _deliver(self, record: DigestRecord) -> None:
        body = compress(record.body)
        await self._check_budget(len(body) + _OVERHEAD)
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Digest-Signature": record.jws,
        }
        answer = await self._ask("PUT", f"/digests/{record.seq}", body=body, headers=headers, seq=record.seq)
        verdict = judge_digest(answer, record.seq, record.hash)
        if isinstance(verdict, Accepted):
            await self._store.mark(record.seq, "accepted", time_us=self._clock.now())
            self._went_well()
        elif isinstance(verdict, Conflict) or (isinstance(verdict, Rejected) and verdict.final):
            await self._reject(record, verdict.reason)
        else:
            raise _later(verdict)

    async def _reject(self, record: DigestRecord, reason: str) -> None:
        now = self._clock.now()
        log.error("the platform rejects digest %d for good: %s", record.seq, reason)
        await self._store.mark(record.seq, "rejected", reason, now)
        await self._store.add_loss(Loss(now, now, "digest_rejected", count=1))

    async def _check_budget(self, size: int) -> None:
        now = self._clock.now()
        midnight = now - now % 86_400_000_000
        self._sent_today = await self._store.uploaded_bytes(midnight)
        if self._sent_today + size > self._budget:
            wait = (midnight + 86_400_000_000 - now) / 1e6
            until = datetime.fromtimestamp((midnight + 86_400_000_000) / 1e6, UTC)
            raise _Later(
                f"today's {self._budget} bytes are used up, until {until:%Y-%m-%d %H:%M} UTC",
                "raise [platform] max_bytes_per_day, or share fewer tags",
                # Bounded, so that a clock that is corrected meanwhile is noticed.
                min(wait, 600.0),
            )

    # -- what the platform has -----------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Compare the platform's head with our chain, before anything is sent."""
        answer = await self._ask("GET", "/digests/head")
        head = read_head(answer) if answer.status == 200 else None
        if head is None:
            raise _later(judge_failure(answer))
        await self._settle(head.seq, head.hash)
        self._reconciled = True

    async def _settle(self, seq: int, digest: str) -> None:
        if seq == 0:
            return
        ours, last = await self._store.digest(seq), await self._store.last_digest()
        if ours is None or ours.hash != digest:
            await self._continue_after(seq, digest, last)
        # What is up to the head and unsettled is offered again: only the answer says whether it was
        # accepted or rejected.

    async def _continue_after(self, seq: int, digest: str, last: DigestRecord | None) -> None:
        """The platform has what we do not know: this disk is an old copy, or new. Go on behind its head."""
        now = self._clock.now()
        noted = json.dumps({"seq": seq, "hash": digest}, sort_keys=True)
        if await self._store.meta(HEAD) != noted:
            log.warning("the platform is ahead (digest %d); the chain continues after it", seq)
            await self._store.set_meta(HEAD, noted)
            await self._store.add_loss(Loss(now, now, "head_ahead", count=max(0, seq - (last.seq if last else 0))))
        for record in await self._store.pending(1000):
            # Built on a chain that the platform does not have: it could only break the chain there.
            await self._store.mark(record.seq, "rejected", CONFLICT, now)
            await self._store.add_loss(Loss(record.start, now, "digest_rejected", count=1))

    # -- requests ------------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        seq: int | None = None,
    ) -> Answer:
        """One authenticated request; once more when the platform's clock shows that ours is wrong."""
        answer = await self._once(method, path, body, headers or {}, seq)
        if answer.status == 401 and answer.date_us is not None:
            before = self._clock.now()
            self._clock.platform_date(answer.date_us)
            if abs(self._clock.now() - before) > 1_000_000:
                answer = await self._once(method, path, body, headers or {}, seq)
        elif answer.date_us is not None:
            self._clock.platform_date(answer.date_us)
        return answer

    async def _once(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seq: int | None
    ) -> Answer:
        token = self._identity.token(self._transport.url, self._clock.now() // 1_000_000)
        headers = {**headers, "Authorization": f"Bearer {token}"}
        sent, status = 0, 0
        try:
            path = f"/gateways/{self._identity.gateway_id}{path}"
            answer = await self._transport.request(method, path, headers, body)
            sent, status, self._contact_us = answer.sent, answer.status, self._clock.now()
        except Unreachable as error:
            sent = error.sent
            raise _Later(str(error), error.remedy) from error
        finally:
            if body is not None and sent:
                await self._store.add_upload(Upload(self._clock.now(), seq, "digest", sent, status))
        return answer


def _later(verdict: Rejected | Unauthorized | Later) -> _Later:
    """A verdict that settles nothing: the digest is kept."""
    if isinstance(verdict, Unauthorized):
        remedy = "compare the clock; enrol again: gongfu-edge enroll"
        return _Later(f"the platform refuses this gateway ({verdict.reason})", remedy, refused=True)
    after = verdict.after_s if isinstance(verdict, Later) else None
    return _Later(f"the platform answers {verdict.reason}", after_s=after)
