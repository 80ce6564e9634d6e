"""What counters counted. Pure but for its state.

A counter that stands lower than before has either rolled over, or was reset, or was corrected
downwards; which of them is decided by :func:`fall`. What it counted is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.digest.columns import heads, shifted
from agent.digest.proposals import proposals
from agent.digest.spec import SharedTag


def fall(old: float, new: float, tops: Sequence[float], *, declared: bool) -> tuple[str, float]:
    """What a fall from ``old`` to ``new`` was, and what was counted meanwhile.

    ``rollover``: from a declared top, when that explains the fall by less than half a turn; from a
    guessed top, when the old value was near it (5 %) and the new one is as near to 0.
    ``decrement``: the new value is more than half of the old (a correction, or the ripple of a
    float32 register): nothing was counted. ``reset``: else; it has counted from 0.
    """
    near = proposals().counter_near
    for top in tops:
        if old > top:
            continue
        turned = top - old + new
        if declared:
            if new >= 0 and turned < top / 2:
                return "rollover", turned
        elif old >= (1 - near) * top and 0 <= new <= near * top:
            return "rollover", turned
    if new > old / 2 and new >= 0:
        return "decrement", 0.0
    return "reset", max(new, 0.0)


class CounterSums:
    """Arrays aligned with the shared tags: ``delta``, ``resets``, ``rollovers``, ``decrements``, ``moved``."""

    def __init__(self, shared: Sequence[SharedTag]) -> None:
        count = len(shared)
        self._shared = shared
        self._value = np.full(count, np.nan)
        self.delta = np.zeros(count)
        self.resets = np.zeros(count, np.int64)
        self.rollovers = np.zeros(count, np.int64)
        self.decrements = np.zeros(count, np.int64)
        self.moved = np.zeros(count, np.bool_)

    def add(self, tag: NDArray[np.intp], value: NDArray[np.float64], inside: NDArray[np.bool_]) -> None:
        """Good finite samples of counters, those of a tag side by side; see :meth:`TagSums.add`.

        A sample from before the period only says from where the period's counting starts. What was
        counted during a gap belongs to the period in which the counter was seen again.
        """
        if not len(tag):
            return
        head = heads(tag)
        old = shifted(value, head, self._value[tag[head]])
        tail = np.append(head[1:], len(tag)) - 1
        self._value[tag[tail]] = value[tail]
        with np.errstate(over="ignore"):  # said as null in the report
            step = np.where(inside & ~np.isnan(old), value - old, 0.0)
        self.moved[tag[step != 0]] = True
        for row in np.flatnonzero(step < 0).tolist():  # rare
            step[row] = self._fall(int(tag[row]), float(old[row]), float(value[row]))
        np.add.at(self.delta, tag, step)

    def _fall(self, tag: int, old: float, new: float) -> float:
        shared = self._shared[tag]
        what, counted = fall(old, new, shared.tops, declared=shared.declared)
        self.resets[tag] += what == "reset"
        self.rollovers[tag] += what == "rollover"
        self.decrements[tag] += what == "decrement"
        return counted
