"""Trying devices out: open each, read every tag once, and say what is wrong and how to mend it.

Nothing is recorded, so it works beside a running agent, and before there is one.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
import time
from collections.abc import AsyncIterator, Hashable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agent import word_order
from agent.config.model import Device
from agent.core.bounded import TookTooLong, within
from agent.driving import lend, read_once
from drivers.browsing import Item, Wanted
from drivers.contract import Context, DriverError, PointGroup, Samples
from drivers.quality import Quality, cause, level

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Devices that are tried at the same time."""
NEAREST, NEAREST_OF, NEAREST_S = 20, 3000, 10.0
"""Unknown addresses that are looked up, among how many nodes, and for how long."""

_REMEDIES: Mapping[str, str] = {
    "address": "look the address up in the device's manual, or with: gongfu-edge browse {device}",
    "decode": "correct or remove the tag's type",
    "refused": "see that this user may read it",
    "timeout": "raise timeout in the device's connection",
    "device": "the device reports a fault of its own: look at its display or program",
}
"""By cause, where the driver has none."""
_HARMLESS = frozenset({Quality.INVALID})
"""The device answers rightly that it has no value now."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a device, or with some of its tags."""

    tags: tuple[str, ...]
    """Empty: the device as a whole."""
    what: str
    remedy: str = ""
    harmless: bool = False
    unknown: bool = False
    """The device has nothing at these addresses."""
    held: bool = False
    """Another program has what only one can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one device."""

    device: str
    driver: str
    tags: int
    good: int = 0
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    told: tuple[str, ...] = ()
    """What the driver has to say to the operator."""
    values: tuple[tuple[str, str, str], ...] = ()
    """Tag, value and unit of what was read."""

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be mended."""
        return all(each.harmless for each in self.findings)

    @property
    def failed(self) -> bool:
        """Whether nothing could be read at all."""
        return any(not each.tags for each in self.findings)


@asynccontextmanager
async def trying(
    devices: Sequence[Device], data_dir: Path, *, trust: bool, within_s: float
) -> AsyncIterator[list[asyncio.Task[Trial]]]:
    """Try devices at the same time, each for so many seconds at most; a task for each, in their order."""
    shared: dict[Hashable, Any] = {}  # devices on one serial line take turns, as in the agent
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(device: Device) -> Trial:
        async with turns:
            return await try_device(device, data_dir, shared, trust=trust, within_s=within_s)

    tasks = [asyncio.create_task(one(device), name=f"try {device.name}") for device in devices]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def try_device(
    device: Device, data_dir: Path, shared: MutableMapping[Hashable, Any], *, trust: bool, within_s: float
) -> Trial:
    """Open a device, read every tag once, close it."""
    told: list[str] = []
    context = replace(lend(device, data_dir, _now, shared, trust=trust), tell=told.append)
    points = tuple(tag.point for tag in device.tags)
    trial = Trial(device=device.name, driver=device.driver, tags=len(points))
    begin = time.monotonic()
    try:
        driver = device.type.create(device.options, list(points), context)
        # Without tags this only asks whether the device is there: a wrong unit id is silent otherwise.
        samples = await read_once(driver, PointGroup(points, device.interval), within_s)
        findings = _findings(device, samples)
        findings += await within(max(begin + within_s - time.monotonic(), 0.0), _absurd(device, context, samples))
        findings = await _with_nearest(device, context, findings)
    except DriverError as error:
        trial = replace(trial, findings=(Finding((), str(error), error.remedy, held=error.held),))
    except TookTooLong:
        what = f"no complete answer within {within_s:g} s"
        trial = replace(trial, findings=(Finding((), what, "see whether the device is overloaded, or raise --within"),))
    except Exception as error:
        log.debug("driver %s", device.driver, exc_info=True)
        trial = replace(
            trial, findings=(Finding((), f"driver failed: {error!r}", "report this to the driver's author"),)
        )
    else:
        trial = replace(trial, good=_good(samples), findings=findings, values=_values(device, samples))
    return replace(trial, seconds=time.monotonic() - begin, told=tuple(told))


class Running(Protocol):
    """What is read of a device of a running agent."""

    @property
    def state(self) -> str: ...
    @property
    def last_error(self) -> str: ...
    @property
    def remedy(self) -> str: ...


def excused(trial: Trial, running: Mapping[str, Running]) -> Trial:
    """A device that could not be reached because the running agent holds its only connection is well, or as bad as
    the agent says.

    ``running``: the devices of an agent that runs with this very configuration.
    """
    device = running.get(trial.device)
    if not trial.failed or device is None or device.state == "off":
        return trial
    (finding, *_) = trial.findings
    if device.state not in ("running", "degraded"):
        what = f"the running agent holds the port, and says: {device.last_error or f'it is {device.state}'}"
        return replace(trial, findings=(Finding((), what, device.remedy),)) if finding.held else trial
    told = f"read by the running agent (gongfu-edge status); a second connection: {finding.what}"
    return replace(trial, findings=(), told=(*trial.told, told), good=trial.tags)


async def _with_nearest(device: Device, context: Context, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Say of unknown addresses what they were probably meant to be, where the device tells what it has."""
    unknown = {tag for each in findings if each.unknown for tag in each.tags[:NEAREST]}
    if not unknown or device.type.browse is None:
        return findings
    try:
        tree = await within(NEAREST_S, device.type.browse(device.options, context, Wanted(most=NEAREST_OF)))
    except (DriverError, TimeoutError):
        return findings
    addresses = {tag.point.name: tag.point.address for tag in device.tags}
    near = {tag: found for tag in unknown if (found := nearest(addresses[tag], tree.items))}
    result: list[Finding] = []
    for each in findings:
        guessed = [tag for tag in each.tags if each.unknown and tag in near]
        rest = tuple(tag for tag in each.tags if tag not in guessed)
        result += [Finding((tag,), f"nothing at {addresses[tag]}", f'did you mean "{near[tag]}"?') for tag in guessed]
        result += [replace(each, tags=rest)] if rest else []
    return tuple(result)


def nearest(address: str, items: Sequence[Item]) -> str:
    """The address that looks most like one that is not there; empty if none does."""
    readable = [item for item in items if item.address]
    written = {form: item.address for item in readable for form in (item.place, item.address)}
    named = {item.name.casefold(): item.address for item in readable}
    last = re.split(r"[/.:;=]", address)[-1].casefold()
    for word, known, cutoff in ((address, written, 0.85), (last, named, 0.75)):
        found = difflib.get_close_matches(word, known, 1, cutoff)
        if found:
            return known[found[0]]
    return ""


def _good(samples: Samples) -> int:
    return sum(level(code) != "bad" for code in _last(samples).values())


def _values(device: Device, samples: Samples) -> tuple[tuple[str, str, str], ...]:
    rows = {index: row for row, index in enumerate(samples.index.tolist())}
    return tuple(
        (device.tags[index].point.name, samples.text.get(row, f"{samples.value[row]:.6g}"), device.tags[index].unit)
        for index, row in sorted(rows.items())
        if level(int(samples.quality[row])) != "bad"
    )


async def _absurd(device: Device, context: Context, samples: Samples) -> tuple[Finding, ...]:
    """Numbers that cannot be, with what other byte orders would make of the same registers."""
    tags = word_order.doubtful(device, samples)
    points = word_order.in_other_orders(device, tags)
    others: Mapping[str, Mapping[str, float]] = {}
    if points:
        driver = device.type.create(device.options, list(points), context)
        try:
            await driver.open()
            others = word_order.sensible(points, await driver.read(PointGroup(points, device.interval)))
        finally:
            await driver.close()
    rows = {index: row for row, index in enumerate(samples.index.tolist())}
    found = []
    for tag in tags:
        values = others.get(tag.point.name, {})
        value = float(samples.value[rows[tag.point.index]])
        if values or not np.isnan(value):
            what = f"{value:.6g} can hardly be" if not np.isnan(value) else "no value in this byte order"
            remedy = f"another order? {word_order.show_orders(values)}" if values else "look at its type and scale"
            found.append(Finding((tag.point.name,), what, remedy, harmless=np.isnan(value)))
    return tuple(found)


def _last(samples: Samples) -> dict[int, int]:
    """Point index → the quality of its last row."""
    return dict(zip(samples.index.tolist(), samples.quality.tolist(), strict=True))


def _findings(device: Device, samples: Samples) -> tuple[Finding, ...]:
    bad = {index: code for index, code in _last(samples).items() if level(code) == "bad"}
    names = {tag.point.index: tag.point.name for tag in device.tags}
    findings = []
    for fault in samples.faults:
        tags = tuple(names[index] for index in fault.points if bad.pop(index, None) is not None)
        if tags:
            unknown = fault.quality is Quality.ADDRESS
            remedy = fault.remedy or _remedy(fault.quality, device)
            findings.append(Finding(tags, str(fault), remedy, unknown=unknown))
    by_code: dict[int, list[str]] = {}
    for index, code in bad.items():
        by_code.setdefault(code, []).append(names[index])
    for code, tags_of in sorted(by_code.items()):
        harmless = code in _HARMLESS
        what = "the device has no value now" if harmless else (cause(code) or "bad")
        remedy = "" if harmless else _remedy(code, device)
        findings.append(Finding(tuple(tags_of), what, remedy, harmless, unknown=code == Quality.ADDRESS))
    return tuple(findings)


def _remedy(code: int, device: Device) -> str:
    return _REMEDIES.get(cause(code), "").format(device=device.name)


def _now() -> int:
    return time.time_ns() // 1000
