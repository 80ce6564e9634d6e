"""The dry run: read every changed tag once from the device that shall have it, before anything is switched.

The devices in force go on meanwhile. A trial joins the connections that they share (a serial bus, a PLC
that takes one client only), so it neither needs a second one nor disturbs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config.difference import changed_tags
from agent.config.model import Configuration, Device, Tag
from agent.driving import create_driver
from agent.snapshot import LatestValue
from drivers.contract import DriverError, PointGroup, Samples
from drivers.quality import cause, level

BOUND_S = 30.0
"""One device's trial takes no longer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one changed tag gave. ``before`` and ``now`` are for people; ``fault`` is empty when it is good."""

    tag: str
    before: str
    now: str
    fault: str = ""

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
    work = []
    for device in new.devices:
        tags = changed_tags(before.get(device.name), device)
        if tags:
            work.append(_try_device(device, set(tags), latest, new, now, shared))
    return [finding for findings in await asyncio.gather(*work) for finding in findings]


async def _try_device(
    device: Device,
    wanted: set[str],
    latest: Mapping[str, LatestValue],
    new: Configuration,
    now: Callable[[], int],
    shared: MutableMapping[Hashable, Any],
) -> list[Finding]:
    tags = [tag for tag in device.tags if tag.series in wanted]
    driver = create_driver(device, Path(new.file.gateway.data_dir), now, shared)
    try:
        async with asyncio.timeout(BOUND_S):
            await driver.open()
            samples = await driver.read(PointGroup(tuple(tag.point for tag in tags), device.interval))
    except TimeoutError:
        return _all(tags, latest, f"no answer within {BOUND_S:g} s")
    except DriverError as error:
        return _all(tags, latest, f"{error} → {error.remedy}" if error.remedy else str(error))
    finally:
        await driver.close()
    return _findings(tags, samples, latest)


def _all(tags: Sequence[Tag], latest: Mapping[str, LatestValue], fault: str) -> list[Finding]:
    return [Finding(tag.series, _before(tag, latest), "nothing", fault) for tag in tags]


def _findings(tags: Sequence[Tag], samples: Samples, latest: Mapping[str, LatestValue]) -> list[Finding]:
    rows = {int(index): row for row, index in enumerate(samples.index.tolist())}  # the last row of a point is its value
    faults = {point: str(fault) for fault in samples.faults for point in fault.points}
    findings = []
    for tag in tags:
        row = rows.get(tag.point.index)
        code = int(samples.quality[row]) if row is not None else 255
        if row is None or level(code) == "bad":
            fault = faults.get(tag.point.index) or cause(code) or "bad"
            findings.append(Finding(tag.series, _before(tag, latest), "nothing", fault))
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
