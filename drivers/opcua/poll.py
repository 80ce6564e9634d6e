"""Reading by polling: the nodes of a group in as few Read requests as the server allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.contract import DriverError, Point, PointGroup, Samples
from drivers.opcua import decode, services, values
from drivers.opcua.client import TOO_MUCH, Connection, Fault, status_name
from drivers.opcua.columns import Columns
from drivers.opcua.faults import Faults, Refusal
from drivers.opcua.items import batches, compile_items
from drivers.opcua.learned import Learned
from drivers.opcua.nodes import resolve
from drivers.opcua.rows import Binding, Rows
from drivers.opcua.services import NodeId, ServerFacts
from drivers.opcua.stamps import Stamps
from drivers.quality import Quality

NODES = 1000
"""Nodes a Read request, where the server names no limit."""
RETRY_S = 60.0
"""Between two attempts to find nodes that were not there."""
_FEW = 8
"""Of so few nodes one is too large by itself: the others need not be read one by one for ever."""


@dataclass(slots=True)
class Counts:
    """How answers were decoded."""

    fast: int = 0
    general: int = 0


_Request = tuple[Sequence[tuple[int, NodeId]], bytes, NDArray[np.uint32]]
"""Nodes by their position, the part of a request that asks for them, and the positions."""


class Reader:
    """Reads some items, known by their position; compiled once."""

    def __init__(
        self,
        connection: Connection,
        nodes: Sequence[tuple[int, NodeId]],
        said: int,
        learned: Learned,
        counts: Counts,
    ) -> None:
        """``said``: the most nodes a request by the server's own word; 0: it does not say."""
        self._connection, self._nodes, self._counts, self._learned = connection, nodes, counts, learned
        self._requests: list[_Request] = []
        self._compile(learned.most(learned.nodes_per_read, said, NODES))

    def _compile(self, size: int) -> None:
        self.size = size
        self._requests = [_request(batch) for batch in batches(self._nodes, size)]

    async def read(self, take: Callable[[Columns], None]) -> None:
        """Read every item once; ``take`` gets each answer as it arrives. Raises DriverError."""
        number = 0
        while number < len(self._requests):
            batch, request, handles = self._requests[number]
            try:
                columns = await self._ask(request, len(handles))
            except Fault as fault:
                if fault.code not in TOO_MUCH:
                    raise
                if self._connection.ended or len(batch) > _FEW:
                    self._learned.read_too_large(len(batch))
                if self._connection.ended:
                    raise
                if len(batch) > _FEW:
                    self._compile(min(self.size, len(batch)) // 2)
                    number = 0
                    continue
                if len(batch) > 1:
                    half = len(batch) // 2
                    self._requests[number : number + 1] = _request(batch[:half]), _request(batch[half:])
                    continue
                columns = Columns.blank(1)
                columns.status[:] = fault.code
            except DriverError as error:
                if error.quality in (Quality.CONNECTION, Quality.MALFORMED):
                    self._learned.read_ended(len(batch))
                raise
            else:
                self._learned.read_fits(len(batch))
            columns.handle = handles[columns.handle]
            take(columns)
            number += 1

    async def _ask(self, request: bytes, count: int) -> Columns:
        with self._connection.classified("Read"):
            return self._decode(await services.read(self._connection, request), count)

    def _decode(self, body: bytes, count: int) -> Columns:
        columns = decode.read_response(body, count)
        if columns is not None:
            self._counts.fast += 1
            return columns
        self._counts.general += 1
        return values.read_response(body, count)


def _request(batch: Sequence[tuple[int, NodeId]]) -> _Request:
    handles = np.array([at for at, _ in batch], np.uint32)
    return batch, services.nodes_to_read([node for _, node in batch]), handles


class _Plan:
    """What is read for one group."""

    def __init__(self, group: PointGroup) -> None:
        self.items = compile_items(group.points)
        self.binding = Binding([item.points for item in self.items])
        self.faults = Faults(self.items, status_name)
        self.reader: Reader | None = None
        self.missing: list[int] = []
        self.retry_at = 0.0


class Polling:
    """The points of a device, read when they are asked for; from one opening to the next."""

    mode = "poll"

    def __init__(
        self,
        connection: Connection,
        facts: ServerFacts,
        points: Sequence[Point],
        now: Callable[[], int],
        learned: Learned,
    ) -> None:
        self._connection, self._facts, self._now, self._learned = connection, facts, now, learned
        self._plans: dict[PointGroup, _Plan] = {}
        self._counts = Counts()
        self._stamps = Stamps(len(points))

    async def open(self) -> None:
        """Nothing to prepare: a group is compiled when it is read first."""

    async def read(self, group: PointGroup) -> Samples:
        """One row a point; raises DriverError."""
        plan = self._plans.get(group)
        if plan is None:
            plan = self._plans[group] = _Plan(group)
        if plan.reader is None or (plan.missing and asyncio.get_running_loop().time() >= plan.retry_at):
            await self._find(plan)
        found: list[tuple[Rows, int]] = []

        def take(columns: Columns) -> None:
            time = self._now()
            rows = plan.binding.rows(columns)
            self._stamps.judge(rows, time)
            plan.faults.note(columns, rows)
            found.append((rows, time))

        if plan.reader is not None:
            await plan.reader.read(take)
        absent = [(point, plan.faults.refused[at].quality) for at in plan.missing for point in plan.items[at].points]
        return _samples(found, Samples.of(absent, self._now()), plan.faults.errors(group))

    async def _find(self, plan: _Plan) -> None:
        nodes = await resolve(self._connection, self._facts, [item.address for item in plan.items])
        known = [(at, node) for at, node in enumerate(nodes) if not isinstance(node, Refusal)]
        plan.missing = [at for at, node in enumerate(nodes) if isinstance(node, Refusal)]
        for at in plan.missing:
            plan.faults.refuse(at, nodes[at])
        plan.reader = Reader(self._connection, known, self._facts.most_read, self._learned, self._counts)
        plan.retry_at = asyncio.get_running_loop().time() + RETRY_S

    def observations(self) -> Mapping[str, Any]:
        """What was learned."""
        bad: dict[str, str] = {}
        for plan in self._plans.values():
            bad |= plan.faults.summary()
        return {
            "items": sum(len(plan.items) for plan in self._plans.values()),
            "bad_items": bad,
            "nodes_per_read": self._learned.most(self._learned.nodes_per_read, self._facts.most_read, NODES),
            "decoded_fast": self._counts.fast,
            "decoded_general": self._counts.general,
        }


def _samples(found: Sequence[tuple[Rows, int]], absent: Samples, faults: tuple[DriverError, ...]) -> Samples:
    time = np.concatenate([absent.time, *(np.full(len(rows), at, np.int64) for rows, at in found)])
    source = np.concatenate([np.zeros(len(absent), np.int64), *(rows.source_time for rows, _ in found)])
    text: dict[int, str] = {}
    lost: dict[int, int] = {}
    start = len(absent)
    for rows, _ in found:
        text.update((start + row, said) for row, said in rows.text.items())
        lost.update(rows.lost)
        start += len(rows)
    return Samples(
        index=np.concatenate([absent.index, *(rows.point for rows, _ in found)]),
        time=time,
        value=np.concatenate([absent.value, *(rows.value for rows, _ in found)]),
        quality=np.concatenate([absent.quality, *(rows.quality for rows, _ in found)]),
        text=text,
        source_time=np.where(source == 0, time, source),
        faults=faults,
        lost=lost,
    )
