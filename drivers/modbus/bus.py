"""One connection, shared by the devices behind it.

One request is in flight at a time, and devices take turns request by request in the order they ask,
so that a dead unit costs the others its timeout and nothing more. What comes too late must never
answer the next question: after anything but a clean answer a network connection is made anew, and a
serial line is listened to until it is silent. Where answers carry no number that is known to be the
request's, a unit is not asked again before its late answer would have come.

Two failures are not believed at once: that of a connection which worked until it was used again (it was
idle too long), and silence on one on which nothing was heard yet (there are devices that swallow what they
are asked just after they were connected to).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from drivers.contract import DriverError, FailureKind
from drivers.modbus.client import Connection
from drivers.modbus.matching import STRANGE_ID
from drivers.modbus.options import Link
from drivers.modbus.refused import NoConnection, Refused
from drivers.quality import Quality

FRESH_S = 2.0
"""How long after it was connected to a device may swallow what it is asked, without an option saying so."""
_AT_ONCE_S = 0.5
_STRANGERS = 3
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
    connect_delay_s: float = 0.0
    transaction_id: str = ""
    """``strict``, ``ignore``, or empty: found out."""


@dataclass(slots=True)
class _Tried:
    """What came of asking so far, and whether to ask ``again``, after ``wait_s``."""

    again: bool = False
    wait_s: float = 0.0
    _broke: bool = False
    _silences: int = 0

    def doubt(self, quality: Quality, fresh_s: float | None) -> None:
        """Judge a failure. ``fresh_s``: how old the connection is on which nothing was ever heard; None: it worked."""
        self.again, self.wait_s = False, 0.0
        if quality is Quality.CONNECTION and fresh_s is None and not self._broke:
            self.again = self._broke = True
        elif quality is Quality.TIMEOUT and fresh_s is not None:
            self._silences += 1
            self.again = self._silences == 1 or (self._silences == 2 and fresh_s < FRESH_S)
            if self._silences == 2:
                self.wait_s = max(0.0, FRESH_S - fresh_s)


class Bus:
    """A connection that stands while somebody uses it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.users = 0
        self.connects = 0
        """Connections made so far."""
        self.echoes_ids: bool | None = None
        """Whether the other side is known to send transaction ids back."""
        self.echoes_line: bool | None = None
        """Whether our requests are known to come back to us before the answers."""
        self._awake = False
        """Whether a request was ever answered that came just after connecting."""
        self._connect_delay_s = 0.0
        self._made_s = 0.0
        self._attempts = self._strange = 0
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._clean = True
        self._failures = 0
        self._failure: NoConnection | None = None
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
        tried = _Tried()
        while True:
            try:
                return await self._ask(request, terms, size, tried)
            except DriverError:
                if not tried.again:
                    raise
                await asyncio.sleep(tried.wait_s)

    async def _ask(self, request: Any, terms: Terms, size: int, tried: _Tried) -> bytes:
        late = await self._outlive_late_answers(terms, repeated=tried.again)
        policy = terms.transaction_id or ("strict" if (self.link.key, terms.unit) in _late_until else "")
        tried.again = False
        async with self._my_turn():
            connection = await self._ready(terms, listen=late)
            await self._pause(terms)
            self._clean, worked = False, connection.matcher.answers > 0
            try:
                pdu = await connection.exchange(request, terms.timeout_s, size, policy)
                self._clean = True
                self._awake |= self._age_s() < _AT_ONCE_S
                return pdu
            except DriverError as error:
                believed = self.link.serial or (self._awake and error.quality is Quality.TIMEOUT)
                if not believed:
                    tried.doubt(error.quality, None if worked else self._age_s())
                raise
            finally:
                self._note(connection, terms, keep=tried.again and not worked)

    def _age_s(self) -> float:
        return asyncio.get_running_loop().time() - self._made_s

    def close(self) -> None:
        """Close the connection at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _note(self, connection: Connection, terms: Terms, *, keep: bool) -> None:
        now, matcher = asyncio.get_running_loop().time(), connection.matcher
        self._quiet_since_s, self._last_unit = now, terms.unit
        self.echoes_line = matcher.echoes_line
        if matcher.answers:
            self.echoes_ids, self._strange = matcher.echoes_ids, 0
        if self._clean:
            return
        if not matcher.answers and matcher.stray == STRANGE_ID:
            # Whoever was there before sent ids back. If it is another now, three fresh connections tell.
            self._strange += 1
            self.echoes_ids = None if self._strange >= _STRANGERS else self.echoes_ids
        if not (self.link.serial or keep):
            self.close()
        _late_until[self.link.key, terms.unit] = now + terms.timeout_s

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        failures = self._failures
        async with self._turn:
            if self._failures != failures and self._failure is not None:
                # It failed while we stood in line: if every device behind a dead gateway waited for an
                # attempt of its own, the last would wait as many timeouts as there are devices.
                raise NoConnection(str(self._failure), self._failure.remedy, held=self._failure.held)
            yield

    async def _outlive_late_answers(self, terms: Terms, *, repeated: bool) -> bool:
        # Without transaction ids a late answer looks like the answer to the unit's next request. Only
        # that unit waits; in the name of another it is recognised by its unit id. True: one was awaited,
        # and on a machine that stood still meanwhile it may lie unread.
        wire = (self.link.key, terms.unit)
        until = _late_until.get(wire)
        if until is None:
            return False
        wait_s = max(0.0, until - asyncio.get_running_loop().time())
        if self._tells_late_ones(terms, repeated=repeated):
            if not wait_s:
                del _late_until[wire]
            return False
        await asyncio.sleep(wait_s)
        if _late_until.get(wire) == until:
            del _late_until[wire]
        return True

    def _tells_late_ones(self, terms: Terms, *, repeated: bool) -> bool:
        """Whether a late answer is known for one by its transaction id.

        Where nobody knows yet whether ids are sent back, they are insisted on meanwhile; but where the device was
        silent so far, or answered with others, it may be one that does not send them back.
        """
        if not self.link.numbered or terms.transaction_id:
            return self.link.numbered and terms.transaction_id == "strict"
        return self.echoes_ids is True or (self.echoes_ids is None and not (repeated or self._strange))

    async def _ready(self, terms: Terms, *, listen: bool = False) -> Connection:
        if self._connection is not None and not self._connection.connected:
            self.close()
        if self._connection is None:
            self._connection = await self._connected(terms)
            if listen:  # a gateway may hand to the new connection what it had for the old one
                await self._drain(self._connection)
        elif listen or not self._clean:
            await self._drain(self._connection)
        self._clean = True
        return self._connection

    async def _connected(self, terms: Terms) -> Connection:
        connection: Connection | None = None
        try:
            connection = Connection(self.link, echoes_ids=self.echoes_ids or None, turn=self._attempts)
            self._attempts += 1
            await connection.connect(terms.timeout_s)
            self._made_s = asyncio.get_running_loop().time()
            self._connect_delay_s = max(self._connect_delay_s, terms.connect_delay_s)
            await asyncio.sleep(self._connect_delay_s)
        except Refused as refused:
            self._failures += 1
            self._failure = NoConnection(str(refused), refused.remedy, held=refused.held)
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
            heard = connection.matcher.pieces
            await asyncio.sleep(max(self.link.silence_s, _DRAIN_S))
            if connection.matcher.pieces == heard:
                return

    async def _pause(self, terms: Terms) -> None:
        pause = max(self.link.silence_s, terms.request_gap_s)
        if self._last_unit not in (None, terms.unit):
            pause = max(pause, terms.unit_gap_s)
        if pause:
            left = self._quiet_since_s + pause - asyncio.get_running_loop().time()
            if left > 0:
                await asyncio.sleep(left)


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
