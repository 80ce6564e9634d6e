"""One connection, shared by the devices behind it.

One request is in flight at a time, and devices take turns request by request in the order they ask,
so that a dead unit costs the others its timeout and nothing more. What comes too late must never
answer the next question: after anything but a clean answer a network connection is made anew, and a
serial line is listened to until it is silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from drivers.contract import DriverError, FailureKind
from drivers.modbus.client import Connection
from drivers.modbus.options import Link
from drivers.modbus.refused import Refused, as_driver_error
from drivers.quality import Quality

_DRAIN_ROUNDS = 20
_DRAIN_S = 0.02
"""Silence that makes a line drained: more than a USB converter holds bytes back (16 ms)."""


_late_until: dict[tuple[Hashable, int], float] = {}
"""By link and unit: until when (loop time) an answer may still come that belongs to no request. Kept
here because a wire outlives every connection to it. Entries go with the unit's next request."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a device wants to be asked."""

    unit: int
    timeout_s: float
    request_gap_s: float = 0.0
    unit_gap_s: float = 0.0


class Bus:
    """A connection that stands while somebody uses it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.users = 0
        self.connects = 0
        """Connections made so far."""
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._clean = True
        self._failures = 0
        self._failure: DriverError | None = None
        self._quiet_since_s = 0.0
        self._last_unit: int | None = None

    async def connect(self, terms: Terms) -> None:
        """Make sure of a connection; raises DriverError."""
        async with self._my_turn():
            await self._ready(terms)

    async def exchange(self, request: Any, terms: Terms, size: int = 0) -> bytes:
        """Ask and return the answer's PDU; raises DriverError with what went wrong.

        ``size``: bytes of data that the answer must have, if it is not a refusal; 0: any.
        """
        late = await self._outlive_late_answers(terms.unit)
        async with self._my_turn():
            connection = await self._ready(terms, listen=late)
            await self._pause(terms)
            self._clean = False
            try:
                pdu = await connection.exchange(request, terms.timeout_s, size)
                self._clean = True
                return pdu
            finally:
                self._note(terms)

    def close(self) -> None:
        """Close the connection at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _note(self, terms: Terms) -> None:
        now = asyncio.get_running_loop().time()
        self._quiet_since_s, self._last_unit = now, terms.unit
        if self._clean:
            return
        if not self.link.serial:
            self.close()
        if not self.link.numbered:
            _late_until[self.link.key, terms.unit] = now + terms.timeout_s

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        failures = self._failures
        async with self._turn:
            if self._failures != failures and self._failure is not None:
                # It failed while we stood in line: if every device behind a dead gateway waited for an
                # attempt of its own, the last would wait as many timeouts as there are devices.
                raise _again(self._failure)
            yield

    async def _outlive_late_answers(self, unit: int) -> bool:
        # Without transaction ids a late answer looks like the answer to the unit's next request. Only
        # that unit waits; in the name of another it is recognised by its unit id. True: one was awaited,
        # and on a machine that stood still meanwhile it may lie unread.
        wire = (self.link.key, unit)
        until = _late_until.get(wire)
        if until is None:
            return False
        await asyncio.sleep(max(0.0, until - asyncio.get_running_loop().time()))
        if _late_until.get(wire) == until:
            del _late_until[wire]
        return True

    async def _ready(self, terms: Terms, *, listen: bool = False) -> Connection:
        if self._connection is not None and not self._connection.connected:
            self.close()
        if self._connection is None:
            self._connection = await self._connected(terms)
        elif listen or not self._clean:
            await self._drain(self._connection)
        self._clean = True
        return self._connection

    async def _connected(self, terms: Terms) -> Connection:
        connection: Connection | None = None
        try:
            connection = Connection(self.link)
            await connection.connect(terms.timeout_s)
        except Refused as refused:
            self._failures += 1
            self._failure = as_driver_error(refused)
            raise self._failure from refused
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        self.connects += 1
        self._quiet_since_s = asyncio.get_running_loop().time()
        return connection

    async def _drain(self, connection: Connection) -> None:
        """Wait for silence; what arrives meanwhile is thrown away with the request it belonged to."""
        for _ in range(_DRAIN_ROUNDS):
            heard = connection.heard
            await asyncio.sleep(max(self.link.silence_s, _DRAIN_S))
            if connection.heard == heard:
                return

    async def _pause(self, terms: Terms) -> None:
        pause = max(self.link.silence_s, terms.request_gap_s)
        if self._last_unit not in (None, terms.unit):
            pause = max(pause, terms.unit_gap_s)
        if pause:
            left = self._quiet_since_s + pause - asyncio.get_running_loop().time()
            if left > 0:
                await asyncio.sleep(left)


def _again(error: DriverError) -> DriverError:
    return DriverError(str(error), kind=error.kind, quality=error.quality, remedy=error.remedy)


def join(link: Link, shared: MutableMapping[Hashable, Any], *, own: bool) -> Bus:
    """A bus for a link: the one that others use, or a new one; every join needs a :func:`leave`.

    Raises DriverError when another device uses the same with other settings.
    """
    if own and not link.serial:
        bus = Bus(link)
    else:
        bus = shared.get(link.key) or Bus(link)
        if bus.link != link:
            raise DriverError(
                f"{link}: another device uses it with other settings",
                kind=FailureKind.PERMANENT,
                quality=Quality.CONNECTION,
                remedy="write the same transport, baudrate, parity, stopbits, bytesize or TLS files for all of them",
            )
        shared[link.key] = bus
    bus.users += 1
    return bus


def leave(bus: Bus, shared: MutableMapping[Hashable, Any]) -> None:
    """The last one closes the connection."""
    bus.users -= 1
    if bus.users == 0:
        bus.close()
        if shared.get(bus.link.key) is bus:
            del shared[bus.link.key]
