"""Column arithmetic that several folds share. Pure."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def heads(series: NDArray[np.intp]) -> NDArray[np.intp]:
    """Positions at which another series begins; the rows of a series lie side by side."""
    return np.flatnonzero(np.append(True, series[1:] != series[:-1]))


def shifted(column: NDArray[Scalar], head: NDArray[np.intp], carried: NDArray[Scalar]) -> NDArray[Scalar]:
    """Each row's predecessor in its series; at ``head`` rows, what was carried over."""
    before = np.empty_like(column)
    before[1:] = column[:-1]
    before[head] = carried
    return before
