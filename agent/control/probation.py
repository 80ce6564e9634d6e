"""Proof by data: a configuration stays in force only if, at the end of its probation, everything delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from agent.config.difference import Difference
from agent.config.model import Configuration
from agent.control.reasons import Refusal
from agent.snapshot import LatestValue
from agent.supervisor import DeviceSnapshot

LOOK_S = 0.25
"""Between two looks at what the changed tags deliver."""
PATIENCE = 2.5
"""A device still delivers when its last good sample is no older than so many of its intervals."""
_DELIVERS = ("running", "degraded")


class Plant(Protocol):
    """What is watched."""

    def devices(self) -> list[DeviceSnapshot]: ...
    def latest(self) -> Iterable[LatestValue]: ...
    def now(self) -> int: ...


def delivering(plant: Plant) -> list[str]:
    """The devices that deliver good data at the moment."""
    return [each.name for each in plant.devices() if each.state in _DELIVERS and each.good]


async def probation(
    plant: Plant, new: Configuration, change: Difference, before: Sequence[str], *, began_us: int, seconds: float
) -> Refusal | None:
    """Watch for ``seconds``; what failed to prove itself, or None.

    ``began_us``: when the switch began. ``before``: the devices that delivered before it. Those of them that
    are still configured must deliver to the end, and each new or changed tag must have delivered good data once.
    """
    unproven = set(change.tags)
    wanted = [device.name for device in new.devices if device.enabled and device.name in {*before, *change.added}]
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(min(left, LOOK_S))
        unproven -= _good(plant, unproven, began_us)
    silent = _silent(plant, new, change, wanted, began_us)
    if silent:
        more = f"; and {len(silent) - 5} more" if silent[5:] else ""
        return Refusal("probation_failed", "; ".join(silent[:5]) + more)
    if unproven:
        shown = ", ".join(sorted(unproven)[:5]) + (f" and {len(unproven) - 5} more" if len(unproven) > 5 else "")
        return Refusal("probation_failed", f"no good data within {seconds:g} s from {shown}")
    return None


def _good(plant: Plant, wanted: set[str], since_us: int) -> set[str]:
    if not wanted:
        return set()
    return {
        each.series
        for each in plant.latest()
        if each.series in wanted and each.value is not None and each.time_us >= since_us
    }


def _silent(plant: Plant, new: Configuration, change: Difference, wanted: Sequence[str], began: int) -> list[str]:
    intervals = {device.name: min((tag.point.interval for tag in device.tags), default=1.0) for device in new.devices}
    renewed = {*change.added, *change.altered}
    now = plant.now()
    found = []
    for device in plant.devices():
        if device.name not in wanted or not intervals.get(device.name):
            continue
        allowed = max(int(PATIENCE * intervals[device.name] * 1e6), now - began)
        since = began if device.name in renewed else now - allowed
        if device.state not in _DELIVERS or device.last_good_us < since:
            why = device.last_error or next(iter(device.faults), "no good data")
            found.append(f"device {device.name} does not deliver: {why}")
    return found
