"""Reading by subscription: what the server tells, and whether it still tells."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.contract import DriverError, Point, PointGroup, Samples
from drivers.opcua.board import Board
from drivers.opcua.client import Connection, Fault, status_name
from drivers.opcua.columns import Columns, Publish
from drivers.opcua.faults import BAD, Faults, Refusal
from drivers.opcua.items import Item, batches, compile_items
from drivers.opcua.learned import Learned
from drivers.opcua.liveness import Audit, Heartbeat
from drivers.opcua.nodes import resolve
from drivers.opcua.poll import Counts, Reader
from drivers.opcua.rows import Binding
from drivers.opcua.services import SERVER_TIME, NodeId, ServerFacts, Wanted, forget, server_time
from drivers.opcua.status import quality
from drivers.opcua.subscription import ITEMS, Subscription
from drivers.quality import Quality

RETRY_S = 60.0
"""Between two attempts to monitor what the server did not have."""
RETRIED = 500
"""Items that are tried again at once."""
BEAT_S = 2.0
"""Between two looks at the server's clock, as an item among the others."""
LIFETIME_S = 60.0
"""The server forgets a subscription whose connection was cut after so long."""
PUBLISHING_S = 5.0
"""Longest pause between notifications unless the configuration wants a longer one, however rare the tags are."""
FIRST_S = 10.0
"""The first values are waited for no longer; then they are read."""
MOST_PATIENCE_S = 600.0
"""Whatever a server says of its intervals, silence for longer than this is death."""
MOST_QUEUE = 1000
_SHOWN = 20


class Silent(DriverError):
    """The subscription tells nothing, though the server answers."""


class Watching:
    """The points of a device, subscribed; from one opening to the next."""

    mode = "subscribe"

    def __init__(
        self,
        connection: Connection,
        facts: ServerFacts,
        points: Sequence[Point],
        publishing_s: float,
        now: Callable[[], int],
        learned: Learned,
        *,
        polls_the_rest: bool,
    ) -> None:
        """``polls_the_rest``: what the server lets nobody monitor is read."""
        self._connection, self._facts, self._now = connection, facts, now
        self._items = compile_items(points)
        self._binding = Binding([item.points for item in self._items])
        self._faults = Faults(self._items, status_name)
        self._board = Board(len(points))
        self._counts = Counts()
        self._learned, self._polls_the_rest = learned, polls_the_rest
        self._asked_s = publishing_s
        shortest = min((item.interval for item in self._items), default=1.0)
        self._publishing_s = publishing_s or min(shortest, PUBLISHING_S)
        self._subscription = Subscription(connection, now, self._deliver, self._counts, learned)
        self._sampling = np.array([item.interval for item in self._items])
        """Seconds between samples, as the server takes them."""
        self._polled: dict[int, str] = {}
        """Items that are read, as the server does not monitor them → why."""
        self._readers: dict[tuple[PointGroup, bool], Reader] = {}
        self._ids: dict[int, int] = {}
        """Client handle → the server's id of the monitored item."""
        self._nodes: list[NodeId | Refusal] = []
        self._heartbeat = Heartbeat(len(self._items))
        self._audit = Audit(len(self._items), np.array([item.deadband for item in self._items]), self._sampling)
        self._revived: set[int] = set()
        """Items that were dead, and have been made anew."""
        self._retry_at = 0.0
        self._retried = 0

    # -- setting up ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Subscribe to everything and wait for the first values; raises DriverError."""
        self._nodes = await resolve(self._connection, self._facts, [item.address for item in self._items])
        # One answer is wanted for each read; more of them would only cost.
        shortest = min((item.interval for item in self._items), default=self._publishing_s)
        keep_alive = max(1, math.floor(shortest / self._publishing_s + 1e-9))
        await self._subscription.create(self._publishing_s, keep_alive, LIFETIME_S)
        self._publishing_s = self._subscription.terms.publishing_s
        beat = Wanted(self._heartbeat.handle, SERVER_TIME, max(self._publishing_s, BEAT_S), 2, 0.0)
        await self._subscription.monitor([beat], 1)
        await self._monitor(range(len(self._items)))
        await self._first_values()
        self._retry_at = self._time() + RETRY_S
        self._audit.begin(self._time())

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()

    async def _monitor(self, handles: Iterable[int]) -> None:
        wanted, time = [], self._now()
        for handle in handles:
            node, item = self._nodes[handle], self._items[handle]
            if isinstance(node, Refusal):
                self._refuse(handle, node, time)
            else:
                wanted.append(Wanted(handle, node, item.interval, self._queue(item), item.deadband))
        # The first values of some may come while others are still being asked for.
        self._audit.awaited[[item.handle for item in wanted]] = True
        made, refused = await self._subscription.monitor(wanted, self._facts.most_items)
        self._audit.awaited[list(refused)] = False
        for handle, one in made.items():
            self._ids[handle] = one.id
            self._sampling[handle] = max(one.sampling_s, self._items[handle].interval)
            self._polled.pop(handle, None)
        self._audit.patience_s = 2 * (self._publishing_s + self._sampling) + self._connection.timeout_s
        for handle, status in refused.items():
            if self._polls_the_rest and quality(status) is not Quality.ADDRESS:
                self._polled[handle] = status_name(status)
                self._faults.forgive(handle)
            else:
                self._refuse(handle, self._faults.of_status(status), time)
        self._readers.clear()

    def _queue(self, item: Item) -> int:
        return min(max(2, math.ceil(self._publishing_s / item.interval) + 1), MOST_QUEUE)

    def _refuse(self, handle: int, refusal: Refusal, time: int) -> None:
        self._faults.refuse(handle, refusal)
        self._board.fail(self._items[handle].points, refusal.quality, time)

    async def _first_values(self) -> None:
        """Wait until every item has told its first value; read those that do not come."""
        end = self._time() + min(self._patience_s, max(FIRST_S, self._connection.timeout_s))
        while (self._audit.awaited.any() or not self._board.answers) and self._time() < end:
            self._subscription.check()
            await self._subscription.heard(end - self._time())
            await self._subscription.repair()
        self._subscription.check()
        if not self._board.answers:
            await self._read_instead()
        silent = np.flatnonzero(self._audit.awaited).tolist()
        await self._look_at(silent)
        await self._anew([handle for handle in silent if handle not in self._faults.refused])

    async def _read_instead(self) -> None:
        """Nothing was told as yet: see whether the server answers at all; raises :class:`Silent` if it should have."""
        await server_time(self._connection)
        if self._time() - self._subscription.heard_at < self._patience_s:
            self._board.vouch(self._now())
            return
        message = f"{self._connection.where}: the subscription tells nothing, though the server answers when it is read"
        raise Silent(message, quality=Quality.TIMEOUT, remedy='write mode = "poll" or "auto"')

    @property
    def _patience_s(self) -> float:
        """So long may the server be silent before it is taken for dead."""
        terms = self._subscription.terms
        return min(max(3 * terms.publishing_s * terms.keep_alive, self._connection.timeout_s), MOST_PATIENCE_S)

    # -- what arrives --------------------------------------------------------------------------------

    def _deliver(self, answer: Publish, time: int) -> None:
        self._board.vouch(time)
        columns = answer.items
        if len(columns):
            now = self._time()
            self._heartbeat.see(columns, now)
            ours = columns.handle < self._heartbeat.handle
            if not ours.all():
                columns = _part(columns, ours)
            self._audit.hear(columns, now)
            self._take(columns, time)

    def _take(self, columns: Columns, time: int) -> None:
        rows = self._binding.rows(columns)
        self._faults.note(columns, rows)
        self._board.take(rows, time)

    # -- reading -------------------------------------------------------------------------------------

    async def read(self, group: PointGroup) -> Samples:
        """What arrived since the last read of the group, and what has not changed; raises DriverError."""
        await self._subscription.repair()
        while not self._board.news(group):
            self._subscription.check()
            await self._wait(group)
            await self._subscription.repair()
        await self._keep_up()
        await self._read_items(group)
        samples = self._board.samples(group)
        samples.faults = self._faults.errors(group)
        return samples

    async def _wait(self, group: PointGroup) -> None:
        """Wait for news; where the server tells them more rarely than the group is read, read it."""
        left = self._subscription.heard_at + self._patience_s - self._time()
        expected = max(2 * group.interval, 2 * min(self._asked_s, PUBLISHING_S), self._connection.timeout_s)
        if left > 0 and await self._subscription.heard(min(left, expected)):
            return
        if left > expected:
            await self._read_items(group, all_of_them=True)
            self._board.vouch(self._now())
            return
        self._connection.broken = True
        message = f"{self._connection.where}: the subscription has gone silent"
        raise DriverError(message, quality=Quality.TIMEOUT, remedy="check network and server")

    async def _keep_up(self) -> None:
        """Everything that keeps a subscription alive, as far as it is due."""
        now = self._time()
        if self._heartbeat.stopped(now, max(self._patience_s, 3 * BEAT_S)):
            message = f"{self._connection.where}: the subscription is dead: the server's clock stands still in it"
            raise DriverError(message, quality=Quality.TIMEOUT, remedy="it is made anew; see the server if it recurs")
        if self._faults.refused and now >= self._retry_at:
            self._retry_at = now + RETRY_S
            await self._retry()
        if self._audit.due(now):
            monitored = np.zeros(len(self._items), np.bool_)
            monitored[list(self._ids)] = True
            await self._look_at(self._audit.choose(monitored, now))

    async def _read_items(self, group: PointGroup, *, all_of_them: bool = False) -> None:
        """Read those items of a group that are not monitored, or every one of it."""
        if not self._polled and not all_of_them:
            return
        key = (group, all_of_them)
        if key not in self._readers:
            members = {point.index for point in group.points}
            nodes = [
                (handle, node)
                for handle, node in enumerate(self._nodes)
                if (all_of_them or handle in self._polled)
                and not isinstance(node, Refusal)
                and any(point.index in members for point in self._items[handle].points)
            ]
            self._readers[key] = Reader(self._connection, nodes, self._facts.most_read, self._learned, self._counts)
        await self._readers[key].read(lambda columns: self._take(columns, self._now()))

    async def _look_at(self, handles: Sequence[int]) -> None:
        """Read items that tell nothing: what they are now counts, and an item that is dead is made anew."""
        read: list[tuple[Columns, int]] = []
        nodes = [(handle, self._nodes[handle]) for handle in handles]
        reader = Reader(self._connection, nodes, self._facts.most_read, self._learned, self._counts)
        await reader.read(lambda columns: read.append((columns, self._now())))
        dead: list[int] = []
        for columns, time in read:
            of_interest = self._audit.awaited[columns.handle] | (columns.status & BAD != 0)
            found = self._audit.compare(columns, self._time())
            of_interest |= np.isin(columns.handle, found)
            self._take(_part(columns, of_interest), time)
            dead += found
        if again := self._revived.intersection(dead):
            name = self._items[min(again)].name
            message = f"{self._connection.where}: {name} changes and is not notified"
            raise DriverError(message, quality=Quality.TIMEOUT, remedy='write mode = "poll" if it recurs')
        self._revived.update(dead)
        await self._anew(dead)

    async def _anew(self, handles: Sequence[int]) -> None:
        """Make monitored items anew; what they are called may have changed as well."""
        if not handles:
            return
        old = [self._ids.pop(handle) for handle in handles if handle in self._ids]
        for batch in batches(old, self._learned.most(self._learned.items_per_call, self._facts.most_items, ITEMS)):
            # What the server does not let go of names the same point: it may go on telling of it.
            with suppress(Fault):
                await forget(self._connection, self._subscription.terms.id, batch)
        found = await resolve(self._connection, self._facts, [self._items[handle].address for handle in handles])
        for handle, node in zip(handles, found, strict=True):
            self._nodes[handle] = node
        await self._monitor(handles)

    async def _retry(self) -> None:
        """Monitor again what the server did not have, or did not let be monitored."""
        every = [
            handle
            for handle, refusal in sorted(self._faults.refused.items())
            if refusal.quality is Quality.ADDRESS or (handle not in self._ids and handle not in self._polled)
        ]
        if not every:
            return
        first = self._retried % len(every)
        chosen = (every[first:] + every[:first])[:RETRIED]
        self._retried = first + len(chosen)
        await self._anew(chosen)

    def observations(self) -> Mapping[str, Any]:
        """What was learned."""
        terms = self._subscription.terms
        slower = [handle for handle, item in enumerate(self._items) if self._sampling[handle] > 1.5 * item.interval]
        return {
            "publishing_interval_s": terms.publishing_s,
            "keep_alive_count": terms.keep_alive,
            "items": len(self._items),
            "monitored": len(self._ids),
            "sampled_slower": {self._items[each].name: float(self._sampling[each]) for each in slower[:_SHOWN]},
            "polled": {self._items[each].name: why for each, why in sorted(self._polled.items())[:_SHOWN]},
            "bad_items": self._faults.summary(),
            "made_anew": len(self._revived),
            "overflows": self._board.overflows,
            "republished": self._subscription.republished,
            "decoded_fast": self._counts.fast,
            "decoded_general": self._counts.general,
        }


def _part(columns: Columns, mask: NDArray[np.bool_]) -> Columns:
    """Those rows."""
    position = np.cumsum(mask) - 1
    return Columns(
        columns.handle[mask],
        columns.kind[mask],
        columns.value[mask],
        columns.status[mask],
        columns.source_time[mask],
        None if columns.inexact is None else columns.inexact[mask],
        {int(position[row]): other for row, other in columns.other.items() if mask[row]},
    )
