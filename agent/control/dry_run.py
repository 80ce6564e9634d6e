"""The dry run: read every changed tag once from the device that shall have it, before anything is switched.

The devices in force go on meanwhile. A trial joins the connections that they share (a serial bus, a PLC
that takes one client only), so it neither needs a second one nor disturbs them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config.difference import changed_tags
from agent.config.model import Configuration, Device, Tag
from agent.core.bounded import TookTooLong
from agent.driving import create_driver, read_once
from agent.snapshot import LatestValue
from drivers.contract import DriverError, PointGroup, Samples
from drivers.quality import cause, level

log = logging.getLogger(__name__)

BOUND_S = 30.0
"""One device's trial takes no longer."""
WHOLE_S = 150.0
"""Nor do all of them together."""
AT_ONCE = 32
"""Devices that are tried at the same time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one changed tag gave. ``before`` and ``now`` are for people of the plant, as ``fault`` is, which is empty
    when it is good; ``cause`` is the fault in one word."""

    tag: str
    before: str
    now: str
    fault: str = ""
    cause: str = ""

    def line(self) -> str:
        """Old and new side by side."""
        return f"{self.tag}: {self.before} → {self.now}" + (f" ({self.fault})" if self.fault else "")


async def dry_run(
    old: Configuration,
    new: Configuration,
    latest: Mapping[str, LatestValue],
    *,
    now: Callable[[], int],
    shared: MutableMapping[Hashable, Any],
) -> list[Finding]:
    """One finding for each tag of ``new`` that is new or read differently; ``latest``: last values by full name."""
    before = {device.name: device for device in old.devices}
    changed = [(device, set(changed_tags(before.get(device.name), device))) for device in new.devices]
    turns, clock = asyncio.Semaphore(AT_ONCE), asyncio.get_running_loop().time
    end, folder = clock() + WHOLE_S, Path(new.file.gateway.data_dir)

    async def one(device: Device, wanted: set[str]) -> list[Finding]:
        tags = [tag for tag in device.tags if tag.series in wanted]
        async with turns:
            bound = min(BOUND_S, end - clock())
            if bound <= 0:
                return _all(tags, latest, f"not tried: trying the devices before it took {WHOLE_S:g} s", "not_tried")
            try:
                driver = await asyncio.to_thread(create_driver, device, folder, now, shared)
                group = PointGroup(tuple(tag.point for tag in tags), device.interval)
                return _findings(tags, await read_once(driver, group, bound), latest)
            except TookTooLong:
                return _all(tags, latest, f"no answer within {bound:.0f} s", "timeout")
            except DriverError as error:
                fault = f"{error} → {error.remedy}" if error.remedy else str(error)
                return _all(tags, latest, fault, error.quality.cause or "bad")
            except Exception as error:  # the boundary of the driver: its bug is a finding
                log.exception("dry run of device %s: unexpected failure in driver %s", device.name, device.driver)
                return _all(tags, latest, f"driver {device.driver} failed: {type(error).__name__}", "driver")

    tried = await asyncio.gather(*(one(device, wanted) for device, wanted in changed if wanted))
    return [finding for findings in tried for finding in findings]


def _all(tags: Sequence[Tag], latest: Mapping[str, LatestValue], fault: str, cause: str) -> list[Finding]:
    return [Finding(tag.series, _before(tag, latest), "nothing", fault, cause) for tag in tags]


def _findings(tags: Sequence[Tag], samples: Samples, latest: Mapping[str, LatestValue]) -> list[Finding]:
    rows = {int(index): row for row, index in enumerate(samples.index.tolist())}  # the last row of a point is its value
    faults = {point: str(fault) for fault in samples.faults for point in fault.points}
    findings = []
    for tag in tags:
        row = rows.get(tag.point.index)
        code = int(samples.quality[row]) if row is not None else 255
        if row is None or level(code) == "bad":
            word = cause(code) or "bad" if row is not None else "missing"
            fault = faults.get(tag.point.index) or word
            findings.append(Finding(tag.series, _before(tag, latest), "nothing", fault, word))
        else:
            value = samples.text.get(row, f"{samples.value[row]:.9g}")
            findings.append(Finding(tag.series, _before(tag, latest), f"{value} {tag.unit}".strip()))
    return findings


def _before(tag: Tag, latest: Mapping[str, LatestValue]) -> str:
    known = latest.get(tag.series)
    if known is None:
        return "new"
    if known.value is None:
        return "nothing"
    value = known.value if isinstance(known.value, str) else f"{known.value:.9g}"
    return f"{value} {known.unit}".strip()
