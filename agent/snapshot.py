"""What the agent knows of itself, gathered from its rooms for the status, the console and the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agent import __version__
from agent.buffer.recorder import Recorder
from agent.buffer.records import Stats
from agent.buffer.store import Store
from agent.clock import Clock
from agent.config.model import Configuration
from agent.core.supervision import Supervision
from agent.evidence.identity import Identity
from agent.health.host import HostProbe
from agent.health.model import ConfigState
from agent.health.progress import Progress
from agent.health.status import (
    AudienceStatus,
    ConfigStatus,
    DigestStatus,
    LossStatus,
    Status,
    UplinkStatus,
    assemble,
    buffer_status,
    digest_status,
    iso,
    ledger_status,
)
from agent.platform_status import essence, platform_status
from agent.supervisor import Supervisor
from drivers.quality import Quality

if TYPE_CHECKING:
    from agent.uplink.outbox import UplinkSnapshot  # imports the whole of HTTP

LEDGER_SPAN_US = 7 * 86_400_000_000


class UplinkSource(Protocol):
    """What is read of the uplink."""

    def snapshot(self) -> UplinkSnapshot: ...


class TalkSource(Protocol):
    """What is read of :class:`agent.talk.Talk`."""

    @property
    def uplink(self) -> UplinkSource | None: ...
    @property
    def audiences(self) -> Mapping[str, UplinkSource]: ...


class Standing(Protocol):
    """Where remote configuration stands, see :class:`agent.control.journal.Standing`."""

    @property
    def running(self) -> int: ...
    @property
    def attempted(self) -> int: ...
    @property
    def attempted_hash(self) -> str: ...
    @property
    def state(self) -> ConfigState: ...
    @property
    def last_error(self) -> str: ...
    @property
    def told(self) -> str: ...


class ControlSource(Protocol):
    """What is read of remote configuration."""

    @property
    def standing(self) -> Standing: ...
    @property
    def locked_until_us(self) -> int: ...
    def trust_problem(self) -> str: ...


class Rooms(Protocol):
    """What is read of the agent."""

    configuration: Configuration
    store: Store
    identity: Identity
    clock: Clock
    recorder: Recorder
    progress: Progress
    supervisor: Supervisor
    supervision: Supervision

    @property
    def talk(self) -> TalkSource: ...

    @property
    def control(self) -> ControlSource: ...


class LatestValue(msgspec.Struct, frozen=True):
    """The last value of one series."""

    series: str
    time_us: int
    """0: nothing read yet."""
    value: float | str | None
    quality: int
    unit: str
    age_s: float | None = None
    """Since it was told or confirmed last, seconds."""


class Snapshot:
    """Reads the rooms when asked; what only the disk knows is as of the last :meth:`refresh`."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._started = rooms.clock.monotonic()
        self._host = HostProbe(Path(rooms.configuration.file.gateway.data_dir))
        self._stats = Stats(bytes=0, samples=0, oldest=None, bytes_written=0)
        self._digests: DigestStatus | None = None
        self._ledger: dict[str, LossStatus] = {}
        self._trust_problem = ""
        self._streams: dict[str, tuple[dict[str, int], int]] = {}
        """By audience: digests by state, and when the last one was accepted."""

    @property
    def store(self) -> Store:
        """The gateway's buffer."""
        return self._rooms.store

    async def refresh(self) -> None:
        """Ask the store. Raises StoreUnavailable."""
        rooms, store = self._rooms, self._rooms.store
        now = rooms.clock.now()
        self._trust_problem = await asyncio.to_thread(rooms.control.trust_problem)
        self._stats = await store.stats()
        settled = [await store.last_settled(state) for state in ("accepted", "rejected")]
        self._digests = digest_status(await store.digest_counts(), await store.last_digest(), *settled)
        self._ledger = ledger_status(await store.losses(now - LEDGER_SPAN_US, now))
        names = dict.fromkeys((*rooms.talk.audiences, *(name for name in await store.streams() if name)))
        self._streams = {name: await self._stream(name) for name in names}

    async def _stream(self, name: str) -> tuple[dict[str, int], int]:
        chain = self._rooms.store.stream_of(name)
        last = await chain.last_settled("accepted")
        return await chain.digest_counts(), last.settled if last else 0

    def status(self, *, with_host: bool = True) -> Status:
        """The status now; ``with_host``: also how the machine is, which takes a library to find out."""
        rooms = self._rooms
        configuration = rooms.configuration
        return assemble(
            gateway=configuration.file.gateway.name,
            gateway_id=rooms.identity.gateway_id,
            version=__version__,
            now_us=rooms.clock.now(),
            uptime_s=rooms.clock.monotonic() - self._started,
            clock=rooms.clock,
            devices=rooms.supervisor.snapshots(),
            buffer=buffer_status(
                self._stats,
                max_bytes=int(configuration.file.buffer.max_size),
                failing=rooms.recorder.failing,
            ),
            digests=self._digests or DigestStatus(built=0, pending=0, accepted=0, rejected=0, last_accepted=None),
            config=self._config(),
            ledger=self._ledger,
            uplink=_uplink_status(rooms.talk.uplink.snapshot()) if rooms.talk.uplink else None,
            host=self._host.sample() if with_host else None,
            audiences=[self._audience(name, *found) for name, found in self._streams.items()],
            stalled=rooms.progress.stalled(),
            components=rooms.supervision.snapshots(),
        )

    def _audience(self, name: str, counts: Mapping[str, int], settled: int) -> AudienceStatus:
        source = self._rooms.talk.audiences.get(name)
        uplink = source.snapshot() if source else None
        return AudienceStatus(
            name=name,
            state=uplink.state if uplink else "removed",
            pending=counts["pending"],
            accepted=counts["accepted"],
            rejected=counts["rejected"],
            last_accepted=iso(settled),
            url=uplink.url if uplink else "",
            last_contact=iso(uplink.contact_us) if uplink else None,
            last_error=uplink.last_error if uplink else "",
            remedy=uplink.remedy if uplink else "",
        )

    def told_platform(self, effective_config: Mapping[str, Any] | None) -> tuple[dict[str, Any], bytes]:
        """What the platform is told now, and what of it is worth a report when it changes."""
        told = platform_status(self.status(with_host=False), self._rooms.configuration.file, effective_config)
        return told, essence(told)

    def _config(self) -> ConfigStatus:
        standing = self._rooms.control.standing
        locked_until = self._rooms.control.locked_until_us // 1_000_000 * 1_000_000
        return ConfigStatus(
            source=f"file and revision {standing.running}" if standing.running else "file",
            running_hash=self._rooms.configuration.hash,
            attempted_hash=standing.attempted_hash,
            status=standing.state,
            last_error=standing.last_error,
            told_error=standing.told,
            running_revision=standing.running,
            attempted_revision=standing.attempted,
            locked_until=iso(locked_until // 1_000_000 * 1_000_000)
            if (locked_until := self._rooms.control.locked_until_us)
            else None,
            trust_problem=self._trust_problem,
        )

    def latest(self) -> Iterator[LatestValue]:
        """The last value of every series, in the order of the configuration."""
        for runner in self._rooms.supervisor.runners.values():
            latest, stale, now = runner.latest, runner.stale(), self._rooms.clock.monotonic()
            for tag in runner.device.tags:
                index = tag.point.index
                number = float(latest.value[index])
                value = latest.text.get(index, None if number != number else number)
                quality = int(latest.quality[index])
                if stale[index] and quality < Quality.BAD:
                    quality = int(Quality.STALE)
                time_us = int(latest.time[index])
                yield LatestValue(
                    tag.series,
                    time_us,
                    value if quality < Quality.BAD else None,
                    quality,
                    tag.unit,
                    round(now - float(latest.seen[index]), 3) if time_us else None,
                )


def _uplink_status(uplink: UplinkSnapshot) -> UplinkStatus:
    return UplinkStatus(
        state=uplink.state,
        url=uplink.url,
        last_contact=iso(uplink.contact_us),
        last_error=uplink.last_error,
        remedy=uplink.remedy,
        bytes_today=uplink.bytes_today,
        max_bytes_per_day=uplink.max_bytes_per_day,
    )
