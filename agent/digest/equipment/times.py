"""The time model: elements of ISO 22400-2, stops, failures and repairs, across the borders of periods. Pure.

Time is split at a period's border; an event belongs to the period in which it ends. What is open at the end
of a period is handed to the next one as a :class:`Carry`.

The elements within planned busy time (the assignment of states is our own proposal): APT executing, AUST
setup, ADET standby and fault, ADOT maintenance and off. ``unknown`` is in none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from agent.digest.counters import Path
from agent.digest.equipment.states import EXECUTING, FAULT, MAINTENANCE, OFF, SETUP, STANDBY, UNKNOWN
from agent.digest.equipment.steps import Intervals, Steps

SHORT_GAP_US = 60_000_000
"""A stop or failure goes on over a stretch without data that is no longer than this."""
MICRO_STOP_US = 300_000_000
MOST_STOPS = 200
"""Stops of a period that are listed one by one, for pictures; all are counted."""

_STOPPED = (STANDBY, FAULT)
_WORKING = (EXECUTING, SETUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """What is open when a period ends. Microseconds; ``*_since`` are UTC, 0: nothing is open."""

    stop_since: int = 0
    stop_us: int = 0
    """Planned time of the stop so far."""
    stop_faulty: bool = False
    fault_since: int = 0
    fault_us: int = 0
    worked_us: int = 0
    """Production and setup since the last failure."""
    gap_us: int = 0
    """Without data at the end; the open events go on if it stays short."""
    counters: Mapping[str, float] = field(default_factory=dict)
    """Last good values, as versions before paths kept them; read where a gateway was updated while it did not see."""
    paths: Mapping[str, Path] = field(default_factory=dict)
    """Of each counter, by :attr:`~agent.digest.equipment.spec.Input.key`."""
    still_us: int = 0
    """Executing since the pieces' counter moved."""
    power_state: int = UNKNOWN
    """What power told last, for its hysteresis."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that ended; ``length``: of its planned time."""

    start: int
    end: int
    length: int
    faulty: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeModel:
    """Microseconds and counts of one period. Without a calendar ``pbt`` is None and the elements cover all time."""

    pbt: int | None
    unknown: int
    """Planned time without data."""
    apt: int
    aust: int
    adet: int
    adot: int
    stops: int
    stop_us: int
    micro_stops: int
    micro_us: int
    longest_stop_us: int
    failures: int
    repair_us: int
    between_us: int
    """Sum of the times between failures (production and setup), of the failures that ended."""
    listed: tuple[Stop, ...] = ()


def time_model(
    states: Steps, planned: Intervals | None, carry: Carry, *, micro_stop_us: int = MICRO_STOP_US
) -> tuple[TimeModel, Carry]:
    """``states``: without gaps, from :func:`~agent.digest.equipment.states.states_of`. No ``planned``: no calendar."""
    inside = states if planned is None else states.within(planned)
    held = np.zeros(7, np.int64)
    np.add.at(held, inside.value.astype(np.intp), inside.length)
    events = _Events(carry, micro_stop_us)
    for start, end, state in zip(inside.start.tolist(), inside.end.tolist(), inside.value.tolist(), strict=True):
        events.step(start, end, int(state))
    model = TimeModel(
        pbt=None if planned is None else planned.total,
        unknown=int(held[UNKNOWN]),
        apt=int(held[EXECUTING]),
        aust=int(held[SETUP]),
        adet=int(held[STANDBY] + held[FAULT]),
        adot=int(held[MAINTENANCE] + held[OFF]),
        stops=len(events.stops),
        stop_us=sum(stop.length for stop in events.stops),
        micro_stops=sum(stop.length < micro_stop_us for stop in events.stops),
        micro_us=sum(stop.length for stop in events.stops if stop.length < micro_stop_us),
        longest_stop_us=max((stop.length for stop in events.stops), default=0),
        failures=events.failures,
        repair_us=events.repair_us,
        between_us=events.between_us,
        listed=tuple(sorted(events.stops, key=lambda stop: -stop.length)[:MOST_STOPS]),
    )
    return model, events.carry


class _Events:
    """Walks through the planned states once and closes what ends."""

    def __init__(self, carry: Carry, micro_stop_us: int) -> None:
        self.carry = carry
        self.stops: list[Stop] = []
        self.failures = self.repair_us = self.between_us = 0
        self._micro = micro_stop_us

    def step(self, start: int, end: int, state: int) -> None:
        """One state from ``start`` to ``end``."""
        carry, length = self.carry, end - start
        if state == UNKNOWN:
            gap = carry.gap_us + length
            if gap > SHORT_GAP_US:
                self._end_fault(start)
                self._end_stop(start)
            self.carry = replace(self.carry, gap_us=gap)
            return
        self.carry = replace(self.carry, gap_us=0)
        if state == FAULT:
            carry = self.carry
            self.carry = replace(carry, fault_since=carry.fault_since or start, fault_us=carry.fault_us + length)
        else:
            self._end_fault(start)
        if state in _STOPPED:
            carry = self.carry
            self.carry = replace(
                carry,
                stop_since=carry.stop_since or start,
                stop_us=carry.stop_us + length,
                stop_faulty=carry.stop_faulty or state == FAULT,
            )
        else:
            self._end_stop(start)
        if state in _WORKING:
            self.carry = replace(self.carry, worked_us=self.carry.worked_us + length)

    def _end_fault(self, at: int) -> None:
        carry = self.carry
        if carry.fault_since:
            self.failures += 1
            self.repair_us += carry.fault_us
            self.between_us += carry.worked_us
            self.carry = replace(carry, fault_since=0, fault_us=0, worked_us=0)

    def _end_stop(self, at: int) -> None:
        carry = self.carry
        if carry.stop_since:
            self.stops.append(Stop(carry.stop_since, at, carry.stop_us, carry.stop_faulty))
            self.carry = replace(carry, stop_since=0, stop_us=0, stop_faulty=False)
