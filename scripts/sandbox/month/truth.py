"""What really happened, summed up by period; reckoned from the history alone, with none of the agent's arithmetic.

The month is cut wherever anything changes; each of the cells has one state, one power, and is planned or not. What
nobody could see (a device that did not answer, a gateway without power) is unknown: neither production nor stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scripts.sandbox.month.happen import EXECUTING, FAULT, MAINTENANCE, OFF, SETUP, STANDBY, Times
from scripts.sandbox.month.machine import Lived, seen
from scripts.sandbox.month.shifts import HOUR, MINUTE, SECOND, Span

UNKNOWN = 6
MICRO_US = 300 * SECOND
FORGIVEN_US = 60 * SECOND
"""A stop goes on over so much that nobody saw."""
QUARTER = 15 * MINUTE
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(eq=False)
class Truth:
    """Of a machine; ``of``: a number a period, by name (microseconds, pieces, kWh, events). ``minutes``: mean kW of
    the minutes in which it did not execute, and ``minute_of``: their periods. ``whole``: whether all of a period was
    seen."""

    name: str
    of: dict[str, Floats] = field(default_factory=dict)
    minutes: Floats = field(default_factory=lambda: np.empty(0))
    minute_of: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    whole: Flags = field(default_factory=lambda: np.empty(0, np.bool_))
    near_edge: Floats = field(default_factory=lambda: np.empty(0))
    """Pieces so near to the begin of each period, and to the end of the last one, that a scan decides."""
    near: int = 0
    """Stops whose length is so near to the five minutes that a scan decides."""
    border_falls: set[int] = field(default_factory=set)
    """Periods at whose very end a counter fell: a scan decides whether it is seen in them or in the next."""
    slivers: int = 0
    """Changes so near to the begin or end of planned time that a scan decides on which side of it they are."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Stretches in which nothing changes; ``state``: :data:`UNKNOWN` where nobody saw it."""

    start: Times
    length: Times
    state: NDArray[np.intp]
    kwh: Floats
    planned: Flags
    metered: Flags
    period: NDArray[np.intp]


def truth_of(lived: Lived, edges: Times) -> Truth:
    """``edges``: where periods begin, and the end of the last one."""
    own, meter = (each.up(int(edges[0]), int(edges[-1])) for each in (lived.devices[0], lived.meter))
    cells = _cells(lived, edges, own, meter)
    truth = Truth(lived.machine.name)
    truth.whole = _by(cells, (cells.state == UNKNOWN) | ~cells.metered) == 0
    _times(truth, cells)
    _events(truth, cells, edges, lived)
    _pieces(truth, lived, edges, own)
    _energy(truth, cells, lived, edges, meter)
    truth.of["falls"] = np.zeros(len(edges) - 1)
    for device, at in lived.falls:
        later = [begin for begin, _ in device.up(int(edges[0]), int(edges[-1])) if begin > at]
        told = at if _inside(device.up(int(edges[0]), int(edges[-1])), np.array([at]))[0] else later[0]
        period = int(np.searchsorted(edges, told, side="right")) - 1
        truth.of["falls"][period] += 1
        if edges[period + 1] - told <= device.interval_us + SECOND:
            truth.border_falls.add(period)
    return truth


def _cells(lived: Lived, edges: Times, own: Sequence[Span], meter: Sequence[Span]) -> Cells:
    history = lived.history
    begins = np.array([start for start, _, _ in history.states], np.int64)
    some = [begins, history.power_at, edges, np.arange(edges[0], edges[-1], MINUTE)]
    some += [np.array(spans, np.int64).reshape(-1) for spans in (lived.planned, own, meter)]
    cuts = np.unique(np.concatenate(some))
    start = cuts[:-1]
    state = np.array([state for _, _, state in history.states])[np.searchsorted(begins, start, side="right") - 1]
    power = history.power[np.searchsorted(history.power_at, start, side="right") - 1]
    return Cells(
        start=start,
        length=np.diff(cuts),
        state=np.where(_inside(own, start), state, UNKNOWN),
        kwh=power * np.diff(cuts) / HOUR,
        planned=_inside(lived.planned, start),
        metered=_inside(meter, start),
        period=np.searchsorted(edges, start, side="right") - 1,
    )


def _inside(spans: Sequence[Span], time: Times) -> Flags:
    begins, ends = (np.array(each, np.int64) for each in zip(*spans, strict=True))
    place = np.searchsorted(begins, time, side="right") - 1
    result: Flags = (place >= 0) & (time < ends[np.maximum(place, 0)])
    return result


def _by(cells: Cells, mask: Flags, weight: NDArray[np.generic] | None = None) -> Floats:
    weight = cells.length if weight is None else weight
    return np.bincount(cells.period[mask], weight[mask], int(cells.period[-1]) + 1).astype(np.float64)


def _times(truth: Truth, cells: Cells) -> None:
    everything = np.ones(len(cells.start), np.bool_)
    truth.of["span"] = _by(cells, everything)
    for code in range(UNKNOWN + 1):
        truth.of[f"state{code}"] = _by(cells, cells.state == code)
    for name, codes in {
        "apt": (EXECUTING,), "aust": (SETUP,), "adet": (STANDBY, FAULT), "adot": (MAINTENANCE, OFF),
        "unknown": (UNKNOWN,), "planned": range(UNKNOWN + 1),
    }.items():  # fmt: skip
        truth.of[name] = _by(cells, cells.planned & np.isin(cells.state, tuple(codes)))


def _events(truth: Truth, cells: Cells, edges: Times, lived: Lived) -> None:
    names = ("stops", "stop_us", "micro", "micro_us", "failures", "repair", "between")
    truth.of |= {name: np.zeros(len(edges) - 1) for name in names}

    def add(at: int, **some: float) -> None:
        period = min(int(np.searchsorted(edges, at, side="right")) - 1, len(edges) - 2)
        for name, value in some.items():
            truth.of[name][period] += value

    runs = list(_runs(cells))
    doubt = 2 * lived.devices[0].interval_us
    borders = np.array(lived.planned, np.int64).reshape(-1)
    changes = np.array([start for start, _, _ in lived.history.states], np.int64)
    truth.slivers = int((np.abs(borders[:, None] - changes[None, :]).min(axis=1) <= doubt // 2).sum())
    for at, length in _ended(runs, (STANDBY, FAULT)):
        small = length < MICRO_US
        truth.near += abs(length - MICRO_US) <= doubt
        add(at, stops=1, stop_us=length, micro=small, micro_us=length * small)
    failures = list(_ended(runs, (FAULT,)))
    worked_until = 0
    for at, length in failures:
        worked = sum(each for start, state, each in runs if worked_until <= start < at and state in (EXECUTING, SETUP))
        worked_until = at
        add(at, failures=1, repair=length, between=worked)


def _runs(cells: Cells) -> Iterator[tuple[int, int, int]]:
    """Planned time as (start, state, length); what nobody saw is left out where it was short."""
    mine = cells.planned
    start, state, length = cells.start[mine], cells.state[mine], cells.length[mine]
    head = np.flatnonzero(np.append(True, state[1:] != state[:-1]))
    total = np.add.reduceat(length, head)
    for at, code, each in zip(start[head].tolist(), state[head].tolist(), total.tolist(), strict=True):
        if code != UNKNOWN or each > FORGIVEN_US:
            yield at, code, each


def _ended(runs: Sequence[tuple[int, int, int]], states: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """When a stretch in these states was over, and its length; one that still goes on is none."""
    length = 0
    for at, state, each in runs:
        if state in states:
            length += each
        elif length:
            yield at, length
            length = 0


def _pieces(truth: Truth, lived: Lived, edges: Times, own: Sequence[Span]) -> None:
    history = lived.history
    watched = _inside(own, history.pieces)
    plan = _inside(lived.planned, history.pieces)
    kinds = {"produced": np.ones(len(watched), np.bool_), "good": history.good}
    if lived.machine.rework:
        kinds |= {"rework": history.rework, "scrap": ~history.good & ~history.rework}
    for name, mask in kinds.items():
        made = history.pieces[mask]
        if lived.machine.counting == "counter":  # it counts on while nobody looks, and tells later
            truth.of[name] = np.diff(np.searchsorted(made, seen(own, edges.tolist()))).astype(np.float64)
        else:
            truth.of[name] = np.histogram(history.pieces[mask & watched], edges)[0].astype(np.float64)
    # A piece that is made within a scan of a period's end is of either side.
    near = np.abs(edges[:, None] - history.pieces[_nearest(history.pieces, edges)])
    truth.near_edge = (near <= lived.devices[0].interval_us + SECOND).sum(axis=1).astype(np.float64)
    border = history.pieces[_nearest(history.pieces, np.array(lived.planned, np.int64).reshape(-1))]
    unsure = np.abs(border - np.array(lived.planned, np.int64).reshape(-1, 1)) <= lived.devices[0].interval_us + SECOND
    truth.of["border_pieces"] = np.histogram(border[unsure], edges)[0].astype(np.float64)
    truth.of["in_plan"] = np.histogram(history.pieces[watched & plan], edges)[0].astype(np.float64)


def _nearest(pieces: Times, edges: Times) -> NDArray[np.intp]:
    """Positions of the pieces around each edge, a row each."""
    place = np.searchsorted(pieces, edges)[:, None] + np.arange(-1, 1)
    result: NDArray[np.intp] = np.clip(place, 0, len(pieces) - 1)
    return result


def _energy(truth: Truth, cells: Cells, lived: Lived, edges: Times, meter: Sequence[Span]) -> None:
    known, watched = cells.metered, cells.state != UNKNOWN
    of = truth.of
    of["metered"] = _by(cells, known)
    of["metered_kwh"] = _by(cells, known, cells.kwh)
    counted = lived.machine.counted_energy
    of["kwh"] = np.diff(lived.history.kwh(seen(meter, edges.tolist()))) if counted else of["metered_kwh"]
    of["joined_kwh"] = _by(cells, known & watched, cells.kwh)
    of["idle_kwh"] = _by(cells, known & watched & ~np.isin(cells.state, (EXECUTING, OFF)), cells.kwh)
    running = known & (cells.state == EXECUTING)
    of["running"], of["running_kwh"] = _by(cells, running), _by(cells, running, cells.kwh)
    of["demand_kw"] = demand(edges, *_means(cells, known, QUARTER))
    minute, mean = _means(cells, known & watched & (cells.state != EXECUTING), MINUTE)
    truth.minutes, truth.minute_of = mean, np.searchsorted(edges, minute, side="right") - 1


def _means(cells: Cells, mask: Flags, width: int) -> tuple[Times, Floats]:
    """Start and mean kW of the stretches of ``width`` of which at least half is in the mask."""
    place = cells.start[mask] // width
    first = int(place[0]) if len(place) else 0
    held = np.bincount(place - first, cells.length[mask])
    used = np.bincount(place - first, cells.kwh[mask])
    enough = held >= width / 2
    return (np.flatnonzero(enough) + first) * width, used[enough] * HOUR / held[enough]


def demand(edges: Times, quarter: Times, mean: Floats) -> Floats:
    """The highest mean of a quarter of an hour in each period; 0 where there is none."""
    highest = np.zeros(len(edges) - 1)
    np.maximum.at(highest, np.searchsorted(edges, quarter, side="right") - 1, mean)
    return highest
