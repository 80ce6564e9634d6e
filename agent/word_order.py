"""Numbers that no machine has, and what other byte orders would make of the same registers.

A wrong word order reads well and means nothing: 230.1 V becomes 2.2e-33 V. Only who commissions a device can tell, so
the other readings are put side by side, asked from the device by its own driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent.config.model import Device, Tag
from drivers.contract import Point, Samples
from drivers.quality import Quality, level

SMALLEST, LARGEST = 1e-20, 1e12
"""Beyond these, in engineering units, a number is absurd; 0 is none."""
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
MOST = 200
"""Points that are read again."""


def is_absurd(value: float) -> bool:
    """Whether no quantity of a plant is like that: not finite, vanishing, or beyond all measure."""
    return not np.isfinite(value) or (value != 0 and not SMALLEST <= abs(value) <= LARGEST)


def doubtful(device: Device, samples: Samples) -> list[Tag]:
    """Tags whose number is absurd, or that say 'no value' where another order may have one."""
    found = []
    last = dict(zip(samples.index.tolist(), range(len(samples)), strict=True))
    for index, row in last.items():
        code = int(samples.quality[row])
        is_number = level(code) != "bad" and row not in samples.text
        if (is_number and is_absurd(float(samples.value[row]))) or code == Quality.INVALID:
            found.append(device.tags[index])
    return [tag for tag in found if tag.point.type.startswith(("float", "int", "uint"))][:MOST]


def in_other_orders(device: Device, tags: Sequence[Tag]) -> tuple[Point, ...]:
    """The same points in each other order, as far as the driver knows orders; numbered anew."""
    points: list[Point] = []
    for tag in tags:
        for order in ORDERS:
            if order != tag.point.order:
                points.append(replace(tag.point, order=order, index=len(points)))
    faulty = {problem.point for problem in device.type.check(device.options, points)}
    known = [point for point in points if point.index not in faulty]
    return tuple(replace(point, index=at) for at, point in enumerate(known))


def sensible(points: Sequence[Point], samples: Samples) -> Mapping[str, Mapping[str, float]]:
    """Tag → order → number, of those readings that are not absurd."""
    found: dict[str, dict[str, float]] = {}
    for row, index in enumerate(samples.index.tolist()):
        point, value = points[index], float(samples.value[row])
        if level(int(samples.quality[row])) != "bad" and not is_absurd(value):
            found.setdefault(point.name, {})[point.order] = value
    return found


def show_orders(values: Mapping[str, float]) -> str:
    """``CDAB 230.1, DCBA 4.1e+08``: the likeliest first, for nothing tells but the machine's display."""
    ranked: Iterable[tuple[str, float]] = sorted(values.items(), key=lambda each: abs(np.log10(abs(each[1]) or 1.0)))
    return ", ".join(f"{order} {value:.6g}" for order, value in ranked)
