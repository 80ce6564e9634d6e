"""From a machine's tags to its states. Pure.

The states are the agent's own words; ``unknown`` is every moment without good data, or with a value that
nobody has given a meaning. A state is an index into :data:`STATES`, so that it can be a step's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

import numpy as np

from agent.digest.equipment.steps import Intervals, Steps, together
from agent.digest.windows import Period

STATES = ("executing", "standby", "setup", "maintenance", "fault", "off", "unknown")
EXECUTING, STANDBY, SETUP, MAINTENANCE, FAULT, OFF, UNKNOWN = range(len(STATES))

BIT_ORDER = ("fault", "maintenance", "setup", "executing", "standby", "off")
"""Of several bits that are set the first of these counts: a machine that runs with a fault is not running."""


@dataclass(frozen=True, slots=True)
class PowerLimits:
    """A state told from power: above ``executing`` kW it executes, above ``standby`` kW it stands by, else it is off.

    ``hysteresis``: share by which a limit must be passed on the way back before the state changes.
    """

    executing: float
    standby: float
    hysteresis: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRule:
    """How a machine's state is told; one of the three is used.

    ``meaning``: value of a state word → state; of text, its :func:`code_of`. ``bits``: state → the bit's tag.
    ``power``: limits.
    """

    meaning: Mapping[float, int] = field(default_factory=dict)
    bits: tuple[int, ...] = ()
    """The states of the bits, in the order in which their step functions are given."""
    power: PowerLimits | None = None


@lru_cache(maxsize=4096)
def code_of(word: str) -> float:
    """The number that stands for a word where a state is told in text; the same for every machine."""
    return float(int.from_bytes(sha256(word.strip().encode()).digest()[:6]))


def states_of(rule: StateRule, inputs: list[Steps], period: Period, before: int = UNKNOWN) -> Steps:
    """The machine's state over the whole period, without a gap; ``inputs``: the word, the bits, or the power in kW.

    ``before``: what power told last before the period, for its hysteresis.
    """
    if rule.power is not None:
        told = _from_power(inputs[0].clipped(period.start, period.end), rule.power, before)
    elif rule.bits:
        told = _from_bits(inputs, rule.bits)
    else:
        told = _from_word(inputs[0], rule.meaning)
    return _whole(told.clipped(period.start, period.end), period)


def _from_word(word: Steps, meaning: Mapping[float, int]) -> Steps:
    values, place = np.unique(word.value, return_inverse=True)
    known = np.array([meaning.get(float(value), UNKNOWN) for value in values], np.float64)
    return Steps(word.start, word.end, known[place])


def _from_bits(bits: list[Steps], states: tuple[int, ...]) -> Steps:
    start, end, values = together(*bits)
    state = np.full(len(start), float(OFF))
    ranked = sorted(zip(states, values, strict=True), key=lambda each: -BIT_ORDER.index(STATES[each[0]]))
    for code, value in ranked:  # the most important last
        state[value != 0] = code  # NaN is set, too, but is taken back below
    for value in values:
        state[np.isnan(value)] = UNKNOWN
    return Steps(start, end, state)


def _from_power(power: Steps, limits: PowerLimits, now: int) -> Steps:
    back = 1 - limits.hysteresis
    state = np.empty(len(power))
    for row, kilowatts in enumerate(power.value.tolist()):
        run = limits.executing * (back if now == EXECUTING else 1)
        stand = limits.standby * (back if now in (EXECUTING, STANDBY) else 1)
        now = EXECUTING if kilowatts >= run else STANDBY if kilowatts >= stand else OFF
        state[row] = now
    return Steps(power.start, power.end, state)


def last_told(states: Steps, before: int) -> int:
    """The last state that is known; ``before`` where none is."""
    known = states.value[states.value != UNKNOWN]
    return int(known[-1]) if len(known) else before


def _whole(told: Steps, period: Period) -> Steps:
    gaps = Intervals.of([(period.start, period.end)]).without(told.known)
    start = np.concatenate((told.start, gaps.start))
    order = np.argsort(start, kind="stable")
    end = np.concatenate((told.end, gaps.end))[order]
    value = np.concatenate((told.value, np.full(len(gaps), float(UNKNOWN))))[order]
    return Steps(start[order], end, value).merged()


def seconds_by_state(states: Steps) -> dict[str, int]:
    """Microseconds per state; their sum is the whole length."""
    held = np.zeros(len(STATES), np.int64)
    np.add.at(held, states.value.astype(np.intp), states.length)
    return dict(zip(STATES, held.tolist(), strict=True))
