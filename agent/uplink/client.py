"""The platform's requests as the contract has them: token, gzip, ledger, budget, the platform's clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from agent.buffer.records import DigestRecord, Upload
from agent.disclosure import messages as disclosure
from agent.uplink.answers import (
    Accepted,
    Answer,
    Conflict,
    Head,
    Later,
    Rejected,
    Unauthorized,
    judge_digest,
    judge_failure,
    read_head,
)
from agent.uplink.budget import Budget
from agent.uplink.held import Held, held_by
from agent.uplink.transport import Transport, Unreachable, compress

CLOCK_MOVED_US = 1_000_000
ANSWER_ALLOWANCE = 1024
"""Bytes of the day that are set aside for an answer before it is known: those of a head, with its signature."""


class UplinkClock(Protocol):
    """What is asked of :class:`agent.clock.Clock`."""

    def now(self) -> int: ...
    def platform_date(self, utc_us: int) -> bool: ...


class Bearer(Protocol):
    """What is asked of :class:`agent.evidence.identity.Identity`."""

    @property
    def gateway_id(self) -> str: ...
    def token(self, audience: str, now_s: int) -> str: ...


class NotOffered(Exception):
    """The platform does not have what the contract came to have later."""


class Client:
    """Requests of one gateway to one platform; each is counted in the day's budget."""

    def __init__(
        self, identity: Bearer, clock: UplinkClock, transport: Transport, budget: Budget, stream: str = ""
    ) -> None:
        """``stream``: the audience whose digests are sent; empty: the gateway's own."""
        self._stream = stream
        self._chain = f"/streams/{stream}/digests" if stream else "/digests"
        self._identity = identity
        self._clock = clock
        self._transport = transport
        self._budget = budget
        self.contact_us = 0
        """When the platform answered last; 0: not yet."""

    async def head(self) -> Head:
        """The newest digest that the platform has. Raises Held."""
        answer = await self._ask("GET", f"{self._chain}/head", kind="head")
        head = read_head(answer) if answer.status == 200 else None
        if head is not None:
            return head
        if answer.status == 200:
            raise Held("the platform's answer is not what the contract says", "is [platform] url right?")
        raise held_by(judge_failure(answer))

    async def offer(self, record: DigestRecord) -> Accepted | Rejected | Conflict:
        """Offer a digest; what the platform decided. Raises Held when it decided nothing."""
        headers = {"Content-Encoding": "gzip", "Digest-Signature": record.jws}
        answer = await self._send(f"{self._chain}/{record.seq}", compress(record.body), headers, record.seq, "digest")
        verdict = judge_digest(answer, record.seq, record.hash)
        if isinstance(verdict, Unauthorized | Later):
            raise held_by(verdict)
        return verdict

    async def report(self, status: Mapping[str, Any]) -> None:
        """Replace the platform's picture of this gateway. Raises Held."""
        body = compress(msgspec.json.encode(status))
        answer = await self._send("/status", body, {"Content-Encoding": "gzip"}, None, "status")
        if answer.status not in (200, 204):
            raise held_by(judge_failure(answer))

    async def desired(self, etag: str, wait_s: int) -> tuple[bytes | None, str]:
        """What this gateway shall run: (bundle, its ETag); (None, ETag) when that is nothing new. Raises Held.

        ``etag``: of the last answer, empty at first. The platform may keep the question open for ``wait_s``.
        """
        headers = {"If-None-Match": etag} if etag else {}
        answer = await self._ask("GET", f"/config?wait={wait_s}", None, headers, kind="config")
        if answer.status in (204, 304):
            return None, etag if answer.status == 304 else ""
        if answer.status != 200:
            raise held_by(judge_failure(answer))
        return answer.body, answer.etag

    async def prescriptions(self, etag: str) -> tuple[bytes | None, str]:
        """What is prescribed to this gateway: (list, its ETag); (None, ETag) when that is nothing new.

        Raises Held, and NotOffered where the platform knows no prescriptions.
        """
        answer = await self._ask(
            "GET", "/prescriptions", None, {"If-None-Match": etag} if etag else {}, kind="prescriptions"
        )
        if answer.status == 304:
            return None, etag
        if answer.status == 404:
            raise NotOffered
        if answer.status != 200:
            raise held_by(judge_failure(answer))
        return answer.body, answer.etag

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._transport.close()

    async def _send(self, path: str, body: bytes, headers: dict[str, str], seq: int | None, kind: str) -> Answer:
        return await self._ask("PUT", path, body, {"Content-Type": "application/json", **headers}, seq, kind)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seq: int | None = None,
        kind: str = "",
    ) -> Answer:
        """One authenticated request; once more when the platform's ``Date`` shows that our clock was wrong."""
        answer = await self._once(method, path, body, headers, seq, kind)
        before = self._clock.now()
        self._learn_time(answer)
        if answer.status == 401 and abs(self._clock.now() - before) > CLOCK_MOVED_US:
            answer = await self._once(method, path, body, headers, seq, kind)
            self._learn_time(answer)
        return answer

    def _learn_time(self, answer: Answer) -> None:
        # Not from an audience's platform: only the one that the gateway belongs to teaches it the time. And not from
        # a captive portal or a redirect: that is nobody's word.
        if self._stream or answer.date_us is None:
            return
        is_word = answer.status in (201, 204, 401) or answer.json() is not None
        if is_word and self._clock.platform_date(answer.date_us):
            self._transport.close()  # it is to be confirmed over another connection

    async def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        seq: int | None,
        kind: str,
    ) -> Answer:
        token = self._identity.token(self._transport.url, self._clock.now() // 1_000_000)
        whole = disclosure.headers({**(headers or {}), "Authorization": f"Bearer {token}"})
        whole_path = f"/gateways/{self._identity.gateway_id}{path}"
        # Until it is known better, everything left: also when this is cancelled half-way.
        sent, heard, status = self._transport.size(method, whole_path, whole, body), 0, 0
        reserved = await self._budget.reserve(sent + ANSWER_ALLOWANCE, kind)
        try:
            answer = await self._transport.request(method, whole_path, whole, body)
            status, heard = answer.status, answer.heard
        except Unreachable as error:
            sent, heard = error.sent, error.heard
            raise Held(str(error), error.remedy) from error
        finally:
            upload = Upload(self._clock.now(), seq, kind, sent + heard, status, self._stream, self._transport.host)
            await self._budget.settle(reserved, upload)
        self.contact_us = self._clock.now()
        return answer
