"""The energy baseline of a machine: E = b0 + b1 · PQ, fitted to days by least squares. Pure.

One closed day of the plant is one point. Days are long enough that the energy and the pieces of one do not spill
into the next, are equally long (but where the clocks change), and each holds its hours without production, so
that b0 is what a day costs without a single piece. Shifts and periods would give more points, but unequal ones,
and ones that depend on their neighbours. A day counts when nearly all of it is known on both sides; a day that
is half known would be a point of half a day.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.config.digest_tables import BaselineRule
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.sums import ENERGY
from agent.digest.rollups import ClosedDay

Point = tuple[float, float]
"""Pieces and kWh of one day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """``b0``: kWh a day. ``b1``: kWh a piece. ``n``: points. ``days``: how many could have been. ``r2``: share of the
    energy's variance that the pieces explain; None where the energy does not vary. ``reason``: why there is none."""

    b0: float | None = None
    b1: float | None = None
    n: int = 0
    days: int = 0
    r2: float | None = None
    reason: str = ""


def baseline(machine: MachineSpec, days: Sequence[ClosedDay], rule: BaselineRule) -> Baseline:
    """The baseline of a machine over closed days of the plant."""
    points = list(_points(machine, days, rule))
    reason = _doubt(points, rule)
    if reason:
        return Baseline(n=len(points), days=len(days), reason=reason)
    b0, b1, r2 = least_squares(points)
    return Baseline(b0=b0, b1=b1, n=len(points), days=len(days), r2=r2)


def _points(machine: MachineSpec, days: Sequence[ClosedDay], rule: BaselineRule) -> Iterator[Point]:
    for day, length in days:
        sums = day.machines.get(machine.name)
        if sums is None or sums.produced is None or not sums.energy_basis or {"produced", ENERGY} & {*sums.unexplained}:
            continue
        sources = [day.devices[name] for name in machine.devices if name in day.devices]
        shares = [(sums.energy_known_us, length), (day.covered_us, length)]
        shares += [(each.good, each.expected) for each in sources]
        known = all(part >= rule.least_coverage * whole for part, whole in shares)
        if known and math.isfinite(sums.produced) and math.isfinite(sums.kwh):
            yield sums.produced, sums.kwh


def _doubt(points: Sequence[Point], rule: BaselineRule) -> str:
    if len(points) < rule.least_points:
        return f"{len(points)} whole days with enough data, {rule.least_points} are needed"
    pieces = [x for x, _ in points]
    most = max(map(abs, pieces))
    if not most or max(pieces) - min(pieces) < rule.least_spread * most:
        return f"the pieces of a day vary by less than {100 * rule.least_spread:g} %"
    return ""


def least_squares(points: Sequence[Point]) -> tuple[float, float, float | None]:
    """b0, b1 and R² of y = b0 + b1 · x; the x must not all be the same.

    Sums are exact and taken about the means, so that no digits are lost where values are large and close together.
    """
    mean_x, from_x = _centred([x for x, _ in points])
    mean_y, from_y = _centred([y for _, y in points])
    xx = math.fsum(x * x for x in from_x)
    yy = math.fsum(y * y for y in from_y)
    xy = math.fsum(x * y for x, y in zip(from_x, from_y, strict=True))
    b1 = xy / xx
    r2 = min(xy / xx * (xy / yy), 1.0) if yy else None
    return mean_y - b1 * mean_x, b1, r2


def _centred(values: Sequence[float]) -> tuple[float, list[float]]:
    """The mean, and the distances from it; their own mean is taken out as well, for the first is rounded."""
    rough = math.fsum(values) / len(values)
    distances = [value - rough for value in values]
    rest = math.fsum(distances) / len(values)
    return rough + rest, [each - rest for each in distances]
