"""What PLCs and meters show of a history: registers as functions of time. Knows nothing of the agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.sandbox.month.happen import History, Times
from scripts.sandbox.month.shifts import MINUTE, SECOND

Floats = NDArray[np.float64]
Wire = Callable[[Times], Floats]
"""Engineering values at ascending times (UTC microseconds)."""


def word(history: History, values: Mapping[int, int]) -> Wire:
    """A state word; ``values``: by state."""
    since = np.array([start for start, _, _ in history.states], np.int64)
    shown = np.array([float(values[state]) for _, _, state in history.states])
    return lambda time: shown[np.searchsorted(since, time, side="right") - 1]


def bit(history: History, state: int) -> Wire:
    """1 in one state."""
    since = np.array([start for start, _, _ in history.states], np.int64)
    shown = np.array([float(each == state) for _, _, each in history.states])
    return lambda time: shown[np.searchsorted(since, time, side="right") - 1]


def gauge(history: History) -> Wire:
    """Power in kW."""
    return lambda time: history.power[np.searchsorted(history.power_at, time, side="right") - 1]


def pulse(events: Times, width: int) -> Wire:
    """1 for ``width`` microseconds from each event on."""

    def shown(time: Times) -> Floats:
        place = np.searchsorted(events, time, side="right") - 1
        return ((place >= 0) & (time - events[np.maximum(place, 0)] < width)).astype(np.float64)

    return shown


@dataclass(frozen=True, slots=True)
class Counting:
    """``first``: the register at the start of the month. ``top``: where it starts again from 0; 0: nowhere.
    ``restarts``: when its PLC loses it. ``misread``: when it counts three too many; ten minutes later it is
    corrected by as many."""

    first: int = 0
    top: int = 0
    restarts: Sequence[int] = ()
    misread: Sequence[int] = ()


CORRECTED_AFTER = 600_000_000
TOO_MANY = 3


def counter(events: Times, how: Counting) -> Wire:
    """Counts events."""

    def shown(time: Times) -> Floats:
        counted = np.searchsorted(events, time, side="right").astype(np.int64) + how.first
        for at in how.misread:
            counted += TOO_MANY * ((time >= at) & (time < at + CORRECTED_AFTER))
        for at in how.restarts:
            before = int(np.searchsorted(events, at, side="right")) + how.first
            counted = np.where(time >= at, counted - before, counted)
        return (counted % how.top if how.top else counted).astype(np.float64)

    return shown


def energy(used: Callable[[Times], Floats], digit: float, how: Counting) -> Wire:
    """A meter's kWh; ``used``: since the start, ``digit``: kWh of its last digit, ``how`` in such digits."""

    def shown(time: Times) -> Floats:
        digits: NDArray[np.int64] = np.floor(used(time) / digit + 1e-9).astype(np.int64) + how.first
        return (digits % how.top if how.top else digits).astype(np.float64) * digit

    return shown


def falls(wire: Wire, start: int, end: int) -> list[int]:
    """When what a wire shows becomes less, to the second."""
    found = []
    minute = np.arange(start, end + MINUTE, MINUTE, dtype=np.int64)
    for at in minute[:-1][np.diff(wire(minute)) < 0].tolist():
        second = np.arange(at, at + MINUTE + SECOND, SECOND, dtype=np.int64)
        found += second[1:][np.diff(wire(second)) < 0].tolist()
    return found
