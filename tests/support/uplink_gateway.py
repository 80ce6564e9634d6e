"""A gateway with a real store, and an uplink whose waits are noted instead of waited for."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.backoff import Backoff
from agent.buffer.records import DigestRecord
from agent.buffer.store import Store
from agent.config.model import ByteSize, PlatformSection, Secret
from agent.evidence.chain import GENESIS, digest_hash
from agent.evidence.identity import Identity
from agent.uplink.client import Client
from agent.uplink.outbox import Uplink
from agent.uplink.reporter import Pace, Reporter
from agent.uplink.transport import Transport

NOON_US = 1_800_057_600_000_000 - 1_800_057_600_000_000 % 86_400_000_000 + 43_200_000_000


PATIENT_S = 60.0
"""Where whatever is waited for comes: the rest is for a machine that is busy."""
STATUS = {"running_hash": "ab", "attempted_hash": "", "state": "UNSET", "last_error": "", "version": "0.1.0"}


class SetClock:
    """A clock that stands still until it is set; ``dates``: what the platform said."""

    def __init__(self, now_us: int = NOON_US, trusted: bool = True) -> None:
        self.now_us = now_us
        self.trusted = trusted
        self.dates: list[int] = []

    def now(self) -> int:
        return self.now_us

    def platform_date(self, utc_us: int) -> bool:
        self.dates.append(utc_us)
        if not self.trusted:
            self.now_us = utc_us
        return False


class Gateway:
    """Store, identity and clock; :meth:`running` runs an uplink."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.identity = Identity.load_or_create(folder / "identity")
        self.clock = SetClock()
        self.wake = asyncio.Event()
        self.waits: list[float] = []
        self.state: dict[str, Any] = {}
        """What is reported of this gateway, besides :data:`STATUS`."""
        self._transport: Transport | None = None
        self.seconds = 0.0
        """The reporter's monotonic clock."""

    async def build(
        self,
        count: int,
        *,
        after: tuple[int, str] | None = None,
        note: str = "",
        body: Callable[[int, str], bytes] | None = None,
    ) -> None:
        """``count`` more signed digests, behind the last one or ``after`` (seq, hash).

        ``body``: makes their bytes of number and previous hash; by default they are no more than a header.
        """
        last = await self.store.last_digest()
        seq, previous = after or ((last.seq, last.hash) if last else (0, GENESIS))
        for _ in range(count):
            seq += 1
            plain = {"header": {"seq": seq, "previous": previous}, "note": note}
            made = body(seq, previous) if body else json.dumps(plain).encode()
            await self.store.add_digest(
                DigestRecord(
                    seq,
                    "period",
                    seq * 1000,
                    seq * 1000 + 1000,
                    digest_hash(made),
                    previous,
                    made,
                    self.identity.sign_detached(made),
                )
            )
            previous = digest_hash(made)
        self.wake.set()

    async def states(self) -> str:
        """``aapr``: accepted, accepted, pending, rejected; oldest first."""
        return "".join(record.state[0] for record in reversed(await self.store.digests(1000)))

    async def causes(self) -> list[str]:
        """Causes in the loss ledger."""
        return [loss.cause for loss in await self.store.losses(0, 2**62)]

    @asynccontextmanager
    async def running(
        self,
        url: str,
        *,
        budget: int = 50_000_000,
        deadline_s: float = PATIENT_S,
        reports: bool = False,
        report_deadline_s: float = PATIENT_S,
    ) -> AsyncIterator[Uplink]:
        """An uplink at work; with ``reports`` also a reporter of :attr:`state`."""
        section = PlatformSection(url=url, proxy=Secret(""), max_bytes_per_day=ByteSize(budget))

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)
            await asyncio.sleep(0.002)

        self._transport = Transport(url, read_s=deadline_s, deadline_s=deadline_s)
        uplink = Uplink(
            self.store, self.identity, section, self.clock,
            wake=self.wake, sleep=sleep, backoff=Backoff(rng=lambda: 0.5), transport=self._transport,
        )  # fmt: skip
        tasks = [asyncio.create_task(uplink.run())]
        if reports:
            tasks.append(asyncio.create_task(self._reporter(uplink, url, report_deadline_s).run()))
        try:
            yield uplink
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def hurry(self, deadline_s: float) -> None:
        """From the uplink's next request on, what is not answered whole within so long is not answered."""
        assert self._transport is not None
        self._transport._deadline_s = deadline_s

    def _reporter(self, uplink: Uplink, url: str, deadline_s: float) -> Reporter:
        client = Client(
            self.identity, self.clock, Transport(url, read_s=deadline_s, deadline_s=deadline_s), uplink.budget
        )
        return Reporter(
            lambda: (dict(STATUS, **self.state), json.dumps(self.state).encode()),
            client, lambda: uplink.snapshot().state == "connected", Pace(0.0, rng=lambda: 0.5),
            sleep=lambda _: asyncio.sleep(0.002), monotonic=lambda: self.seconds,
        )  # fmt: skip

    async def until_states(self, expected: str) -> None:
        """Wait until the digests are in these states."""
        await until(lambda: self.states(), expected)


async def until(look, expected) -> None:  # type: ignore[no-untyped-def]
    """Wait until ``await look()`` is ``expected``."""
    found = None
    try:
        async with asyncio.timeout(PATIENT_S):
            while (found := await look()) != expected:  # noqa: ASYNC110 — a state on disk has no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"still {found!r}, not {expected!r}") from None


@asynccontextmanager
async def gateway_in(folder: Path, *, enrolled: bool = True, copy_of: Path | None = None) -> AsyncIterator[Gateway]:
    """A gateway on a disk of its own; ``copy_of``: a folder of the gateway whose key this disk has, too."""
    folder.mkdir(parents=True, exist_ok=True)
    if copy_of is not None:
        shutil.copytree(copy_of / "identity", folder / "identity", dirs_exist_ok=True)
    store = await Store.open(folder / "buffer.db")
    try:
        gateway = Gateway(store, folder)
        if enrolled:
            gateway.identity.save_enrolment("plant-7", "", {"keys": []})
        yield gateway
    finally:
        await store.close()
