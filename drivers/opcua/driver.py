"""An OPC UA server as the framework drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.contract import Context, DriverError, FailureKind, Point, PointGroup, Samples
from drivers.opcua import services
from drivers.opcua.client import Connection, Fault, status_name
from drivers.opcua.learned import Learned
from drivers.opcua.options import Options
from drivers.opcua.poll import Polling
from drivers.opcua.services import ServerFacts
from drivers.opcua.watching import Silent, Watching
from drivers.quality import Quality

CLOCK_S = 60.0
"""Between two looks at the server's clock."""
_REFUSALS = frozenset({0x800B0000, 0x80400000, 0x803D0000, 0x801F0000, 0x80770000})
"""BadServiceUnsupported, BadNotImplemented, BadNotSupported, BadUserAccessDenied, BadTooManySubscriptions."""
_FULL = 0x80770000
_NEVER = frozenset({0x800B0000, 0x80400000, 0x803D0000})
"""BadServiceUnsupported, BadNotImplemented, BadNotSupported: no server learns it but by an update."""


class OpcUaDriver:
    """One session with one server. What it can take is learned once; all else at each opening."""

    def __init__(self, options: Options, points: Sequence[Point], context: Context) -> None:
        self._options, self._points, self._context = options, points, context
        self._connection: Connection | None = None
        self._reading: Polling | Watching | None = None
        self._facts: ServerFacts | None = None
        self._learned: Learned | None = None
        self._kept: dict[str, Any] = {}
        self._opened = 0
        self._fallback: DriverError | None = None
        """Why it is polled where it was to be subscribed."""
        self._clock_at = 0.0
        self._clock_offset_s: float | None = None

    async def open(self) -> None:
        """Connect with a new client, and subscribe; raises DriverError."""
        await self.close()
        learned = self._recall()
        connection = self._connection = Connection(self._options, self._context)
        try:
            await connection.open()
            services.keep_alive(connection)
            self._facts = await services.ask_facts(connection)
            self._reading = await self._begin(connection, self._facts, learned)
            await self._look_at_clock(connection)
        except BaseException:
            await self.close()
            raise
        self._opened += 1

    def _recall(self) -> Learned:
        if self._learned is None:
            self._kept = dict(self._context.learned.recall(self._options.endpoint))
            self._learned = Learned.recall(self._kept)
        return self._learned

    def _keep(self, *, closing: bool = False) -> None:
        """Keep what was learned, or forget it as an operator wants."""
        if self._context.learned.forgotten():
            self._learned, self._kept = None, {}
        elif self._learned is not None and (found := self._learned.record()) != self._kept:
            self._kept = found
            self._context.learned.keep(self._options.endpoint, found, closing=closing)

    async def _begin(self, connection: Connection, facts: ServerFacts, learned: Learned) -> Polling | Watching:
        options, now = self._options, self._context.now
        self._fallback = None
        if options.mode == "auto" and learned.no_subscriptions:
            self._poll_instead(learned.no_subscriptions, Quality.REFUSED)
        elif options.mode != "poll":
            watching = Watching(
                connection,
                facts,
                self._points,
                options.publishing_interval_s,
                now,
                learned,
                polls_the_rest=options.mode == "auto",
            )
            try:
                await watching.open()
            except Fault as fault:
                if fault.code not in _REFUSALS:
                    raise
                self._refused(connection, fault, learned)
            except Silent as silent:
                if options.mode != "auto":
                    raise
                self._poll_instead(str(silent), silent.quality)
            else:
                return watching
        return Polling(connection, facts, self._points, now, learned)

    def _poll_instead(self, why: str, quality: Quality) -> None:
        self._fallback = DriverError(f"{why}; polling instead", kind=FailureKind.PARTIAL, quality=quality)

    def _refused(self, connection: Connection, fault: Fault, learned: Learned) -> None:
        """The server lets nobody subscribe: ``auto`` polls, ``subscribe`` needs a person."""
        why = f"{connection.where}: subscriptions are refused: {status_name(fault.code)}"
        if self._options.mode == "auto":
            if fault.code in _NEVER:
                learned.no_subscriptions = why
            self._poll_instead(why, Quality.REFUSED)
            return
        kind = FailureKind.TRANSIENT if fault.code == _FULL else FailureKind.PERMANENT
        remedy = 'write mode = "auto" or "poll"'
        raise DriverError(why, kind=kind, quality=Quality.REFUSED, remedy=remedy) from fault

    async def close(self) -> None:
        """End the session; may be called twice."""
        self._reading = None
        self._keep(closing=True)
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def read(self, group: PointGroup) -> Samples:
        """What the points of a group are now; raises DriverError."""
        if self._connection is None or self._reading is None:
            raise DriverError(f"{self._options.endpoint}: not connected")
        if self._connection.lost and self._reading.mode == "poll":
            # The server was begun anew while nobody read: that is no reason for a bad sample.
            await self.open()
        try:
            samples = await self._reading.read(group)
            if asyncio.get_running_loop().time() >= self._clock_at:
                await self._look_at_clock(self._connection)
        except DriverError:
            self._connection.broken = True  # whatever it was, nobody waits for this server's good-bye
            raise
        self._keep()
        if self._fallback is not None:
            samples.faults = (self._fallback, *samples.faults)
        return samples

    async def _look_at_clock(self, connection: Connection) -> None:
        """Measure how far the server's clock is from the gateway's."""
        self._clock_at = asyncio.get_running_loop().time() + CLOCK_S
        before = self._context.now()
        server = await services.server_time(connection)
        if server:
            self._clock_offset_s = round((server - (before + self._context.now()) / 2) / 1e6, 3)

    def observations(self) -> Mapping[str, Any]:
        """How the server is read, and what was learned of it."""
        found: dict[str, Any] = {"url": self._options.endpoint, "mode": self._options.mode}
        found["reconnects"] = max(0, self._opened - 1)
        if self._facts is not None:
            found |= {"server": self._facts.product, "version": self._facts.version}
        if self._connection is not None:
            found["security"] = self._connection.security
        if self._clock_offset_s is not None:
            found["server_clock_offset_s"] = self._clock_offset_s
        if self._reading is not None:
            found |= {"mode": self._reading.mode, **self._reading.observations()}
        if self._fallback is not None:
            found["why_polled"] = str(self._fallback)
        return found
