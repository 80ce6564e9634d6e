"""What the agent says to platforms, and what it hears from the one that it belongs to.

Each chain of digests has an uplink of its own: the gateway's own digests, and those of each audience, be it at the
same platform or at another. None waits for another. Only the platform that the gateway belongs to is told of its
status and asked for configuration and prescriptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Coroutine
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
from agent.digest.service import DigestService
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


class Talk:
    """One an agent. :attr:`uplink` is the way to the platform that the gateway belongs to, None where there is none;
    :attr:`audiences` are the ways to the others, by name."""

    def __init__(self, rooms: Rooms, folder: Path) -> None:
        self._rooms = rooms
        self._folder = folder
        self._changed = asyncio.Event()
        """Set when digests shall go elsewhere."""
        self._wakes: dict[str, asyncio.Event] = {}
        self.uplink: Uplink | None = None
        self.audiences: dict[str, Uplink] = {}
        self.change(rooms.configuration)

    def change(self, configuration: Configuration) -> None:
        """Talk to the platforms of this configuration from now on."""
        self.uplink = self._make_uplink(configuration)
        self.audiences = {each.name: self._for_audience(each, configuration) for each in configuration.file.audience}
        self._changed.set()

    def rooms(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What is to run, by name."""
        rooms = {"uplinks": self._run()}
        if self.uplink is not None:
            rooms["configuration"] = self._ask_platform()
            rooms["prescriptions"] = ask_for_prescriptions(self._rooms.inbox, self._prescriber)
        return rooms

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
        candidate = self._make_uplink(configuration)
        if candidate is not None and candidate.is_enrolled:
            await candidate.ask()

    def reached_since(self, time_us: int) -> bool:
        """Whether the platform in force has answered since then (UTC microseconds)."""
        return self.uplink is None or self.uplink.snapshot().contact_us >= time_us

    # -- ways ------------------------------------------------------------------------------------------

    def _make_uplink(self, configuration: Configuration) -> Uplink | None:
        platform = configuration.file.platform
        if platform is None:
            return None
        if platform.ca:
            # By its content, so that a candidate never replaces what the platform in force is trusted by.
            name = hashlib.sha256(platform.ca.encode()).hexdigest()[:16]
            path = self._folder / f"platform-{name}.pem"
            make_folder(path.parent)
            write_atomically(path, platform.ca.encode())
            platform = msgspec.structs.replace(platform, ca_file=str(path))
        with_it = [each.name for each in configuration.file.audience if each.url == OWN_PLATFORM]
        return self._uplink(platform, configuration, audiences=("", *with_it))

    def _for_audience(self, audience: AudienceSection, configuration: Configuration) -> Uplink:
        if audience.url == OWN_PLATFORM:
            assert self.uplink is not None  # the configuration's checks want a [platform] then
            return self._uplink(self.uplink.platform, configuration, stream=audience.name, beside=self.uplink)
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
        )

    def _uplinks(self) -> list[Uplink]:
        return [each for each in (self.uplink, *self.audiences.values()) if each is not None]

    # -- loops -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each.run(), name="outbox") for each in self._uplinks()]
                if self.uplink is not None:
                    reporter = self.uplink.reporter(self._tell, self._rooms.control.changed)
                    tasks.append(group.create_task(reporter.run(), name="reporter"))
                await self._changed.wait()
                for task in tasks:
                    task.cancel()

    def _tell(self) -> tuple[dict[str, Any], bytes]:
        file = self._rooms.configuration.file
        return self._rooms.snapshot.told_platform(effective(file) if file.remote.allow else None)

    async def _ask_platform(self) -> None:
        # Its questions stay open for a minute, so they go over a connection of their own.
        rooms = self._rooms
        while not (rooms.identity.enrolment and rooms.configuration.file.remote.allow):  # noqa: ASYNC110 - files change both
            await asyncio.sleep(LOOK_S)
        client_of: dict[int, Client] = {}

        def client() -> Client:
            # One a platform: its connection is kept between two questions.
            uplink = self.uplink
            assert uplink is not None  # a platform that is there can move, but not go
            if id(uplink) not in client_of:
                client_of.clear()
                client_of[id(uplink)] = uplink.beside()
            return client_of[id(uplink)]

        await ask_platform(rooms.control, client)

    def _prescriber(self) -> Client | None:
        asks = self.uplink is not None and self._rooms.identity.enrolment and self._rooms.inbox.asks()
        return self.uplink.beside() if self.uplink is not None and asks else None
