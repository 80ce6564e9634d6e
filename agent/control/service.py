"""Configuration while running: from the platform, from the local engineer's file, and back again.

What flows in: bundles (bytes), and requests of the local engineer. What flows out: a configuration that the
plant is switched to, and where it stands for the status. One attempt at a time: verify → dry run → switch →
probation → in force, or back to what was. On disk the old one stays in force until the new one is proven.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Hashable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from agent.clock import boot_id, boottime_us
from agent.config.difference import difference
from agent.config.model import Configuration, EnterpriseSection
from agent.config.overlay import Decrypt, Overlay, no_key
from agent.config.parse import load
from agent.control.bundle import Bundle, verify
from agent.control.content import read_content, refusal_of
from agent.control.dry_run import dry_run
from agent.control.in_force import keep
from agent.control.journal import Journal, Revision, Standing
from agent.control.lock import Lock, carried, locked_for
from agent.control.probation import Plant, delivering, probation
from agent.control.reasons import Refusal
from agent.control.trust import Rotation, Trust, load_rotation, load_trust, rotation
from agent.errors import ConfigurationInvalid, GongfuError

log = logging.getLogger(__name__)

LOCK_STEP_US = 600_000_000
"""What is left of the engineer's lock is written down so often."""
SWITCH_BACK_S = 5.0
"""Between tries to go back when the disk does not even allow that."""
MOST_REPORTED = 200
"""Lines of a dry run that are kept."""


class Switchable(Plant, Protocol):
    """The agent, as far as its configuration is concerned."""

    configuration: Configuration
    shared: MutableMapping[Hashable, Any]

    async def switch(self, configuration: Configuration) -> None: ...
    async def try_platform(self, configuration: Configuration) -> None:
        """Ask the platform of a configuration for its head. Raises GongfuError."""

    def reached_since(self, time_us: int) -> bool:
        """Whether the platform in force has answered since then."""


class ControlClock(Protocol):
    """What is asked of :class:`agent.clock.Clock`."""

    @property
    def trusted(self) -> bool: ...
    def now(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Who this is, and whom it trusts."""

    id: Callable[[], str]
    enrolled_admins: Callable[[], Mapping[str, Any]]
    decrypt: Decrypt = no_key


def compose(
    local: Configuration, journal: Journal, *, decrypt: Decrypt = no_key, environ: Mapping[str, str] = os.environ
) -> tuple[Configuration, Standing]:
    """The configuration to start with: the local file and over it the last revision that was proven.

    An attempt that a crash cut short is over: it failed, and that is written down. A revision that no longer
    fits the local file is left out, and that is said.
    """
    standing = _still_true(journal, journal.standing(), local)
    if standing.state == "APPLYING":
        refusal = Refusal("crashed", f"the agent ended while revision {standing.attempted} was being tried")
        standing = _failed(journal, standing, refusal)
    _complete(journal, standing)
    revision = journal.revision(standing.running) if standing.running else None
    if revision is None:
        return local, standing
    made = overlaid(local, Overlay(revision.config, f"revision {revision.revision}", decrypt), environ)
    if isinstance(made, Configuration):
        return made, standing
    log.error("revision %d is not in force any more, the local file is in force alone", standing.running)
    return local, _failed(journal, msgspec.structs.replace(standing, running=0), made)


def _still_true(journal: Journal, standing: Standing, local: Configuration) -> Standing:
    """Without the failure of what is in force now, or of an edit of the local file: whatever that says now is in force
    with this start (N3)."""
    if standing.state != "FAILED" or not (standing.by_engineer or standing.attempted_hash == local.hash):
        return standing
    state: Literal["APPLIED", "UNSET"] = "APPLIED" if standing.running else "UNSET"
    standing = msgspec.structs.replace(
        standing, state=state, last_error="", told="", by_engineer=False, attempted=standing.running, attempted_hash=""
    )
    journal.keep(standing)
    return standing


def overlaid(local: Configuration, overlay: Overlay, environ: Mapping[str, str]) -> Configuration | Refusal:
    """The local file with an overlay that it allows, or why they do not go together."""
    content = read_content(overlay.text, local.file.remote.allow, overlay.name)
    if isinstance(content, Refusal):
        return content
    try:
        return load(local.path, environ, overlay)
    except ConfigurationInvalid as error:
        return refusal_of(error)


def _failed(journal: Journal, standing: Standing, refusal: Refusal) -> Standing:
    log.warning("configuration: %s", refusal.line())
    told = refusal.told(with_tags=False)
    standing = msgspec.structs.replace(standing, state="FAILED", last_error=refusal.line(), told=told)
    journal.keep(standing)
    return standing


def _complete(journal: Journal, standing: Standing) -> None:
    """Enter how an attempt ended where a crash came between its end and the entry."""
    entry = journal.revision(standing.attempted) if standing.attempted else None
    if entry is not None and entry.state == "APPLYING":
        journal.enter(msgspec.structs.replace(entry, state=standing.state, reason=standing.last_error))


class Control:
    """See the module. Use :meth:`offer`, :meth:`reload`, :meth:`roll_back` and :meth:`lock`."""

    def __init__(
        self, plant: Switchable, journal: Journal, clock: ControlClock, gateway: Gateway,
        environ: Mapping[str, str] = os.environ, boot: tuple[str, Callable[[], int]] | None = None,
    ) -> None:  # fmt: skip
        """``boot``: which start of the machine this is, and microseconds since then."""
        boot = boot or (boot_id(), boottime_us)
        self._plant = plant
        self._journal = journal
        self._clock = clock
        self._gateway = gateway
        self._environ = environ
        self._busy = asyncio.Lock()
        self._keeping = asyncio.Lock()
        self._held: bytes | None = None
        self._boot_id, self._boot_us = boot
        self._standing = standing = journal.standing()
        self._lock_moved = standing.lock is not None and standing.lock.boot_id != self._boot_id
        """The machine was started anew: what was left of the lock begins now, and that is not written down yet."""
        if self._lock_moved:
            lock = carried(standing.lock, self._boot_id, self._boot_us())
            self._standing = msgspec.structs.replace(standing, lock=lock)
        self.changed = asyncio.Event()
        """Set when :attr:`standing` has changed; whoever waits for it clears it."""

    @property
    def standing(self) -> Standing:
        """Where things stand."""
        return self._standing

    @property
    def locked(self) -> bool:
        """Whether the local engineer keeps the platform out for now."""
        return self._lock is not None

    @property
    def locked_until_us(self) -> int:
        """When that ends, as this gateway's clock is now (UTC microseconds); 0: it does not keep it out."""
        lock = self._lock
        return self._clock.now() + lock.left_us if lock else 0

    @property
    def clock_trusted(self) -> bool:
        """Whether somebody vouches for this gateway's clock."""
        return self._clock.trusted

    @property
    def _lock(self) -> Lock | None:
        return carried(self._standing.lock, self._boot_id, self._boot_us())

    # -- from the platform ---------------------------------------------------------------------------

    async def offer(self, data: bytes) -> Refusal | None:
        """Judge a bundle and, if it is to be taken, put it in force; why not, or None.

        What was judged before is not judged again; what only has to wait (for the clock, for the local
        engineer) is kept and judged by :meth:`look_again`.
        """
        async with self._busy:
            return await self._offer(data)

    async def look_again(self) -> None:
        """Judge what had to wait, if it need not any more; write down now and then what is left of the lock."""
        lock, kept = self._lock, self._standing.lock
        if self._lock_moved or (kept and (lock is None or kept.left_us - lock.left_us >= LOCK_STEP_US)):
            await self._update(lock=lock)
            self._lock_moved = False
        if self._held is not None and self._clock.trusted and not self.locked:
            await self.offer(self._held)

    async def _offer(self, data: bytes) -> Refusal | None:
        enterprise = self._plant.configuration.file.enterprise
        judged, name = await asyncio.to_thread(self._judge, data, enterprise)
        if isinstance(judged, Refusal):
            if judged.code == "not_newer" and name == self._standing.judged:
                return None
            self._held = data if judged.held else None
            return await self._note(judged, name)
        if self.locked:
            self._held = data
            return await self._note(Refusal("locked", "the local engineer is at work on this gateway"), judged.sha256)
        self._held = None
        number = judged.payload.revision
        try:
            rotated = await asyncio.to_thread(self._rotation, judged)
        except GongfuError as error:
            return await self._note(Refusal("not_trusted", str(error), error.remedy), name)
        entry = Revision(
            revision=number,
            origin="platform",
            config=judged.payload.config,
            signers=tuple(admin.shown for admin in judged.signers),
            received_us=self._clock.now(),
        )
        await asyncio.to_thread(self._journal.enter, entry)
        # From here on a crash is a failed attempt, and told as one: the platform shall not wait for its end.
        await self._update(
            newest=number, attempted=number, attempted_hash=judged.sha256, judged=judged.sha256,
            state="APPLYING", last_error="", told="", by_engineer=False, rotation=rotated,
        )  # fmt: skip
        if rotated is not None:
            self._kept_trust.unlink(missing_ok=True)
        overlay = Overlay(judged.payload.config, f"revision {number}", self._gateway.decrypt)
        return await self._attempt(entry, overlay, running=number)

    def _judge(self, data: bytes, enterprise: EnterpriseSection) -> tuple[Bundle | Refusal, str]:
        """What a bundle is, and the hash of what it says; takes some time where somebody makes it long."""
        return self._verify(data, enterprise), name_of(data)

    def _verify(self, data: bytes, enterprise: EnterpriseSection) -> Bundle | Refusal:
        try:
            trust = self.trust()
        except GongfuError as error:
            return Refusal("not_trusted", str(error), error.remedy)
        now = self._clock.now() if self._clock.trusted else None
        return verify(data, trust, self._gateway.id(), enterprise, now_us=now, newest=self._standing.newest)

    def trust(self) -> Trust:
        """The administrators whose signatures count. Raises GongfuError when their list cannot be used."""
        kept = self._standing.rotation or load_rotation(self._kept_trust)
        named = bool(self._plant.configuration.file.remote.trust_file)
        return load_trust(self._trust_file, kept, self._gateway.enrolled_admins(), named=named)

    def trust_problem(self) -> str:
        """Why nothing that the platform sends can be taken, with the remedy; empty where it can, or is not meant to."""
        file = self._plant.configuration.file
        if file.platform is None or not file.remote.allow:
            return ""
        try:
            trusted = self.trust().admins
        except GongfuError as error:
            return error.line()
        remedy = f"put the administrators' list into {self._trust_file}, or gongfu-edge enroll --accept-admins"
        return "" if trusted else f"no administrator is trusted → {remedy}"

    @property
    def _trust_file(self) -> Path:
        return self._plant.configuration.file.remote.trust_path

    @property
    def _kept_trust(self) -> Path:
        return self._journal.folder / "admins.jwks"

    def _rotation(self, bundle: Bundle) -> Rotation | None:
        new, number = bundle.payload.trust, bundle.payload.revision
        if new is None:
            return self._standing.rotation
        log.info("administrators are replaced by revision %d", number)
        return rotation(self._trust_file, new, number, self._gateway.enrolled_admins())

    def _told(self, refusal: Refusal) -> str:
        # Who configures the devices is told of their tags anyhow.
        return refusal.told(with_tags="device" in self._plant.configuration.file.remote.allow)

    async def _note(self, refusal: Refusal, name: str) -> Refusal:
        """A bundle that came to nothing before it was an attempt."""
        if self._standing.last_error != refusal.line():
            log.warning("configuration from the platform: %s", refusal.line())
        # The same word of the same bundle is no write, and who offers bad ones is asked less and less.
        told = self._told(refusal)
        line = refusal.line()
        await self._update(state="FAILED", last_error=line, told=told, attempted_hash=name, by_engineer=False)
        return refusal

    # -- from the local engineer ----------------------------------------------------------------------

    async def reload(self) -> Refusal | None:
        """Take over the local file as it is now, proven by data like any other; why not, or None."""
        async with self._busy:
            running = self._standing.running
            entry = await asyncio.to_thread(self._journal.revision, running) if running else None
            overlay = Overlay(entry.config, f"revision {running}", self._gateway.decrypt) if entry else None
            await self._update(by_engineer=True)
            return await self._attempt(None, overlay, running=running)

    async def roll_back(self, number: int) -> Refusal | None:
        """Put an earlier revision in force again (0: the local file alone); why not, or None."""
        async with self._busy:
            entry = await asyncio.to_thread(self._journal.revision, number) if number else None
            if number and entry is None:
                return Refusal("invalid", f"revision {number} is not known here", "gongfu-edge config history")
            overlay = Overlay(entry.config, f"revision {number}", self._gateway.decrypt) if entry else None
            await self._update(attempted=number, by_engineer=True)
            return await self._attempt(None, overlay, running=number)

    async def lock(self, seconds: float) -> None:
        """Keep the platform out for so long from now on; 0: let it in again."""
        await self._update(lock=locked_for(seconds, self._boot_id, self._boot_us()))

    # -- an attempt -----------------------------------------------------------------------------------

    async def _attempt(self, entry: Revision | None, overlay: Overlay | None, *, running: int) -> Refusal | None:
        try:
            return await self._try(entry, overlay, running)
        except Exception as error:  # the supervision is told; here it is an attempt that failed
            what = str(error) if isinstance(error, GongfuError) else f"{type(error).__name__}, which nobody foresaw"
            await self._end(entry, Refusal("crashed", f"the attempt ended in an error: {what}"))
            raise

    async def _try(self, entry: Revision | None, overlay: Overlay | None, running: int) -> Refusal | None:
        old = self._plant.configuration
        new = await asyncio.to_thread(self._make, old.path, overlay)
        if isinstance(new, Refusal):
            return await self._end(entry, new)
        await self._update(attempted_hash=new.hash)
        change = difference(old, new)
        if change.needs_restart:
            sections = ", ".join(f"[{section}]" for section in change.needs_restart)
            return await self._end(
                entry, Refusal("invalid", f"{sections} changed", "restart the agent to take that over")
            )
        if new.hash == old.hash:
            return await self._end(entry, None, running)  # L25: an unchanged configuration touches nothing
        latest = {each.series: each for each in self._plant.latest()}
        findings = await dry_run(old, new, latest, now=self._clock.now, shared=self._plant.shared)
        report = tuple([*change.lines(), *(finding.line() for finding in findings)][:MOST_REPORTED])
        entry = msgspec.structs.replace(entry, report=report) if entry else None
        bad = [finding for finding in findings if finding.fault]
        if bad:
            more = f"; and {len(bad) - 5} more" if bad[5:] else ""
            text = "; ".join(finding.line() for finding in bad[:5]) + more
            causes = tuple((finding.tag, finding.cause) for finding in bad)
            return await self._end(entry, Refusal("dry_run_failed", text, tags=causes))
        if change.moves:
            try:
                await self._plant.try_platform(new)
            except GongfuError as error:
                return await self._end(entry, Refusal("platform_unreachable", str(error), error.remedy))
        await self._surely(self._stand_on_probation, entry)
        refusal = await self._on_probation(old, new)
        return await self._end(entry, refusal, running)

    def _make(self, path: Path, overlay: Overlay | None) -> Configuration | Refusal:
        try:
            local = load(path, self._environ)
        except ConfigurationInvalid as error:
            return refusal_of(error)
        return overlaid(local, overlay, self._environ) if overlay else local

    async def _on_probation(self, old: Configuration, new: Configuration) -> Refusal | None:
        change, before = difference(old, new), delivering(self._plant)
        began_us, seconds = self._plant.now(), float(old.file.remote.probation)
        try:
            await self._plant.switch(new)
            refusal = await probation(self._plant, new, change, before, began_us=began_us, seconds=seconds)
            if refusal is None and change.moves and not self._plant.reached_since(began_us):
                refusal = Refusal("platform_unreachable", f"the new platform did not answer within {seconds:g} s")
        except GongfuError as error:
            refusal = Refusal("probation_failed", str(error), error.remedy)
        except BaseException:  # whatever ends the attempt: nothing unproven stays in force
            await self._back_to(old)
            raise
        if refusal is not None:
            await self._back_to(old)
        return refusal

    async def _back_to(self, old: Configuration) -> None:
        while True:
            try:
                return await self._plant.switch(old)
            except GongfuError as error:
                log.error("cannot go back to the last good configuration yet: %s", error.line())
                await asyncio.sleep(SWITCH_BACK_S)

    async def _stand_on_probation(self, entry: Revision | None) -> None:
        if entry:
            await asyncio.to_thread(self._journal.enter, entry)
        await self._update(state="APPLYING", last_error="", told="")

    async def _end(self, entry: Revision | None, refusal: Refusal | None, running: int | None = None) -> Refusal | None:
        if refusal:
            log.warning("configuration not taken: %s", refusal.line())
        else:
            log.info("configuration in force: %s", self._plant.configuration.hash[:12])
        await self._surely(self._note_end, entry, refusal, running)
        return refusal

    async def _note_end(self, entry: Revision | None, refusal: Refusal | None, running: int | None) -> None:
        state: Literal["APPLIED", "FAILED"] = "FAILED" if refusal else "APPLIED"
        reason = refusal.line() if refusal else ""
        in_force = self._standing.running if refusal or running is None else running
        told = self._told(refusal) if refusal else ""
        await self._update(state=state, last_error=reason, told=told, running=in_force)
        if not refusal:
            await asyncio.to_thread(keep, self._journal.folder, self._plant.configuration)
        if entry:
            ended = msgspec.structs.replace(entry, state=state, reason=reason, ended_us=self._clock.now())
            await asyncio.to_thread(self._journal.enter, ended)

    async def _surely(self, step: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Write down what has to be written down before it goes on, also when the disk is full for a while."""
        while True:
            try:
                return await step(*args)
            except GongfuError as error:
                log.error("the state of the configuration cannot be kept yet: %s", error.line())
                await asyncio.sleep(SWITCH_BACK_S)

    async def _update(self, **changes: Any) -> None:
        # On disk first, and by a thread: an SD card that collects its garbage must not stop the scans.
        async with self._keeping:
            standing = msgspec.structs.replace(self._standing, **changes)
            if standing != self._standing:
                await asyncio.to_thread(self._journal.keep, standing)
                self._standing = standing
                self.changed.set()


def name_of(data: bytes) -> str:
    """SHA-256 of what a bundle says; empty where it is none."""
    from agent.control.bundle import read_envelope

    try:
        return read_envelope(data).sha256
    except ValueError:
        return ""
