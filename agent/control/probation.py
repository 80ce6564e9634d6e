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
"""What delivers has delivered good data within so many of its intervals (or scans, where one takes longer)."""
LEAST_GRACE_S, MOST_GRACE_S = 2.0, 60.0
"""What is silent at the end may prove itself within its patience, at least and at most this: a busy moment of this
gateway is no fault of a machine."""
AHEAD_US = 1_000_000
"""What is stamped further ahead was stamped before the clock was put back: it proves nothing."""
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
    are still configured, and those that are new or changed, must deliver to the end, as each new or changed tag must.
    """
    loop = asyncio.get_running_loop()
    watch = _Watch(plant, new, change, before, began_us)
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, LOOK_S))
        watch.look()
    end += watch.grace_s()
    while watch.silent() or watch.unproven():
        if (left := end - loop.time()) <= 0:
            break
        await asyncio.sleep(min(left, LOOK_S))
        watch.look()
    return _verdict(watch.silent(), watch.unproven(), seconds)


def _verdict(silent: Sequence[DeviceSnapshot], unproven: Sequence[str], seconds: float) -> Refusal | None:
    if silent:
        texts = [f"device {device.name} does not deliver: {_why(device)}" for device in silent]
        more = f"; and {len(texts) - 5} more" if texts[5:] else ""
        states = tuple((device.name, device.state) for device in silent)
        return Refusal("probation_failed", "; ".join(texts[:5]) + more, devices=states)
    if unproven:
        shown = ", ".join(unproven[:5]) + (f" and {len(unproven) - 5} more" if unproven[5:] else "")
        text = f"no good data to the end of {seconds:g} s from {shown}"
        return Refusal("probation_failed", text, tags=tuple((name, "no_data") for name in unproven))
    return None


def _why(device: DeviceSnapshot) -> str:
    return device.last_error or next(iter(device.faults), "no good data")


class _Watch:
    """What was seen of the plant since the switch."""

    def __init__(
        self, plant: Plant, new: Configuration, change: Difference, before: Sequence[str], began_us: int
    ) -> None:
        self._plant = plant
        self._began_us = began_us
        self._intervals = {tag.series: tag.point.interval for device in new.devices for tag in device.tags}
        self._shortest = {
            device.name: min(tag.point.interval for tag in device.tags) for device in new.devices if device.tags
        }
        self._renewed = {*change.added, *change.altered}
        wanted = {*before, *self._renewed}
        self._wanted = {device.name for device in new.devices if device.enabled and device.name in wanted}
        self._tags = tuple(sorted(change.tags))
        self._good_at: dict[str, float] = {}
        """When each changed tag was seen to be good last (seconds of the event loop)."""

    def look(self) -> None:
        """Note which of the changed tags are good now."""
        tags, seen = set(self._tags), asyncio.get_running_loop().time()
        now = self._plant.now()  # before what is looked at, which is then no older than it seems
        scans = {each.name: each.latency_s for each in self._plant.devices()}
        for each in self._plant.latest() if tags else ():
            if each.series not in tags or each.value is None:
                continue
            patience = _patience_us(self._intervals[each.series], scans.get(each.series.partition(".")[0], 0.0))
            if max(self._began(now), now - patience) <= each.time_us <= now + AHEAD_US:
                self._good_at[each.series] = seen

    def _began(self, now: int) -> int:
        # A clock that was put back meanwhile: stamps from before the switch lie in the future then.
        return self._began_us if self._began_us <= now else 0

    def unproven(self) -> list[str]:
        """The changed tags that were never good, or are not any more."""
        since = asyncio.get_running_loop().time() - LEAST_GRACE_S
        return [name for name in self._tags if self._good_at.get(name, float("-inf")) < since]

    def silent(self) -> list[DeviceSnapshot]:
        """The devices that do not deliver, or not any more."""
        now = self._plant.now()
        return [each for each in self._plant.devices() if each.name in self._wanted and not self._delivers(each, now)]

    def grace_s(self) -> float:
        """How long to wait for what is silent or unproven at the end."""
        waits = [self._shortest.get(each.name, 0.0) for each in self.silent()]
        waits += [self._intervals[name] for name in self.unproven()]
        return min(MOST_GRACE_S, max(LEAST_GRACE_S, PATIENCE * max(waits, default=0.0)))

    def _delivers(self, device: DeviceSnapshot, now_us: int) -> bool:
        shortest = self._shortest.get(device.name)
        if shortest is None:  # without tags it has nothing to deliver
            return True
        since = now_us - _patience_us(shortest, device.latency_s)
        if device.name in self._renewed:
            since = max(since, self._began(now_us))
        return device.state in _DELIVERS and device.good > 0 and since <= device.last_good_us <= now_us + AHEAD_US


def _patience_us(interval_s: float, scan_s: float) -> int:
    return int((PATIENCE * max(interval_s, scan_s) + LOOK_S) * 1e6)
