"""What may go over the link in a UTC day, and what has gone: ``[platform] max_bytes_per_day``.

Counted is every request of the running agent that may have left, whatever became of it: digests, the
questions for the platform's head, the desired configuration and prescriptions, status reports, and each repetition.
A request counts with its line, its headers (those that the HTTP library adds are estimated) and its body as sent,
compressed; and so does its answer, as far as it came: a platform that has much to say uses up the part of the day's
bytes that its kind of question may use, not that of the digests. Not counted is what TLS and TCP add (some 5 kB for
each new connection), and ``gongfu-edge enroll``, which a person runs once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from agent.buffer.records import Upload
from agent.errors import GongfuError
from agent.uplink.held import Held

DAY_US = 86_400_000_000
LONGEST_WAIT_S = 600.0
"""Between two looks at a budget that is used up, so that a clock that is corrected meanwhile is noticed."""
SHARES = {"status": 0.1, "config": 0.2, "prescriptions": 0.05}
"""Kinds of request that may use only this part of a day's bytes, so that digests come first."""


class UploadLedger(Protocol):
    """What is asked of the store."""

    async def add_upload(self, upload: Upload) -> None: ...
    async def uploaded_bytes(self, since_us: int, kind: str = "", audiences: Sequence[str] | None = None) -> int: ...


class BudgetClock(Protocol):
    """What is asked of :class:`agent.clock.Clock`."""

    def now(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Reserved:
    """Bytes set aside for a request that is on its way; ``day``: since 1970."""

    day: int
    size: int
    kind: str


class Budget:
    """The bytes of one day, shared by everything that sends; survives a restart through the upload ledger."""

    def __init__(
        self, ledger: UploadLedger, clock: BudgetClock, max_bytes: int, audiences: Sequence[str] | None = None
    ) -> None:
        """``audiences``: whose chains go there; None: all there are."""
        self._audiences = audiences
        self._ledger = ledger
        self._clock = clock
        self.max_bytes = max_bytes
        self._day = -1
        self._loading = asyncio.Lock()
        self._spent: dict[str, int] = {}
        """Bytes of ``_day`` by kind; under ``""`` those of every kind."""

    @property
    def bytes_today(self) -> int:
        """Bytes that have left since midnight UTC or are on their way; 0 as long as nothing was asked for."""
        return self._spent.get("", 0) if self._day == self._clock.now() // DAY_US else 0

    async def reserve(self, size: int, kind: str) -> Reserved:
        """Set ``size`` bytes aside for one request; :meth:`settle` follows.

        Raises Held until midnight, and while the disk fails: what cannot be noted is not sent.
        """
        await self._load()
        share = SHARES.get(kind, 1.0)
        if size > self.max_bytes * share:
            raise self._held(
                f"a request of {size} bytes ({kind}) is more than [platform] max_bytes_per_day allows in a whole day"
            )
        if self.bytes_today + size > self.max_bytes:
            raise self._held(f"today's {self.max_bytes} bytes are used up; digests go on after midnight UTC")
        if self._spent.get(kind, 0) + size > self.max_bytes * share:
            raise self._held(f"the part of today's bytes that {kind} may use is used up")
        self._add(size, kind)
        return Reserved(self._day, size, kind)

    async def settle(self, reserved: Reserved, upload: Upload) -> None:
        """Count what really left, and enter it in the upload ledger unless that is nothing."""
        await self._load()
        self._add(upload.bytes - (reserved.size if reserved.day == self._day else 0), reserved.kind)
        if upload.bytes:
            with _disk_willing():
                await self._ledger.add_upload(upload)

    def _add(self, size: int, kind: str) -> None:
        for each in {"", kind}:
            self._spent[each] = self._spent.get(each, 0) + size

    async def _load(self) -> None:
        # One at a time: what another has reserved meanwhile must not be forgotten.
        async with self._loading:
            day = self._clock.now() // DAY_US
            if day != self._day:
                with _disk_willing():
                    spent = {
                        kind: await self._ledger.uploaded_bytes(day * DAY_US, kind, self._audiences)
                        for kind in ("", *SHARES)
                    }
                self._day, self._spent = day, spent

    def _held(self, reason: str) -> Held:
        left_s = (DAY_US - self._clock.now() % DAY_US) / 1e6
        remedy = "raise [platform] max_bytes_per_day, or share fewer tags"
        return Held(reason, remedy, min(left_s, LONGEST_WAIT_S), "waiting")


@contextmanager
def _disk_willing() -> Iterator[None]:
    try:
        yield
    except GongfuError as error:
        raise Held(f"the upload ledger cannot be kept: {error}", error.remedy) from error
