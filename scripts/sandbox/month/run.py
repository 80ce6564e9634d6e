"""Has the agent's own store and digest service make the digests of a month."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.buffer.records import Event
from agent.buffer.store import Store
from agent.config.model import Configuration
from agent.config.parse import load
from agent.digest.service import DigestService
from scripts.sandbox.month.plant import Plant
from scripts.sandbox.month.shifts import MINUTE, SECOND, Span
from scripts.sandbox.month.tape import ANSWER_US, TIMEOUT_US, Device, record, together

FULL_EVERY_US = 15 * MINUTE
GRACE_US = 10 * SECOND
"""After a period's end: the flush, the margin, and something more."""


@dataclass
class MonthClock:
    """Stands where it was set; the system's clock may be off."""

    time: int
    offset_us: int = 0
    trusted: bool = True
    source: str = "ntp"

    def now(self) -> int:
        return self.time


class Unsigned:
    """Signs with a word: the arithmetic is what is looked at."""

    gateway_id = "gw-month"

    def sign_detached(self, payload: bytes) -> str:
        return f"unsigned..{len(payload)}"

    def persona(self, audience: str) -> Unsigned:
        """The same for every audience; this plant has none but its platform."""
        return self


@dataclass
class Made:
    """What the agent made. ``digests``: by kind, decoded, in the order of the chain."""

    configuration: Configuration
    store: Store
    digests: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


async def run(plant: Plant, folder: Path, progress: Callable[[str], None] = lambda text: None) -> Made:
    """Record the month day by day and have each day's digests made. The store is left open."""
    path = folder / "config.toml"
    path.write_text(plant.configuration(), encoding="utf-8")
    configuration = load(path)
    clock = MonthClock(plant.start)
    store = await Store.open(folder / "buffer.db", now=clock.now)
    service = DigestService(store, configuration, clock, Unsigned())
    made = Made(configuration, store)
    ids = {each.name: await store.series_ids([f"{each.name}.{tag}" for tag in each.wires]) for each in plant.devices}
    groups = {each.name: await store.group_id(each.name, each.interval_us) for each in plant.devices}
    ups = {each.name: each.up(plant.start, plant.end) for each in plant.devices}
    events = _events(plant)
    flush = plant.period_min * MINUTE
    for day in range(plant.month.days):
        begin, end = plant.month.at(day), plant.month.at(day + 1)
        for time in range(begin, end, flush):
            span = time, time + flush
            parts = [
                record(each, ids[each.name].tolist(), groups[each.name], span, ups[each.name], FULL_EVERY_US)
                for each in plant.devices
            ]
            await store.append(together(parts))
        while events and events[0].time < end + GRACE_US:
            await store.add_event(events.pop(0))
        for stop in _stops(plant, begin, end):
            clock.time, clock.offset_us = stop + GRACE_US, _offset(plant, stop - 1)
            await service.build_due()
        progress(f"{day + 1} of {plant.month.days} days")
    for each in sorted(await store.digests(100_000), key=lambda one: one.seq):
        made.digests.setdefault(each.kind, []).append(json.loads(each.body))
    return made


def _stops(plant: Plant, begin: int, end: int) -> Iterator[int]:
    """When digests are made: at the day's end, and before and after each change of what a period says of the clock."""
    length = plant.period_min * MINUTE
    changes = {edge - edge % length for outage, _ in plant.clock for edge in plant.month.span(outage)}
    yield from sorted(each for each in changes if begin < each < end)
    yield end


def _offset(plant: Plant, time: int) -> int:
    return round(next((off for outage, off in plant.clock if _inside(plant.month.span(outage), time)), 0.0) * SECOND)


def _inside(span: Span, time: int) -> bool:
    return span[0] <= time < span[1]


def _events(plant: Plant) -> list[Event]:
    """What the agent notes of itself and of its devices; a power cut leaves no stop behind."""
    events = [Event(plant.start, "start")]
    for span in (plant.month.span(each) for each in plant.restarts):
        events += [Event(span[0], "stop"), Event(span[1], "start")]
    events += [Event(plant.month.span(each)[1], "start") for each in plant.power_cuts]
    for device in plant.devices:
        events += _links(device)
    return sorted(events, key=lambda each: each.time)


def _links(device: Device) -> Iterator[Event]:
    for start, end in device.dark:
        yield Event(start + TIMEOUT_US, "disconnect", device.name)
        yield Event(end + ANSWER_US, "connect", device.name)
