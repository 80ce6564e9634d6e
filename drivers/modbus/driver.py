"""A Modbus device as the framework drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.contract import Context, DriverError, Point, PointGroup, Samples
from drivers.durations import seconds
from drivers.modbus.address import HOLDING, TABLE_NAMES
from drivers.modbus.bus import Bus, Terms, join, leave
from drivers.modbus.client import identify_request, read_request
from drivers.modbus.identify import Identification
from drivers.modbus.options import Options
from drivers.modbus.plan import Cost, Learned
from drivers.modbus.reading import Memory, Reading, of_the_whole
from drivers.modbus.record import from_record, to_record
from drivers.modbus.remedies import NOBODY_BEHIND_GATEWAY, as_error, exception_name
from drivers.modbus.scan import Scan, ranges
from drivers.quality import Quality

_SENT_BACK = {None: "", True: "sent back", False: "not sent back"}


class ModbusDriver:
    """One unit behind one connection, which other devices may share.

    What the unit has taught outlives this object as far as the framework keeps it; see :meth:`observations`.
    """

    def __init__(self, options: Options, points: Sequence[Point], context: Context) -> None:
        self._options, self._context = options, context
        self._link = options.link()
        self._terms = Terms(
            options.unit,
            options.timeout_s,
            seconds(options.request_gap),
            seconds(options.unit_gap),
            seconds(options.connect_delay),
            options.transaction_id,
        )
        self._cost = Cost.of(self._link, options)
        self._of = options.about()
        self._bus: Bus | None = None
        self._memory: Memory | None = None
        self._known: tuple[int, bool | None, bool | None] = (0, None, None)
        """Lessons and habits when the record was kept last."""
        self._scans: dict[PointGroup, tuple[int, Scan]] = {}
        """By group: the lessons that were known when it was planned, and the plan."""
        self._turns: dict[PointGroup, int] = {}
        """By group: scans since the device was opened."""

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
        self._remembered().answered = False
        self._turns.clear()  # a device that comes back may have another program

    async def close(self) -> None:
        """Leave the connection; the last to leave closes it."""
        if self._bus is not None:
            bus, self._bus = self._bus, None
            leave(bus, self._context.shared)
            self._keep(bus, closing=True)

    async def read(self, group: PointGroup) -> Samples:
        """Read every point of a group once; raises DriverError when there was no answer at all."""
        bus = self._connected()
        if not group.points:
            return await self._ask(bus)
        memory = self._remembered()
        lessons, scan = self._scans.get(group, (-1, None))
        if scan is None or lessons != memory.lessons:
            scan = Scan(group, self._terms.unit, self._cost, memory.learned, self._options.register_bits)
            self._scans[group] = (memory.lessons, scan)
        turn = self._turns.get(group, 0)
        self._turns[group] = turn + 1
        reading = Reading(scan, bus, self._terms, memory, self._context.now, turn)
        try:
            await reading.run()
        finally:
            known = (memory.lessons, bus.echoes_ids, bus.echoes_line)
            if known != self._known:
                self._known = known
                self._keep(bus)
        return reading.samples()

    def _remembered(self) -> Memory:
        """What is known about the device; read when it is first needed, and again when an operator has reset it."""
        if self._memory is None or self._context.learned.forgotten():
            self._memory = Memory(from_record(self._context.learned.recall(self._of)))
            self._scans.clear()
        return self._memory

    def _keep(self, bus: Bus, *, closing: bool = False) -> None:
        if self._memory is not None:
            record = to_record(self._memory.learned)
            if bus.echoes_ids is False:
                record["transaction_id"] = "not sent back"
            if bus.echoes_line and not self._link.numbered:
                record["local_echo"] = True
            self._context.learned.keep(self._of, record, closing=closing)

    async def _ask(self, bus: Bus) -> Samples:
        """Whether the unit is there: any answer of its own will do, a refusal too."""
        try:
            pdu = await bus.exchange(read_request(self._terms.unit, HOLDING, 0, 1), self._terms)
            if pdu[0] >= 0x80 and pdu[1] in NOBODY_BEHIND_GATEWAY:
                raise as_error(pdu[1])
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
        learned = self._memory.learned if self._memory else Learned()
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
            "transaction_id": _SENT_BACK[self._bus.echoes_ids if self._bus else None],
            "local_echo": bool(self._bus and self._bus.echoes_line),
        }

    def _connected(self) -> Bus:
        if self._bus is None:
            raise DriverError(f"unit {self._terms.unit} at {self._link}: not connected")
        return self._bus
