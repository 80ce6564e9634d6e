"""One scan of a group: asking, and finding out what a refusal means.

Each request stands for itself: one that fails costs its own points. When nothing answers, the scan ends early.
A request that is refused, for whatever reason, is cut in two until it is known which values the device does not
have, which it does not read together, or how much it reads at once. Nothing is learned of a refusal that does
not stand when it is looked at again, and what was refused alone is asked for again now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from drivers.contract import DriverError, FailureKind, Samples
from drivers.modbus.bus import Bus, Terms
from drivers.modbus.decode import Block
from drivers.modbus.plan import Learned, Request, Span, plan
from drivers.modbus.refused import NoConnection
from drivers.modbus.remedies import (
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    LASTING,
    NOBODY_BEHIND_GATEWAY,
    as_error,
    exception_quality,
    exception_reason,
    exception_remedy,
    remedy_of,
)
from drivers.modbus.scan import Ask, Faults, Scan
from drivers.quality import Quality

EXTRA_REQUESTS = 32
"""Requests beyond the planned ones that a scan may spend on finding something out."""
SILENT = 2
"""So many requests without an answer, one after the other, and the scan ends."""
AWAY = 9
"""So many times the gateway in the place of the unit, one after the other, and the scan ends: more than cutting
a request down to one value takes."""
NO_TABLE = 8
"""So many values of a table that are each an illegal function, and none that is not, and it is believed."""
AGAIN_EVERY = 5
"""Every so many scans, something that the device never had is asked for again."""
_AGAIN_ASKS = 4
_REVIVE_SCANS = 8
_SHRINK_AFTER = 2
"""So many silences on one size of request, while smaller ones are answered, and it is taken for too large."""

_NO_ANSWER = -1


@dataclass(slots=True)
class Memory:
    """What outlives a scan."""

    learned: Learned = field(default_factory=Learned)
    answered: bool = False
    """Whether anything was answered since the device was opened."""
    cautious: bool = False
    """Whether a large request was all that was tried, and not answered."""
    lessons: int = 0
    """How often something was learned; what was planned before is out of date."""
    good: set[Span] = field(default_factory=set)
    """What was answered at least once."""
    tables: set[int] = field(default_factory=set)
    """Tables of which anything was answered."""
    no_function: dict[int, int] = field(default_factory=dict)
    """By table of which nothing was answered: values refused as an illegal function."""
    reviving: int = 0
    """Something that was refused has come back: scans for which the rest of it is asked for, too."""
    witness: Span | None = None
    """What was answered last."""
    doubts: int = 0
    """How often it was in doubt whether the unit is away."""
    joined: set[int] = field(default_factory=set)
    """Tables of which several values were answered at once."""
    quiet: dict[tuple[int, int], int] = field(default_factory=dict)
    """By table and size of a request: silences on it while others were answered."""


class Reading:
    """A scan on its way. :meth:`run` fills it; :meth:`samples` is what came of it.

    ``turn``: scans of this group since the device was opened.
    """

    def __init__(
        self, scan: Scan, bus: Bus, terms: Terms, memory: Memory, now: Callable[[], int], turn: int = 0
    ) -> None:
        self._scan, self._bus, self._terms, self._memory, self._now = scan, bus, terms, memory, now
        self._turn = turn
        self._learned = memory.learned
        self._block = Block.blank(len(scan.index))
        self._faults = Faults()
        self._answered = False
        self._silent = self._away = self._gone = 0
        self._error: DriverError | None = None
        self._extra = EXTRA_REQUESTS
        self._unanswered: list[Ask] = []

    async def run(self) -> None:
        """Ask everything; raises DriverError when there was no answer at all."""
        if self._memory.cautious:
            await self._begin_small()
        for ask in self._scan.order:
            for part in self._allowed(ask):
                await self._settle(part)
                if self._away >= AWAY:
                    self._give_way(ask)
        if self._unanswered:
            # Whoever stays silent must not keep those behind it from being asked next time.
            late = {id(ask) for ask in self._unanswered}
            self._scan.order.sort(key=lambda ask: id(ask) in late)
        if self._scan.missing:
            await self._look_again()
        if self._error is not None and not self._answered:
            raise of_the_whole(self._error, self._terms.unit, self._bus)

    def samples(self) -> Samples:
        """The block, one row a point."""
        block, scan = self._block, self._scan
        if not scan.factors:
            return Samples(scan.index, block.time, block.value, block.quality, block.text, faults=self._faults.errors())
        for span, index in scan.factors.apply(block):
            self._faults.add(Quality.INVALID, "no usable factor", [span], [index])
        rows = scan.factors.kept(scan.index)
        text = {at: block.text[row] for at, row in enumerate(rows.tolist()) if row in block.text}
        return Samples(
            scan.index[rows],
            block.time[rows],
            block.value[rows],
            block.quality[rows],
            text,
            faults=self._faults.errors(),
        )

    async def _begin_small(self) -> None:
        """Begin with the least that can be asked: a device may ignore what is too large for it."""
        asks = [ask for ask in self._scan.order if ask.request.halves() is not None]
        if asks:
            span = min((span for ask in asks for span in ask.request.wanted), key=lambda span: span.count)
            await self._ask(self._scan.part(Request.around([span])))

    def _allowed(self, ask: Ask) -> Sequence[Ask]:
        """What remains of a request when something was learned since it was planned."""
        limit = self._learned.limits.get(ask.request.span.function)
        if limit is None or ask.request.span.count <= limit or ask.request.halves() is None:
            return (ask,)
        requests = plan(ask.request.wanted, self._scan.cost, self._learned, self._scan.alone)
        return [self._scan.part(request) for request in requests]

    async def _settle(self, ask: Ask) -> None:
        """Ask, and find out about a refusal."""
        code = await self._ask(ask)
        if code > 0:
            await self._understand(ask, code)

    async def _ask(self, ask: Ask) -> int:
        """Ask once: 0 when the points have their values, the code of an exception, or no answer."""
        if self._error is not None and self._silent >= SILENT:
            self._fail(ask, self._error.quality, str(self._error), self._error.remedy)
            return _NO_ANSWER
        try:
            pdu = await self._bus.exchange(ask.message, self._terms, ask.size)
        except DriverError as error:
            return self._note_silence(ask, error)
        self._silent = 0
        code = 0
        if pdu[0] < 0x80:
            ask.decoder.decode(pdu[2:], self._now(), self._block)
            self._memory.witness = ask.request.wanted[-1]
            if id(ask) not in self._scan.proven:
                self._prove(ask)
        else:
            code = pdu[1]
        if code in NOBODY_BEHIND_GATEWAY:
            self._away += 1
            if self._away >= AWAY:
                self._extra, self._error = 0, as_error(code)  # no more cutting: it costs a timeout of the gateway each
        else:
            self._answered = self._memory.answered = True
            self._away = self._gone = 0
        return code

    def _give_way(self, ask: Ask) -> None:
        """The gateway answers for the unit again and again: see what others get, and begin with them next time."""
        self._gone += 1
        self._unanswered.append(ask)
        if self._gone >= SILENT:
            self._silent = SILENT

    async def _try(self, request: Request) -> int:
        """Ask for the sake of finding something out: 0, the code of an exception, or no answer."""
        self._extra -= 1
        ask = self._scan.part(request)
        try:
            pdu = await self._bus.exchange(ask.message, self._terms, ask.size)
        except DriverError:
            return _NO_ANSWER
        return 0 if pdu[0] < 0x80 else pdu[1]

    def _prove(self, ask: Ask) -> None:
        self._scan.proven.add(id(ask))
        if ask.request.halves() is not None:
            self._memory.cautious = False
            self._memory.joined.add(ask.request.span.function)
        self._memory.good.update(ask.request.wanted)
        self._memory.tables.add(ask.request.span.function)

    def _note_silence(self, ask: Ask, error: DriverError) -> int:
        large = ask.request.halves() is not None
        if not self._memory.answered:
            # A unit that is away costs one timeout, however many requests it would take. The next attempt
            # begins with another request: there are devices that ignore what they do not understand.
            self._memory.cautious = large and error.quality is Quality.TIMEOUT and not self._memory.cautious
            self._scan.order.sort(key=lambda each: each is ask)
            raise of_the_whole(error, self._terms.unit, self._bus) from error
        self._error = error
        self._silent += 1
        self._unanswered.append(ask)
        if large and self._answered and error.quality is Quality.TIMEOUT:
            self._shrink(ask)
        self._fail(ask, error.quality, str(error), error.remedy)
        return _NO_ANSWER

    def _shrink(self, ask: Ask) -> None:
        """A size of request that was never answered while others are: it may be too large."""
        span = ask.request.span
        if id(ask) in self._scan.proven or self._memory.good.issuperset(ask.request.wanted):
            return
        key = (span.function, span.count)
        self._memory.quiet[key] = self._memory.quiet.get(key, 0) + 1
        if self._memory.quiet[key] >= _SHRINK_AFTER:
            self._learned.limits[span.function] = max(1, span.count // 2)
            self._memory.lessons += 1

    async def _understand(self, ask: Ask, code: int) -> None:
        if code in NOBODY_BEHIND_GATEWAY and not self._answered:
            await self._whether_away(ask, code)
        elif ask.request.halves() is None:
            self._believe(ask, code)
        else:
            await self._cut(ask, code)

    async def _whether_away(self, ask: Ask, code: int) -> None:
        """A gateway says that the unit does not answer: the least that can be asked for decides."""
        if ask.request.halves() is not None:
            for span in self._small_ones():
                answer = await self._ask(self._scan.part(Request.around([span])))
                if answer == _NO_ANSWER:
                    return
                if answer not in NOBODY_BEHIND_GATEWAY:
                    await self._cut(ask, code)
                    return
        self._note_silence(ask, as_error(code))

    def _small_ones(self) -> list[Span]:
        """What would be answered if anything were: the value that was answered last, and some far apart."""
        spans = [span for ask in self._scan.asks for span in ask.request.wanted]
        at = self._memory.doubts * 7 % len(spans)  # others each time
        self._memory.doubts += 1
        witness = [self._memory.witness] if self._memory.witness in spans else []
        return list(dict.fromkeys((*witness, spans[at], spans[-1 - at], spans[(at + len(spans) // 2) % len(spans)])))

    def _believe(self, ask: Ask, code: int) -> None:
        """What is refused alone is not there; for how long, scans to come will tell."""
        [span] = ask.request.wanted
        self._learned.missing[span] = code
        if span in self._memory.good or code not in LASTING:
            self._learned.passing.add(span)
        self._memory.lessons += 1
        self._refuse(ask, code)
        function = span.function
        if code == ILLEGAL_FUNCTION and function not in self._memory.tables:
            count = self._memory.no_function[function] = self._memory.no_function.get(function, 0) + 1
            if count >= NO_TABLE:
                self._learned.missing |= {each: code for each in self._scan.spans if each.function == function}

    async def _cut(self, ask: Ask, code: int) -> None:
        halves = ask.request.halves()
        if halves is None or self._extra < len(halves) or self._no_table(ask):
            self._refuse(ask, code)  # what is left to find out, the next scan will
            return
        self._extra -= len(halves)
        parts = [self._scan.part(half) for half in halves]
        codes = [await self._ask(part) for part in parts]
        if not any(codes):
            await self._learn_joint(ask.request, *halves)
        for part, refusal in zip(parts, codes, strict=True):
            if refusal > 0:
                await self._understand(part, refusal)

    def _no_table(self, ask: Ask) -> bool:
        return all(span in self._learned.missing for span in ask.request.wanted)

    async def _learn_joint(self, whole: Request, one: Request, two: Request) -> None:
        """Two requests are answered that are refused as one: find out why, and keep to it."""
        if self._extra < 2 or await self._try(whole) <= 0:
            return  # it has passed, or there is no time to find out
        learned, function = self._learned, whole.span.function
        joint = Request.around([one.wanted[-1], two.wanted[0]])
        if joint.span != whole.span and await self._try(joint) == 0:
            learned.limits[function] = await self._search(whole, max(one.span.count, two.span.count))
        elif joint.span == whole.span and one.span.end == two.span.start and function not in self._memory.joined:
            learned.limits[function] = max(one.span.count, two.span.count)
        elif one.span.end < two.span.start:
            learned.gaps.add(Span(function, one.span.end, two.span.start))
        else:
            learned.borders.setdefault(function, set()).add(two.span.start)
        self._memory.lessons += 1

    async def _search(self, whole: Request, most: int) -> int:
        """The largest request that is answered: at least ``most``, and less than ``whole``."""
        prefixes = [Request.around(whole.wanted[:end]) for end in range(1, len(whole.wanted))]
        larger = sorted((each for each in prefixes if each.span.count > most), key=lambda each: each.span.count)
        low, high = -1, len(larger)
        while high - low > 1 and self._extra > 0:
            middle = (low + high) // 2
            if await self._try(larger[middle]) == 0:
                low = middle
            else:
                high = middle
        return larger[low].span.count if low >= 0 else most

    async def _look_again(self) -> None:
        """Ask for some of what was refused before, and for all of it as soon as any is back."""
        scan, learned = self._scan, self._learned
        # What was learned in this scan is newer than its plan, and some of it may be gone again.
        codes = [learned.missing.get(span, ILLEGAL_ADDRESS) for span in scan.missing for _ in scan.items(span)]
        self._block.quality[scan.missing_rows] = [exception_quality(code) for code in codes]
        self._block.time[scan.missing_rows] = self._now()
        if not self._memory.reviving:
            for span in self._due():
                if await self._revive(Request.around([span])):
                    self._memory.reviving = _REVIVE_SCANS
        if self._memory.reviving:
            await self._revive_all()
        for span in scan.missing:
            if (code := learned.missing.get(span)) is not None:
                indices = [item.point.index for item in scan.items(span) if item.point.index >= 0]
                self._faults.add(
                    exception_quality(code), exception_reason(code), [span], indices, exception_remedy(code)
                )

    def _due(self) -> list[Span]:
        """What to ask for again: one of those that come and go, now and then one that never was there."""
        passing = [span for span in self._scan.missing if span in self._learned.passing]
        lasting = [span for span in self._scan.missing if span not in self._learned.passing]
        due = _some(passing, self._turn, 1)
        if self._turn % AGAIN_EVERY == 0:
            due += _some(lasting, self._turn // AGAIN_EVERY * _AGAIN_ASKS, _AGAIN_ASKS)
        if not due and not self._scan.asks:  # nothing else would tell whether the device is there
            due = _some(lasting, self._turn, 1)
        return due

    async def _revive_all(self) -> None:
        missing = [span for span in self._scan.missing if span in self._learned.missing]
        self._learned.gaps.clear()
        rest = Learned(borders=self._learned.borders, limits=self._learned.limits)
        requests = plan(missing, self._scan.cost, rest, self._scan.alone)
        waiting = _some(requests, self._turn, len(requests))[::-1]
        while waiting and self._extra > 0:
            self._extra -= 1
            request = waiting.pop()
            if not await self._revive(request):
                waiting += request.halves() or ()
        # Of what is left over, the next scan has another look; of what never comes back, not for ever.
        self._memory.reviving = self._memory.reviving - 1 if waiting else 0

    async def _revive(self, request: Request) -> bool:
        """Ask for what was refused before; whether it is there again."""
        ask = self._scan.part(request)
        code = await self._ask(ask)
        if code > 0 and request.halves() is None:
            self._learned.missing[request.wanted[0]] = code
        if code != 0:
            return False
        for span in request.wanted:
            self._learned.missing.pop(span, None)
            self._learned.passing.discard(span)
        self._memory.lessons += 1
        return True

    def _refuse(self, ask: Ask, code: int) -> None:
        self._fail(ask, exception_quality(code), exception_reason(code), exception_remedy(code))

    def _fail(self, ask: Ask, quality: Quality, reason: str, remedy: str = "") -> None:
        self._block.fail(ask.decoder.rows, quality, self._now())
        self._faults.add(quality, reason, ask.request.wanted, ask.points, remedy)


_T = TypeVar("_T")


def _some(of: Sequence[_T], turn: int, count: int) -> list[_T]:
    """Up to ``count`` of them, others each turn."""
    return [of[(turn + at) % len(of)] for at in range(min(count, len(of)))]


def of_the_whole(error: DriverError, unit: int, bus: Bus) -> DriverError:
    """The failure of a device, made of that of a request: it goes away when the device comes back."""
    message = str(error) if isinstance(error, NoConnection) else f"unit {unit} at {bus.link}: {error}"
    remedy = remedy_of(error, serial=bus.link.serial)
    return DriverError(message, kind=FailureKind.TRANSIENT, quality=error.quality, remedy=remedy)
