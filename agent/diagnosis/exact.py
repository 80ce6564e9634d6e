"""States to the moment, and single stops, from the readings as long as those are kept.

What a digest has said is the evidence. Readings are shown in its place only where they say the same: a machine
whose configuration was changed meanwhile is left to its digests.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec
import numpy as np

from agent.buffer.batch import Batch
from agent.config.model import Configuration
from agent.diagnosis.cells import Cells
from agent.digest.accumulate import Accumulator, Observations
from agent.digest.equipment.machine import measure
from agent.digest.equipment.states import STATES
from agent.digest.equipment.steps import Steps
from agent.digest.equipment.times import Carry
from agent.digest.spec import DigestSpec, compile_spec
from agent.digest.windows import DAY, SECOND, Period

LONGEST_US = 8 * DAY
"""Beyond this a page shows shares of time, and reading back would take a gateway too long."""
AT_ONCE_US = DAY // 4
"""Readings of so much time are in memory at once."""
TOLERANCE = 0.01
"""Share of a stretch by which readings and digest may differ, as scans fall at the borders of periods."""
MOST_STOPS = 15


class BlockStore(Protocol):
    """What is asked of :class:`agent.buffer.store.Store`."""

    def blocks(self, start: int, end: int) -> AsyncIterator[Batch]: ...
    async def series_names(self) -> dict[int, str]: ...
    async def groups(self) -> dict[int, tuple[str, int]]: ...
    async def span(self) -> tuple[int, int] | None: ...


@dataclass(frozen=True, slots=True, order=True)
class ListedStop:
    """A stop that ended in the span; ``length_us``: of its planned time."""

    length_us: int
    machine: str
    start: int
    end: int
    faulty: bool


@dataclass(slots=True)
class Detail:
    """``segments``: states by machine, in stretches that touch or leave gaps. ``stops``: the longest."""

    segments: dict[str, Steps] = field(default_factory=dict)
    stops: tuple[ListedStop, ...] = ()


async def detail(
    store: BlockStore,
    configuration: Configuration,
    cells: Cells,
    carries: Mapping[str, Carry],
    tell: Callable[[str], None],
) -> Detail:
    """``carries``: what was open when the first cell began. Nothing where the span is too long or readings are gone."""
    span = await store.span()
    if span is None or not len(cells) or int(cells.end[-1] - cells.start[0]) > LONGEST_US:
        return Detail()
    series = {name: number for number, name in (await store.series_names()).items()}
    groups = {key: number for number, key in (await store.groups()).items()}
    spec = compile_spec(_states_only(configuration), series, groups)
    found: dict[str, list[Steps]] = {}
    stops: list[ListedStop] = []
    carry, until = dict(carries), int(cells.start[0])
    for first, last in stretches(cells):
        period = Period(int(cells.start[first]), int(cells.end[last]))
        if not spec.machines or period.end <= span[0]:
            continue
        if period.start != until:
            carry = {}  # as for a digest: nothing is open after a gap
        until = period.end
        done = (period.start - int(cells.start[0])) / int(cells.end[-1] - cells.start[0])
        tell(f"reading back states … {100 * done:.0f} %")
        seen = await _observed(store, spec, period)
        for machine in spec.machines:
            told = measure(machine, seen.tracks, period, carry.get(machine.name, Carry()))
            carry[machine.name] = told.carry
            if machine.name in cells.machines and _agree(told.states, cells, machine.name, first, last):
                found.setdefault(machine.name, []).append(told.states)
                listed = [ListedStop(each.length, machine.name, each.start, each.end, each.faulty)
                          for each in told.stops]  # fmt: skip
                stops = heapq.nlargest(MOST_STOPS, [*stops, *listed])
    return Detail({name: _joined(parts) for name, parts in found.items()}, tuple(stops))


async def _observed(store: BlockStore, spec: DigestSpec, period: Period) -> Observations:
    accumulator = Accumulator(spec, period)
    async for batch in store.blocks(period.start - spec.lookback_us, period.end):
        await asyncio.to_thread(accumulator.add, batch)
    return accumulator.result()


def stretches(cells: Cells) -> Iterator[tuple[int, int]]:
    """(first, last) cells that touch and are :data:`AT_ONCE_US` long at most, or a single longer one."""
    first = 0
    for at in range(1, len(cells) + 1):
        ends = at == len(cells) or cells.start[at] != cells.end[at - 1]
        if ends or cells.end[at] - cells.start[first] > AT_ONCE_US:
            yield first, at - 1
            first = at


def _states_only(configuration: Configuration) -> Configuration:
    """The machines with nothing but their states and calendars, and no tags but those."""
    sections = [
        msgspec.structs.replace(
            each, produced="", produced_by_state="", good="", scrap="", rework="", power="", energy=""
        )
        for each in configuration.file.equipment
    ]
    needed = {
        name
        for each in sections
        if each.state
        for name in (each.state.tag, each.state.power, *each.state.bits.values())
    }
    devices = [
        replace(device, tags=tuple(tag for tag in device.tags if tag.series in needed))
        for device in configuration.devices
    ]
    file = msgspec.structs.replace(configuration.file, equipment=tuple(sections))
    return replace(configuration, file=file, devices=tuple(device for device in devices if device.tags))


def _agree(told: Steps, cells: Cells, name: str, first: int, last: int) -> bool:
    said = cells.machines[name].states[first : last + 1].sum(axis=0)
    held = np.zeros(len(STATES))
    np.add.at(held, told.value.astype(np.intp), told.length)
    allowed = max(TOLERANCE * float(held.sum()), SECOND)
    return bool(np.abs(said - held).max() <= allowed)


def _joined(parts: list[Steps]) -> Steps:
    whole = Steps(*(np.concatenate([getattr(each, name) for each in parts]) for name in ("start", "end", "value")))
    return whole.merged()
