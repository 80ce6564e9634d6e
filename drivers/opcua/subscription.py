"""One subscription on the wire: its items, its Publish requests, its sequence numbers.

Publish requests are sent from here, a few at a time, so that the server never lacks one; each answer
sends the next. There is no task: answers arrive as callbacks of the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from drivers.contract import DriverError
from drivers.opcua import decode, services, values
from drivers.opcua.client import TOO_MUCH, Connection, Fault, status_name
from drivers.opcua.columns import Publish
from drivers.opcua.items import batches
from drivers.opcua.learned import Learned
from drivers.opcua.poll import Counts
from drivers.opcua.services import Made, Terms, Wanted
from drivers.quality import Quality

OUTSTANDING = 3
"""Publish requests that wait at the server; fewer where it says that these are too many."""
ITEMS = 500
"""Monitored items a request, where the server names no limit."""
MOST_MISSING = 100
"""So many missed notifications are asked for again; with more, everything is begun anew."""
_NO_FILTER = frozenset({0x80430000, 0x80440000, 0x80450000, 0x808E0000})
"""BadMonitoredItemFilterInvalid, BadMonitoredItemFilterUnsupported, BadFilterNotAllowed, BadDeadbandFilterInvalid."""
_TOO_MANY_REQUESTS, _TIMEOUT, _TOO_MANY_ITEMS = 0x80780000, 0x800A0000, 0x80DB0000
"""BadTooManyPublishRequests, BadTimeout, BadTooManyMonitoredItems."""
_ANSWER_S, _PART_S = 0.02, 0.002
"""What an answer costs of the time that answers may take, and one that is a part of a larger notification."""
_ITEMS_A_S = 20_000
"""Values a second that cost nothing more; a server that is asked for more may send eight times that."""
_AHEAD_S = 2.0
"""So far may answers be ahead of what they cost before the next is asked for."""


class Subscription:
    """A subscription, from :meth:`create` until its connection is closed."""

    def __init__(
        self,
        connection: Connection,
        now: Callable[[], int],
        deliver: Callable[[Publish, int], None],
        counts: Counts,
        learned: Learned,
    ) -> None:
        """``deliver(answer, time)`` is called for each answer, in the order of their sequence numbers."""
        self._connection, self._now, self._deliver, self._counts = connection, now, deliver, counts
        self._learned = learned
        self.terms = Terms(0, 1.0, 1)
        self.heard_at = 0.0
        """When the last answer came, by the loop's clock."""
        self.republished = 0
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._outstanding, self._target = 0, OUTSTANDING
        self._unacknowledged: list[int] = []
        self._next: int | None = None
        self._missing: deque[int] = deque()
        self._held: deque[tuple[Publish, int]] = deque()
        self._item_s = 1 / _ITEMS_A_S
        self._paid_until = 0.0
        self._paused = False

    # -- setting up ----------------------------------------------------------------------------------

    async def create(self, publishing_s: float, keep_alive: int, lifetime_s: float) -> None:
        """Create it and ask for its notifications; raises DriverError."""
        self.terms = await services.subscribe(self._connection, publishing_s, keep_alive, lifetime_s)
        self.heard_at = asyncio.get_running_loop().time()
        self._ask()

    async def monitor(self, items: Sequence[Wanted], said: int) -> tuple[dict[int, Made], dict[int, int]]:
        """Create monitored items: by handle what was made, and the status code of those refused.

        ``said``: the most items a request by the server's own word; 0: it does not say.
        """
        made: dict[int, Made] = {}
        refused: dict[int, int] = {}
        self._item_s = min(self._item_s, 1 / (8 * sum(1 / item.sampling_s for item in items) + 1))
        size = self._learned.most(self._learned.items_per_call, said, ITEMS)
        waiting = deque(batches(items, size))
        while waiting:
            batch = waiting.popleft()
            try:
                results = await services.monitor(self._connection, self.terms.id, batch)
            except Fault as fault:
                if fault.code == _TOO_MANY_ITEMS and len(batch) > 1:
                    # Some of them may have room.
                    waiting.extendleft((batch[len(batch) // 2 :], batch[: len(batch) // 2]))
                    continue
                if fault.code == _TOO_MANY_ITEMS or (fault.code in TOO_MUCH and len(batch) == 1):
                    full = [batch, *waiting] if fault.code == _TOO_MANY_ITEMS else [batch]
                    refused.update((item.handle, fault.code) for each in full for item in each)
                    waiting = waiting if fault.code != _TOO_MANY_ITEMS else deque()
                    continue
                if fault.code not in TOO_MUCH:
                    raise
                size = self._learned.items_per_call = (len(batch) + 1) // 2
                if self._connection.ended:
                    raise
                waiting = deque(batches([*batch, *(item for each in waiting for item in each)], size))
                continue
            unfiltered = []
            for item, found in zip(batch, results, strict=True):
                status = found.status
                if not status & 0x80000000:
                    made[item.handle] = found
                elif status in _NO_FILTER and item.deadband:
                    # The change filter does it anyway; the server only sends more.
                    unfiltered.append(Wanted(item.handle, item.node, item.sampling_s, item.queue, 0.0))
                else:
                    refused[item.handle] = status
            if unfiltered:
                waiting.append(unfiltered)
        return made, refused

    # -- publishing ----------------------------------------------------------------------------------

    def _ask(self) -> None:
        if self._paused:
            return
        loop = asyncio.get_running_loop()
        if (ahead := self._paid_until - _AHEAD_S - loop.time()) > 0:
            # Nothing that a server may honestly have to say comes so fast.
            self._paused = True
            loop.call_later(ahead, self._go_on)
            return
        try:
            while self._outstanding < self._target:
                acknowledged = [(self.terms.id, number) for number in self._unacknowledged]
                future = self._connection.post(services.publish(self._connection, acknowledged))
                self._unacknowledged.clear()
                self._outstanding += 1
                future.add_done_callback(self._answered)
        except (DriverError, OSError) as error:
            self._fail(error)

    def _go_on(self) -> None:
        self._paused = False
        if not self._connection.broken and self._failure is None:
            self._ask()

    def _pay(self, items: int, *, part: bool) -> None:
        cost = min(_PART_S if part else _ANSWER_S, self.terms.publishing_s / 4)
        now = asyncio.get_running_loop().time()
        self._paid_until = max(self._paid_until, now) + max(cost, items * self._item_s)

    def _answered(self, future: asyncio.Future[Any]) -> None:
        self._outstanding -= 1
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            try:
                with self._connection.classified("Publish"):
                    self._take(self._connection.body(future.result()))
                return
            except DriverError as failed:
                error = failed  # raised again by the next check(), where it can be seen
        self._cope(error)

    def _cope(self, error: BaseException) -> None:
        code = getattr(error, "code", None)
        if code == _TOO_MANY_REQUESTS and self._outstanding:
            self._target = self._outstanding
        elif code == _TIMEOUT:
            self._pay(0, part=False)
            self._ask()
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._changed.set()

    def _take(self, body: bytes) -> None:
        time = self._now()
        answer = decode.publish_response(body)
        if answer is not None:
            self._counts.fast += 1
        else:
            self._counts.general += 1
            answer = values.publish_response(body)
        self.heard_at = asyncio.get_running_loop().time()
        self._pay(len(answer.items), part=answer.more)
        if answer.subscription == self.terms.id:
            if not answer.keep_alive:
                self._unacknowledged.append(answer.sequence)
            self._order(answer, time)
        self._ask()
        self._changed.set()

    def _order(self, answer: Publish, time: int) -> None:
        """Deliver in the order of the sequence numbers; what follows a missing one has to wait for it."""
        if answer.status_change is not None and answer.status_change & 0x80000000:
            raise DriverError(f"{self._connection.where}: subscription ended: {status_name(answer.status_change)}")
        if answer.keep_alive and not answer.sequence:
            self._deliver(answer, time)  # no number at all, which is not as it should be
            return
        expected = answer.sequence if self._next is None else self._next
        ahead = (answer.sequence - expected) % 0xFFFFFFFF
        if ahead > 0x7FFFFFFF:
            if not answer.keep_alive:
                return  # sent twice
            ahead = 0
        if ahead + len(self._missing) > MOST_MISSING or len(self._held) > MOST_MISSING:
            raise DriverError(f"{self._connection.where}: notifications were lost", quality=Quality.CONNECTION)
        self._missing.extend((expected + number - 1) % 0xFFFFFFFF + 1 for number in range(ahead))
        after = (expected + ahead - 1) % 0xFFFFFFFF + 1
        self._next = after if answer.keep_alive else after % 0xFFFFFFFF + 1
        if self._missing:
            self._held.append((answer, time))
        else:
            self._deliver(answer, time)

    # -- keeping it alive ----------------------------------------------------------------------------

    def check(self) -> None:
        """Raise what has failed since; a DriverError, unless it is a bug."""
        if self._failure is not None:
            raise self._connection.failure(self._failure, "Publish") from self._failure

    async def heard(self, within_s: float) -> bool:
        """Wait for the next answer or failure, at most so long; whether there was one."""
        self._changed.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def repair(self) -> None:
        """Ask again for notifications that did not arrive, and deliver them and those that had to wait.

        They are stamped like the first one behind them. Raises DriverError when the server no longer has them.
        """
        while self._missing:
            number = self._missing[0]
            try:
                body = await services.republish(self._connection, self.terms.id, number)
            except Fault as fault:
                message = f"{self._connection.where}: notifications were lost: {status_name(fault.code)}"
                raise DriverError(message, remedy="see whether the server is overloaded") from fault
            with self._connection.classified("Republish"):
                answer = decode.publish_response(body) or values.publish_response(body)
            self.republished += 1
            self._missing.popleft()
            self._unacknowledged.append(number)
            self._deliver(answer, self._held[0][1])
            # What came before the next gap can go; without gaps everything can.
            while self._held and (not self._missing or self._before(self._held[0][0].sequence, self._missing[0])):
                self._deliver(*self._held.popleft())

    @staticmethod
    def _before(one: int, other: int) -> bool:
        return (other - one) % 0xFFFFFFFF < 0x7FFFFFFF and one != other
