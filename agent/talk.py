"""What the agent says to platforms, and what it hears from the one that it belongs to.

Each chain of digests has an uplink of its own: the gateway's own digests, and those of each audience, be it at the
same platform or at another. None waits for another. Only the platform that the gateway belongs to is told of its
status and asked for configuration and prescriptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agent.buffer.store import Store
from agent.clock import Clock
from agent.config.model import OWN_PLATFORM, AudienceSection, Configuration, PlatformSection
from agent.control.effective import effective
from agent.control.inbox import Inbox, ask_for_prescriptions
from agent.control.loop import ask_platform
from agent.control.service import Control
from agent.core.bounded import rest
from agent.core.faults import remedy_of
from agent.core.supervision import Supervision, Work
from agent.digest.service import DigestService
from agent.errors import GongfuError
from agent.evidence.files import make_folder, write_atomically
from agent.evidence.identity import Identity
from agent.snapshot import Snapshot

if TYPE_CHECKING:
    from agent.uplink.client import Client
    from agent.uplink.outbox import Uplink

MAX_PHASE = 30.0
"""Seconds over which the gateways of a park spread their uploads, at most."""
HEAD_WAIT = 15.0
"""Seconds that the first digest waits for the platforms' word on where the chains go on."""
LOOK_S = 2.0
"""Between looks at what files on this gateway change."""


class Rooms(Protocol):
    """What is asked of the agent."""

    configuration: Configuration
    store: Store
    identity: Identity
    clock: Clock
    digests: DigestService
    control: Control
    inbox: Inbox
    snapshot: Snapshot
    supervision: Supervision


@dataclass(frozen=True, slots=True)
class Ways:
    """Where digests go: to the platform that the gateway belongs to, and to each audience by name."""

    own: Uplink | None
    audiences: Mapping[str, Uplink]


class Talk:
    """One an agent. :attr:`uplink` is the way to the platform that the gateway belongs to, None where there is none;
    :attr:`audiences` are the ways to the others, by name."""

    def __init__(self, rooms: Rooms, folder: Path) -> None:
        self._rooms = rooms
        self._folder = folder
        self._wakes: dict[str, asyncio.Event] = {}
        self._running: list[str] = []
        """Components of the ways in force."""
        self._ways = self._made(rooms.configuration)

    @property
    def uplink(self) -> Uplink | None:
        """The way to the platform that the gateway belongs to."""
        return self._ways.own

    @property
    def audiences(self) -> Mapping[str, Uplink]:
        """The ways to the audiences, by name."""
        return self._ways.audiences

    def start(self) -> None:
        """Talk to the platforms, until the supervision ends."""
        self._start_ways()
        if self.uplink is not None:
            supervision = self._rooms.supervision
            supervision.start("configuration", self._ask_platform)
            supervision.start("prescriptions", lambda: ask_for_prescriptions(self._rooms.inbox, self._prescriber))

    async def prepared(self, configuration: Configuration) -> Ways:
        """The ways of another configuration, for :meth:`change`. Raises GongfuError."""
        return await asyncio.to_thread(self._made, configuration)  # it writes files

    async def change(self, ways: Ways) -> None:
        """Go these ways from now on."""
        await self._rooms.supervision.stop(self._running)
        self._ways = ways
        self._start_ways()

    def _start_ways(self) -> None:
        supervision = self._rooms.supervision
        ways = {f"uplink {name}": uplink for name, uplink in self.audiences.items()}
        works: dict[str, Work] = {name: uplink.run for name, uplink in ways.items()}
        if self.uplink is not None:
            works["uplink"] = self.uplink.run
            works["reporter"] = self.uplink.reporter(self._tell, self._rooms.control.changed).run
        for name, work in works.items():
            supervision.start(name, work)
        self._running = list(works)

    async def reconciled(self) -> None:
        """Wait for the platforms' word on where the chains go on, but not for long.

        On a disk restored from an old copy they go on elsewhere. A platform that is away must not hold the digests
        up; what is built meanwhile may have to be set aside and linked anew.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_WAIT):
                for uplink in self._uplinks():
                    if uplink.is_enrolled:
                        await uplink.reconciled.wait()

    async def try_platform(self, configuration: Configuration) -> None:
        """Ask the platform of a configuration for its head. Raises GongfuError."""
        candidate = (await self.prepared(configuration)).own
        if candidate is not None and candidate.is_enrolled:
            await candidate.ask()

    def reached_since(self, time_us: int) -> bool:
        """Whether the platform in force has answered since then (UTC microseconds)."""
        return self.uplink is None or self.uplink.snapshot().contact_us >= time_us

    # -- ways ------------------------------------------------------------------------------------------

    def _made(self, configuration: Configuration) -> Ways:
        platform = configuration.file.platform
        own = None
        if platform is not None:
            if ca_file := _ca_kept(configuration, self._folder):
                platform = msgspec.structs.replace(platform, ca_file=ca_file)
            with_it = [each.name for each in configuration.file.audience if each.url == OWN_PLATFORM]
            own = self._uplink(platform, configuration, audiences=("", *with_it))
        others = {each.name: self._for_audience(each, configuration, own) for each in configuration.file.audience}
        return Ways(own, others)

    def _for_audience(self, audience: AudienceSection, configuration: Configuration, own: Uplink | None) -> Uplink:
        if audience.url == OWN_PLATFORM:
            assert own is not None  # the configuration's checks want a [platform] then
            return self._uplink(own.platform, configuration, stream=audience.name, beside=own)
        section = PlatformSection(
            url=audience.url,
            ca_file=audience.ca_file,
            proxy=audience.proxy,
            max_bytes_per_day=audience.max_bytes_per_day,
        )
        return self._uplink(section, configuration, stream=audience.name, audiences=(audience.name,), is_apart=True)

    def _uplink(
        self,
        platform: PlatformSection,
        configuration: Configuration,
        *,
        stream: str = "",
        audiences: tuple[str, ...] = (),
        beside: Uplink | None = None,
        is_apart: bool = False,
    ) -> Uplink:
        from agent.uplink.outbox import Uplink  # an agent without a platform does without HTTP

        rooms = self._rooms
        wake = self._wakes.get(stream)
        if wake is None:
            wake = self._wakes[stream] = rooms.digests.listen()
        return Uplink(
            rooms.store.stream_of(stream),
            rooms.identity.persona(stream) if is_apart else rooms.identity,
            platform,
            rooms.clock,
            stream=stream,
            audiences=audiences,
            budget=beside.budget if beside else None,
            wake=wake,
            max_phase_s=min(MAX_PHASE, float(configuration.file.digest.period) / 10),
            sleep=rest,
        )

    def _uplinks(self) -> list[Uplink]:
        return [each for each in (self.uplink, *self.audiences.values()) if each is not None]

    # -- loops -----------------------------------------------------------------------------------------

    def _tell(self) -> tuple[dict[str, Any], bytes]:
        file = self._rooms.configuration.file
        return self._rooms.snapshot.told_platform(effective(file) if file.remote.allow else None)

    async def _ask_platform(self) -> None:
        # Its questions stay open for a minute, so they go over a connection of their own.
        rooms = self._rooms
        while not (rooms.identity.enrolment and rooms.configuration.file.remote.allow):  # noqa: ASYNC110 - files change both
            await asyncio.sleep(LOOK_S)
        kept: tuple[Uplink, Client] | None = None

        def client() -> Client:
            # One a platform: its connection is kept between two questions.
            nonlocal kept
            uplink = self.uplink
            assert uplink is not None  # a platform that is there can move, but not go
            if kept is None or kept[0] is not uplink:
                if kept is not None:
                    kept[1].close()
                kept = uplink, uplink.beside()
            return kept[1]

        try:
            await ask_platform(rooms.control, client)
        finally:
            if kept is not None:
                kept[1].close()

    def _prescriber(self) -> Client | None:
        asks = self.uplink is not None and self._rooms.identity.enrolment and self._rooms.inbox.asks()
        return self.uplink.beside() if self.uplink is not None and asks else None


def _ca_kept(configuration: Configuration, folder: Path) -> str:
    """The file that holds the platform's CA where the configuration brings it along; else empty. Raises GongfuError."""
    platform = configuration.file.platform
    if platform is None or not platform.ca:
        return ""
    # By its content, so that a candidate never replaces what the platform in force is trusted by.
    data = platform.ca.encode()
    path = folder / f"platform-{hashlib.sha256(data).hexdigest()[:16]}.pem"
    try:
        if not path.exists() or path.read_bytes() != data:
            make_folder(path.parent)
            write_atomically(path, data)
    except OSError as error:
        raise GongfuError(f"{path}: {error.strerror}", remedy=remedy_of(error)) from error
    return str(path)
