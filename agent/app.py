"""Composition root: builds every component from the configuration, wires them, runs them, stops them.

Data flows one way: devices → recorder → store → digests → uplink. Every component runs under
:mod:`agent.core.supervision`: whatever escapes from one ends neither the agent nor another. On SIGTERM the
components stop first, then what the devices delivered is flushed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Hashable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent import __version__
from agent.buffer.ballast import Ballast
from agent.buffer.housekeeping import Housekeeping
from agent.buffer.recorder import Recorder
from agent.buffer.store import Event, Store, StoreUnavailable
from agent.clock import STEP_US, Clock, Correction, boot_id
from agent.config.difference import difference
from agent.config.model import Configuration, Device
from agent.control.in_force import keep
from agent.control.inbox import Addressee, Inbox
from agent.control.journal import Journal
from agent.control.loop import hear_engineer
from agent.control.mailbox import Mailbox
from agent.control.prescriptions import Prescriptions, shown
from agent.control.secrets import EncryptionKey, HidesSecrets
from agent.control.service import Control, Gateway, compose
from agent.core.bounded import left_behind
from agent.core.high_water import MARK, HighWater, read_mark
from agent.core.supervision import ComponentSnapshot, Supervision
from agent.core.unvouched import SETTING as UNVOUCHED
from agent.core.unvouched import Unvouched
from agent.digest.service import DigestService
from agent.errors import GongfuError
from agent.evidence.files import FileNotWritten
from agent.evidence.identity import Identity
from agent.health.notify import Notifier
from agent.health.progress import Progress, Watchdog
from agent.instance import only_instance
from agent.snapshot import LatestValue, Snapshot
from agent.supervisor import DeviceRunner, DeviceSnapshot, Supervisor
from agent.talk import Talk

log = logging.getLogger(__name__)

STOP_DEADLINE = 1.5
FLUSH_DEADLINE = 3.0
"""Seconds that stopping the components and the last flush may take; together they must stay below five."""
FLUSH_PATIENCE = 60.0
"""Beyond the flush's own rhythm: how long one flush may take before the recorder is started anew."""
IDLE = 30.0
"""Between signs of life of a component that only waits."""
CLOCK_CHECK = 1.0
REFRESH = 2.0
FULL_RECORD_US = 900_000_000
"""At least every quarter of an hour every point is recorded in full; a digest's period begins with such a record."""


async def run(local: Configuration) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP takes over the local file. Raises GongfuError when it cannot start.

    ``local``: the local file; what the platform has proven to be good is laid over it.
    """
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    data_dir = Path(local.file.gateway.data_dir)
    with only_instance(data_dir):
        try:
            await _live(local, data_dir, stop, reload)
        except (StoreUnavailable, FileNotWritten):
            # It could not start: the disk is full, perhaps. Once more, with the room that is kept for that.
            if not Ballast(data_dir).give_up():
                raise
            await _live(local, data_dir, stop, reload)
    if left := left_behind():
        # They would keep the loop, and with it the process, from ending. Everything is on disk.
        log.warning("%d calls do not end, the process ends without them", left)
        logging.shutdown()
        os._exit(0)


async def _live(local: Configuration, data_dir: Path, stop: asyncio.Event, reload: asyncio.Event) -> None:
    journal = Journal(data_dir / "config")
    key = EncryptionKey.load_or_create(data_dir / "identity")
    for handler in logging.getLogger().handlers:
        handler.addFilter(HidesSecrets(key))
    configuration, _ = compose(local, journal, decrypt=key.decrypt)
    clock = Clock()
    async with _open_store(configuration, data_dir, clock) as store:
        agent = await Agent.build(configuration, store, data_dir, journal, key, reload, clock)
        await agent.run(stop)


@asynccontextmanager
async def _open_store(configuration: Configuration, data_dir: Path, clock: Clock) -> AsyncIterator[Store]:
    section = configuration.file.buffer
    store = await Store.open(
        data_dir / "buffer.db",
        max_bytes=int(section.max_size),
        retention_us=int(section.retention * 1e6),
        now=clock.now,
    )
    try:
        yield store
    finally:
        await store.close()


class Agent:
    """Every room of one running agent. Use :meth:`build`, then :meth:`run`."""

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        identity: Identity,
        clock: Clock,
        journal: Journal,
        key: EncryptionKey,
        reload: asyncio.Event,
    ) -> None:
        self.configuration = configuration
        self.store = store
        self.identity = identity
        self.clock = clock
        file = configuration.file
        self.recorder = Recorder(store, clock)
        self.supervision = Supervision()
        self.progress = Progress(
            *_rhythm(configuration), flush_s=float(file.buffer.flush), components=self.supervision.snapshots
        )
        self.notifier = Notifier()
        book = self._book = Prescriptions(journal.folder.parent / "prescriptions")
        self.digests = DigestService(
            store, configuration, clock, identity, flush=self.recorder.flush, prescribed=book.prescribed
        )
        self.talk = Talk(self, journal.folder)
        self.supervisor = Supervisor(self.supervision, [])
        gateway = Gateway(
            id=lambda: identity.gateway_id,
            enrolled_admins=lambda: identity.enrolment.trusted_admins if identity.enrolment else {},
            decrypt=key.decrypt,
        )
        self.control = Control(self, journal, clock, gateway)
        addressee = Addressee(
            id=gateway.id,
            trust=self.control.trust,
            zone=lambda: ZoneInfo(self.configuration.file.gateway.timezone),
            wanted=lambda: self.configuration.file.remote.prescriptions,
        )
        self.inbox = Inbox(book, clock, addressee)
        self._mailbox = Mailbox(journal.folder)
        self._reload = reload
        self._ballast = Ballast(Path(file.gateway.data_dir))
        self.snapshot = Snapshot(self)
        self.shared: MutableMapping[Hashable, Any] = {}
        """What the drivers of this agent share, such as the connection of a bus."""
        self._events: asyncio.Queue[Event] = asyncio.Queue(maxsize=10_000)
        self._corrections: list[Correction] = []
        """Of the clock, not kept yet."""
        self._was_trusted = False
        self._mark = HighWater(clock)
        self._unvouched = Unvouched(boot_id())

    @classmethod
    async def build(
        cls,
        configuration: Configuration,
        store: Store,
        data_dir: Path,
        journal: Journal,
        key: EncryptionKey,
        reload: asyncio.Event,
        clock: Clock | None = None,
    ) -> Agent:
        """Load the identity, take the next clock epoch, make the devices; nothing connects yet."""
        identity = Identity.load_or_create(data_dir / "identity")
        clock = clock or Clock()
        clock.epoch = int(await store.meta("clock_epoch") or 0) + 1
        clock.not_before_us = max(clock.not_before_us, read_mark(await store.meta(MARK)))
        await store.set_meta("clock_epoch", str(clock.epoch))
        agent = cls(configuration, store, identity, clock, journal, key, reload)
        agent._unvouched.read(await store.meta(UNVOUCHED))
        await agent._make_devices()
        await asyncio.to_thread(keep, journal.folder, configuration)
        return agent

    async def _make_devices(self) -> None:
        running, off = _by_use(self.configuration)
        self.supervisor = Supervisor(self.supervision, [await self._make_runner(device) for device in running], off)

    async def _make_runner(self, device: Device) -> DeviceRunner:
        series = await self.store.series_ids([tag.series for tag in device.tags])
        intervals = {tag.point.interval for tag in device.tags}
        groups = {each: await self.store.group_id(device.name, round(each * 1e6)) for each in intervals}
        # In a thread: the first device of a protocol imports its library, a large one compiles its plan.
        return await asyncio.to_thread(
            DeviceRunner,
            device,
            series,
            groups.__getitem__,
            self.recorder,
            self.clock,
            data_dir=Path(self.configuration.file.gateway.data_dir),
            shared=self.shared,
            full_every_us=record_in_full_us(self.configuration),
            on_scan=self.progress.mark_scan,
            report=self._report,
        )

    def components(self) -> list[ComponentSnapshot]:
        """Every component as it is now."""
        return self.supervision.snapshots()

    def devices(self) -> list[DeviceSnapshot]:
        """Every device as it is now."""
        return self.supervisor.snapshots()

    def latest(self) -> Iterator[LatestValue]:
        """The last value of every series."""
        return self.snapshot.latest()

    def now(self) -> int:
        """UTC microseconds."""
        return self.clock.now()

    async def switch(self, configuration: Configuration) -> None:
        """Take over another configuration while running; only devices that differ are stopped and started.

        The buffer, the outbox and the running digest period are not touched. Raises GongfuError,
        and nothing has changed then.
        """
        change = difference(self.configuration, configuration)
        renewed = {*change.added, *change.altered}
        running, off = _by_use(configuration)
        fresh = {device.name: await self._make_runner(device) for device in running if device.name in renewed}
        runners = [fresh.get(device.name) or self.supervisor.runners[device.name] for device in running]
        moves = change.moves or "audience" in change.sections
        ways = await self.talk.prepared(configuration) if moves else None
        await self.digests.configure(configuration)
        self.configuration = configuration
        self.progress.expect_scans(*_rhythm(configuration))
        await self.supervisor.exchange(runners, off)
        if ways is not None:
            await self.talk.change(ways)
        for runner in runners:
            runner.record_in_full(record_in_full_us(configuration))
        self._report("configuration", "", {"configuration": configuration.hash, "changes": change.lines()[:20]})

    def _report(self, kind: str, device: str, detail: dict[str, Any]) -> None:
        # A full queue means that the disk has been failing for long; the coverage shows the gap anyway.
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(Event(self.clock.now(), kind, device, detail, self.clock.epoch))

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; then stop the devices, flush, and say goodbye."""
        log.info("gongfu-edge %s: %s, %s", __version__, self.identity.gateway_id, self.configuration.path)
        self._report("start", "", {"version": __version__, "configuration": self.configuration.hash})
        try:
            self._start()
            self.notifier.ready()
            await stop.wait()
        finally:
            self.notifier.stopping()
            await self.supervision.stop_all(STOP_DEADLINE)
            await self._last_flush()
        log.info("stopped; everything is flushed")

    def _start(self) -> None:
        flush = float(self.configuration.file.buffer.flush)
        start = self.supervision.start
        start("recorder", self._flush_for_ever, patience_s=FLUSH_PATIENCE + flush, cap_s=flush, essential=True)
        start("events", self._write_events)
        start("clock", self._watch_clock)
        start("housekeeping", Housekeeping(self.store, self.clock, self._ballast).run)
        start("status", self._refresh_status)
        start("digests", self._build_digests, essential=True)
        start("engineer", lambda: hear_engineer(self.control, self._mailbox, self._reload))
        start("watchdog", Watchdog(self.notifier, self.progress).run, cap_s=5.0)
        if self.configuration.file.console.listen:
            start("console", self._serve_console)
        self.talk.start()
        self.supervisor.start()

    async def _flush_for_ever(self) -> None:
        flush = float(self.configuration.file.buffer.flush)
        due = self.clock.monotonic()
        while True:
            due = max(due + flush, self.clock.monotonic())
            await asyncio.sleep(due - self.clock.monotonic())
            await self.recorder.flush()
            self.progress.mark_commit()

    async def _write_events(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE):
                    event = await self._events.get()
                await self._write_event(event)

    async def _write_event(self, event: Event) -> None:
        try:
            await self.store.add_event(event)
        except GongfuError as error:
            log.debug("event %s not kept: %s", event.kind, error)

    async def _watch_clock(self) -> None:
        while True:
            self.clock.check()
            self._corrections += self.clock.corrections()
            try:
                while self._corrections:
                    await self._note_correction(self._corrections[0])
                    self._corrections.pop(0)
                await self._mind_unvouched()
                if (mark := self._mark.moved()) is not None:
                    await self.store.set_meta(MARK, str(mark))
            except GongfuError as error:  # the disk fails: again when it works
                log.debug("correction of the clock not kept yet: %s", error)
            if self.clock.trusted and not self._was_trusted:
                self._report("clock_trusted", "", {"source": self.clock.source})
            self._was_trusted = self.clock.trusted
            await asyncio.sleep(CLOCK_CHECK)

    async def _note_correction(self, correction: Correction) -> None:
        await self.store.set_meta("clock_epoch", str(self.clock.epoch))
        if correction.restamp:
            await self.recorder.flush()
            await self.digests.restamp(correction.epoch, correction.shift_us)
        self.digests.epoch_begins()
        self._report("clock_step", "", {"shift_s": round(correction.shift_us / 1e6, 3), "source": correction.source})

    async def _mind_unvouched(self) -> None:
        clock, unvouched = self.clock, self._unvouched
        if not clock.trusted:
            if unvouched.note(clock.epoch, clock.base_us):
                await self.store.set_meta(UNVOUCHED, unvouched.text())
            return
        for epoch, shift_us in unvouched.shifts(clock.base_us):
            left_us = shift_us - self.store.restamped(epoch)
            if abs(left_us) > STEP_US:
                await self.recorder.flush()
                await self.digests.restamp(epoch, left_us)
        if unvouched.unknown:
            log.warning("what was recorded before this machine was started anew keeps the stamps of a clock that "
                        "nobody vouched for")  # fmt: skip
        if unvouched.settle():
            await self.store.set_meta(UNVOUCHED, unvouched.text())

    async def _refresh_status(self) -> None:
        while True:
            try:
                await self.snapshot.refresh()
            except GongfuError as error:
                log.debug("status: %s", error)
            await asyncio.sleep(REFRESH)

    async def _build_digests(self) -> None:
        await self.talk.reconciled()
        await self.digests.run()

    async def try_platform(self, configuration: Configuration) -> None:
        """As :meth:`Talk.try_platform`."""
        await self.talk.try_platform(configuration)

    def reached_since(self, time_us: int) -> bool:
        """As :meth:`Talk.reached_since`."""
        return self.talk.reached_since(time_us)

    def _shown_prescriptions(self) -> list[dict[str, Any]]:
        return shown(self._book, self.clock.now(), ZoneInfo(self.configuration.file.gateway.timezone))

    async def _serve_console(self) -> None:
        from agent.console.server import Console

        console = Console(
            self.configuration.file.console.listen, self.snapshot, prescriptions=self._shown_prescriptions
        )
        try:
            await console.start()
            log.info("console: http://%s/", self.configuration.file.console.listen)
            while console.serves:  # noqa: ASYNC110 - a sign of life, not a wait
                await asyncio.sleep(IDLE)
        finally:
            await console.stop()

    async def _last_flush(self) -> None:
        self._report("stop", "", {})
        try:
            async with asyncio.timeout(FLUSH_DEADLINE):
                await self.recorder.flush()
                while not self._events.empty():
                    await self._write_event(self._events.get_nowait())
        except TimeoutError:
            log.error("the last flush took longer than %.0f s; the disk is too slow or full", FLUSH_DEADLINE)
        except Exception:
            log.exception("the last flush failed; what was read since the one before is lost")


def _by_use(configuration: Configuration) -> tuple[list[Device], list[str]]:
    """The devices to run, and the names of those that are switched off."""
    running = [device for device in configuration.devices if device.enabled]
    return running, [device.name for device in configuration.devices if not device.enabled]


def _rhythm(configuration: Configuration) -> tuple[bool, float]:
    """Whether there are devices to scan, and the shortest interval of all points in seconds."""
    running, _ = _by_use(configuration)
    return bool(running), min((tag.point.interval for each in running for tag in each.tags), default=1.0)


def record_in_full_us(configuration: Configuration) -> int:
    """How often every point is recorded in full; periods of digests are whole multiples of it."""
    period = round(configuration.file.digest.period * 1e6)
    return period // -(-period // FULL_RECORD_US)
