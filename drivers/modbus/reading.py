"""One scan of a group: asking, and finding out what a refusal means.

Each request stands for itself (one that fails costs its own points), with two exceptions: when
nothing answers, the scan ends early; when a function is refused, it is not asked again in this scan.
A request that is refused for its addresses is cut in two until it is known which of them the device
does not have, or which it does not read together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.contract import DriverError, FailureKind, Samples
from drivers.modbus.bus import Bus, Terms
from drivers.modbus.decode import Block
from drivers.modbus.plan import Learned, Request, Span
from drivers.modbus.scan import NOTHING_THERE, REMEDIES, Ask, Faults, Scan
from drivers.quality import Quality

EXTRA_REQUESTS = 32
"""Requests beyond the planned ones that a scan may spend on cutting."""
SILENT = 2
"""So many requests without an answer, one after the other, and the scan ends."""

_NO_ANSWER = -1
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
NOBODY_BEHIND_GATEWAY = (10, 11)
"""Exceptions that a gateway answers in the place of a unit that is away."""
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledged, still working",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}


def exception_name(code: int) -> str:
    """An exception code as the specification calls it."""
    return f"{_EXCEPTIONS.get(code, 'unknown exception')} (exception {code})"


@dataclass(slots=True)
class Memory:
    """What outlives a scan."""

    learned: Learned = field(default_factory=Learned)
    answered: bool = False
    """Whether anything was answered since the device was opened."""
    lessons: int = 0
    """How often something was learned; what was planned before is out of date."""


class Reading:
    """A scan on its way. :meth:`run` fills it; :meth:`samples` is what came of it."""

    def __init__(self, scan: Scan, bus: Bus, terms: Terms, memory: Memory, now: Callable[[], int]) -> None:
        self._scan, self._bus, self._terms, self._memory, self._now = scan, bus, terms, memory, now
        self._block = Block.blank(len(scan.index))
        self._faults = Faults()
        self._answered = False
        self._silent = 0
        self._error: DriverError | None = None
        self._extra = EXTRA_REQUESTS
        self._refused: set[int] = set()
        self._unanswered: list[Ask] = []

    async def run(self) -> None:
        """Ask everything; raises DriverError when there was no answer at all."""
        for ask in self._scan.order:
            code = await self._ask(ask)
            if code > 0:
                await self._understand(ask, code)
        if self._unanswered:
            # Whoever stays silent must not keep those behind it from being asked next time.
            late = {id(ask) for ask in self._unanswered}
            self._scan.order.sort(key=lambda ask: id(ask) in late)
        if self._error is not None and not self._answered:
            raise of_the_whole(self._error, self._terms.unit, self._bus)
        if self._scan.missing:
            self._block.fail(self._scan.missing_rows, Quality.ADDRESS, self._now())
            self._faults.add(Quality.ADDRESS, NOTHING_THERE, self._scan.missing, self._scan.missing_points)

    def samples(self) -> Samples:
        """The block, one row a point."""
        block = self._block
        return Samples(
            self._scan.index, block.time, block.value, block.quality, block.text, faults=self._faults.errors()
        )

    async def _ask(self, ask: Ask) -> int:
        """Ask once: 0 when the points have their values, the code of an exception, or no answer."""
        if self._silent >= SILENT and self._error is not None:
            self._fail(ask, self._error.quality, str(self._error))
            return _NO_ANSWER
        if ask.request.span.function in self._refused:
            return _ILLEGAL_FUNCTION
        try:
            pdu = await self._bus.exchange(ask.message, self._terms, ask.size)
        except DriverError as error:
            return self._note_silence(ask, error)
        if pdu[0] < 0x80:
            ask.decoder.decode(pdu[2:], self._now(), self._block)
            code = 0
        else:
            code = pdu[1] if len(pdu) > 1 else 255
            if code in NOBODY_BEHIND_GATEWAY:
                return self._note_silence(ask, DriverError(exception_name(code), quality=Quality.DEVICE))
        self._answered = self._memory.answered = True
        self._silent = 0
        return code

    def _note_silence(self, ask: Ask, error: DriverError) -> int:
        if not self._memory.answered:
            # A unit that is away costs one timeout, however many requests it would take. The next attempt
            # begins with another request: there are devices that ignore what they do not understand.
            self._scan.order.sort(key=lambda each: each is ask)
            raise of_the_whole(error, self._terms.unit, self._bus) from error
        self._error = error
        self._silent += 1
        self._unanswered.append(ask)
        self._fail(ask, error.quality, str(error))
        return _NO_ANSWER

    async def _understand(self, ask: Ask, code: int) -> None:
        if code == _ILLEGAL_FUNCTION:
            self._refused.add(ask.request.span.function)
            self._fail(ask, Quality.REFUSED, exception_name(code))
        elif code in (_ILLEGAL_ADDRESS, _ILLEGAL_VALUE):
            await self._cut(ask, code)
        else:
            self._fail(ask, Quality.DEVICE, exception_name(code))

    async def _cut(self, ask: Ask, code: int) -> None:
        halves = ask.request.halves()
        if halves is None:
            self._memory.learned.missing.add(ask.request.span)
            self._memory.lessons += 1
        if halves is None or self._extra < len(halves):  # what is left to find out, the next scan will
            self._fail(ask, Quality.ADDRESS, NOTHING_THERE)
            return
        self._extra -= len(halves)
        parts = [self._scan.part(half) for half in halves]
        codes = [await self._ask(part) for part in parts]
        if not any(codes):
            self._learn_joint(*halves, code)
        for part, refusal in zip(parts, codes, strict=True):
            if refusal > 0:
                await self._understand(part, refusal)

    def _learn_joint(self, one: Request, two: Request, code: int) -> None:
        """Two requests are answered that are refused as one: never join them again."""
        learned, function = self._memory.learned, one.span.function
        if one.span.end < two.span.start:
            learned.gaps.add(Span(function, one.span.end, two.span.start))
        elif code == _ILLEGAL_VALUE:
            # The protocol's word for a request that is too large for this device.
            learned.limits[function] = max(one.span.count, two.span.count)
        else:
            learned.borders.setdefault(function, set()).add(two.span.start)
        self._memory.lessons += 1

    def _fail(self, ask: Ask, quality: Quality, reason: str) -> None:
        self._block.fail(ask.decoder.rows, quality, self._now())
        self._faults.add(quality, reason, ask.request.wanted, ask.points)


def of_the_whole(error: DriverError, unit: int, bus: Bus) -> DriverError:
    """The failure of a device, made of that of a request: it goes away when the device comes back."""
    message = str(error) if error.remedy else f"unit {unit} at {bus.link}: {error}"
    remedy = error.remedy or REMEDIES.get(error.quality, "")
    return DriverError(message, kind=FailureKind.TRANSIENT, quality=error.quality, remedy=remedy)
