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
from drivers.opcua.client import Connection, Fault, status_name
from drivers.opcua.columns import Columns
from drivers.opcua.faults import Faults, Refusal
from drivers.opcua.items import batches, compile_items
from drivers.opcua.nodes import resolve
from drivers.opcua.rows import Binding, Rows
from drivers.opcua.services import NodeId, ServerFacts
from drivers.opcua.stamps import Stamps

NODES = 1000
"""Nodes a Read request, where the server names no limit."""
RETRY_S = 60.0
"""Between two attempts to find nodes that were not there."""
TOO_MUCH = frozenset({0x80100000, 0x80B80000, 0x80B90000, 0x80080000})
"""BadTooManyOperations, BadRequestTooLarge, BadResponseTooLarge, BadEncodingLimitsExceeded."""


@dataclass(slots=True)
class Counts:
    """How answers were decoded."""

    fast: int = 0
    general: int = 0


class Reader:
    """Reads some items, known by their position; compiled once."""

    def __init__(self, connection: Connection, nodes: Sequence[tuple[int, NodeId]], size: int, counts: Counts) -> None:
        self._connection, self._nodes, self._counts = connection, nodes, counts
        self._requests: list[tuple[bytes, NDArray[np.uint32]]] = []
        self._compile(size)

    def _compile(self, size: int) -> None:
        self.size = size
        self._requests = [
            (services.nodes_to_read([node for _, node in batch]), np.array([at for at, _ in batch], np.uint32))
            for batch in batches(self._nodes, size)
        ]

    async def read(self, take: Callable[[Columns], None]) -> None:
        """Read every item once; ``take`` gets each answer as it arrives. Raises DriverError."""
        number = 0
        while number < len(self._requests):
            request, handles = self._requests[number]
            try:
                body = await services.read(self._connection, request)
            except Fault as fault:
                if fault.code not in TOO_MUCH or self.size <= 1:
                    raise
                self._compile(self.size // 2)
                number = 0
                continue
            columns = self._decode(body, len(handles))
            columns.handle = handles[columns.handle]
            take(columns)
            number += 1

    def _decode(self, body: bytes, count: int) -> Columns:
        columns = decode.read_response(body, count)
        if columns is not None:
            self._counts.fast += 1
            return columns
        self._counts.general += 1
        return values.read_response(body, count)


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
        self, connection: Connection, facts: ServerFacts, points: Sequence[Point], now: Callable[[], int]
    ) -> None:
        self._connection, self._facts, self._now = connection, facts, now
        self._plans: dict[PointGroup, _Plan] = {}
        self._size = facts.most_read or NODES
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
            self._size = min(self._size, plan.reader.size)
        absent = [(point, plan.faults.refused[at].quality) for at in plan.missing for point in plan.items[at].points]
        return _samples(found, Samples.of(absent, self._now()), plan.faults.errors(group))

    async def _find(self, plan: _Plan) -> None:
        nodes = await resolve(self._connection, self._facts, [item.address for item in plan.items])
        known = [(at, node) for at, node in enumerate(nodes) if not isinstance(node, Refusal)]
        plan.missing = [at for at, node in enumerate(nodes) if isinstance(node, Refusal)]
        for at in plan.missing:
            plan.faults.refuse(at, nodes[at])
        plan.reader = Reader(self._connection, known, self._size, self._counts)
        plan.retry_at = asyncio.get_running_loop().time() + RETRY_S

    def observations(self) -> Mapping[str, Any]:
        """What was learned."""
        bad: dict[str, str] = {}
        for plan in self._plans.values():
            bad |= plan.faults.summary()
        return {
            "items": sum(len(plan.items) for plan in self._plans.values()),
            "bad_items": bad,
            "nodes_per_read": self._size,
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
