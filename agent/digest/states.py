"""Seconds per value of state tags. Pure but for its state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_VALUES = 64
"""Values of one tag that are told apart, in the order of their appearance; the rest is 'other'."""

OTHER = None


class StateSeconds:
    """Per shared tag: value → microseconds; key None: every value beyond :data:`MOST_VALUES`."""

    def __init__(self, count: int) -> None:
        self._held: dict[int, dict[float | None, int]] = {}

    def add(self, tag: NDArray[np.intp], value: NDArray[np.float64], weight: NDArray[np.int64]) -> None:
        """Stretches: ``value`` was held for ``weight`` microseconds."""
        order = np.lexsort((value, tag))
        tags, values = tag[order], value[order]
        head = np.flatnonzero(np.append(True, (tags[1:] != tags[:-1]) | (values[1:] != values[:-1])))
        weights = np.add.reduceat(weight[order], head)
        appeared = np.minimum.reduceat(order, head)
        # A Python step a distinct value and batch, not a sample; in the order of appearance, because
        # the first ones are told apart.
        for position in np.argsort(appeared).tolist():
            held = self._held.setdefault(int(tags[head[position]]), {})
            key: float | None = float(values[head[position]]) + 0.0  # no -0.0
            if key not in held and len(held) >= MOST_VALUES:
                key = OTHER
            held[key] = held.get(key, 0) + int(weights[position])

    def of(self, tag: int) -> dict[float | None, int]:
        """Value → microseconds."""
        return self._held.get(tag, {})
