"""A Modbus device as the framework drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.contract import Context, DriverError, Point, PointGroup, Samples
from drivers.durations import seconds
from drivers.modbus.address import HOLDING, TABLE_NAMES
from drivers.modbus.bus import Bus, Terms, join, leave
from drivers.modbus.client import identify_request, read_request
from drivers.modbus.decode import size_of
from drivers.modbus.identify import Identification
from drivers.modbus.options import Options
from drivers.modbus.plan import Cost
from drivers.modbus.reading import NOBODY_BEHIND_GATEWAY, Memory, Reading, exception_name, of_the_whole
from drivers.modbus.scan import Scan, by_address, ranges
from drivers.quality import Quality

PROBE_S = 600.0
"""Between two attempts to read what the device did not have."""


class ModbusDriver:
    """One unit behind one connection, which other devices may share.

    What the unit refused is remembered for as long as this object lives; see :meth:`observations`.
    """

    def __init__(self, options: Options, points: Sequence[Point], context: Context) -> None:
        self._options, self._context = options, context
        self._link = options.link()
        gaps = seconds(options.request_gap), seconds(options.unit_gap)
        self._terms = Terms(options.unit, options.timeout_s, *gaps)
        self._cost = Cost.of(self._link, options)
        self._bus: Bus | None = None
        self._memory = Memory()
        self._scans: dict[PointGroup, tuple[int, Scan]] = {}
        """By group: the lessons that were known when it was planned, and the plan."""
        self._lessons = 0
        self._probe_due_s = 0.0
        self._probed = 0

    async def open(self) -> None:
        """Connect, or join those who are connected; raises DriverError."""
        await self.close()
        bus = join(self._link, self._context.shared, own=not self._options.share)
        try:
            await bus.connect(self._terms)
        except BaseException:
            leave(bus, self._context.shared)
            raise
        self._bus = bus
        self._memory.answered = False
        self._probe_due_s = 0.0  # a device that comes back may have another program

    async def close(self) -> None:
        """Leave the connection; the last to leave closes it."""
        if self._bus is not None:
            bus, self._bus = self._bus, None
            leave(bus, self._context.shared)

    async def read(self, group: PointGroup) -> Samples:
        """Read every point of a group once; raises DriverError when there was no answer at all."""
        bus = self._connected()
        if not group.points:
            return await self._ask(bus)
        lessons, scan = self._scans.get(group, (-1, None))
        if scan is None or lessons != self._memory.lessons:
            scan = Scan(group, self._terms.unit, self._cost, self._memory.learned)
            self._scans[group] = (self._memory.lessons, scan)
        reading = Reading(scan, bus, self._terms, self._memory, self._context.now)
        await reading.run()
        if self._memory.learned.missing:
            await self._look_again(bus, must_ask=not scan.asks)
        return reading.samples()

    async def _ask(self, bus: Bus) -> Samples:
        """Whether the unit is there: any answer of its own will do, a refusal too."""
        try:
            pdu = await bus.exchange(read_request(self._terms.unit, HOLDING, 0, 1), self._terms)
            if pdu[0] >= 0x80 and pdu[1] in NOBODY_BEHIND_GATEWAY:
                raise DriverError(exception_name(pdu[1]), quality=Quality.DEVICE)
        except DriverError as error:
            raise of_the_whole(error, self._terms.unit, bus) from error
        return Samples.of((), self._context.now())

    async def identify(self) -> dict[str, str]:
        """What the device says of itself (function 43/14); raises DriverError."""
        bus, found = self._connected(), Identification()
        while found.next_object is not None:
            pdu = await bus.exchange(identify_request(self._terms.unit, 1, found.next_object), self._terms)
            if pdu[0] >= 0x80:
                raise DriverError(f"no identification: {exception_name(pdu[1])}", quality=Quality.REFUSED)
            try:
                found.add(pdu)
            except ValueError as error:
                raise DriverError(str(error), quality=Quality.MALFORMED) from error
        return found.objects

    def observations(self) -> Mapping[str, Any]:
        """How the device is read, and what its refusals have taught."""
        learned = self._memory.learned
        return {
            "link": str(self._link),
            "unit": self._terms.unit,
            "requests": sum(len(scan.asks) for _, scan in self._scans.values()),
            "connects": self._bus.connects if self._bus else 0,
            "holes": ranges(learned.missing),
            "gaps_not_read": ranges(learned.gaps),
            "not_read_across": [
                f"{TABLE_NAMES[table]}:{at}" for table in learned.borders for at in learned.borders[table]
            ],
            "largest_request": {TABLE_NAMES[table]: count for table, count in learned.limits.items()},
        }

    def _connected(self) -> Bus:
        if self._bus is None:
            raise DriverError(f"unit {self._terms.unit} at {self._link}: not connected")
        return self._bus

    async def _look_again(self, bus: Bus, *, must_ask: bool) -> None:
        """Now and then, ask for something that the device did not have; its program may have grown."""
        now = asyncio.get_running_loop().time()
        if self._memory.lessons != self._lessons:
            self._lessons = self._memory.lessons
            self._probe_due_s = now + PROBE_S  # it was only just asked
        elif must_ask or now >= self._probe_due_s:
            self._probe_due_s = now + PROBE_S
            await self._probe(bus, must_ask)

    async def _probe(self, bus: Bus, must_ask: bool) -> None:
        learned = self._memory.learned
        missing = sorted(learned.missing, key=by_address)
        span = missing[self._probed % len(missing)]
        self._probed += 1
        request = read_request(self._terms.unit, span.function, span.start, span.count)
        try:
            pdu = await bus.exchange(request, self._terms, size_of(span))
        except DriverError as error:
            if must_ask:  # nothing else was asked: this is all that tells whether the device is there
                raise of_the_whole(error, self._terms.unit, bus) from error
            return
        if pdu[0] < 0x80:
            learned.missing.discard(span)
            learned.gaps.clear()
            self._lessons = self._memory.lessons = self._memory.lessons + 1
            self._probe_due_s = 0.0  # look for the rest of it, scan by scan
