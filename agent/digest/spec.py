"""What a digest needs to know of the configuration, frozen and laid out for the accumulator. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.config.digest_tables import FindingTable, IndicatorTable
from agent.config.model import Configuration, Device, Tag, TagKind
from agent.digest.counters import Rules, counter_of
from agent.digest.equipment.spec import MachineSpec, compile_machines
from agent.digest.tables import own_findings, own_indicators
from agent.disclosure import sharing

LOOKBACK_US = 60_000_000
"""How far before a period blocks are read for the values that hold at its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """Points of a device that are scanned together. ``id`` as in ``Batch.scan_group``; -1: never scanned."""

    id: int
    device: int
    """Position in :attr:`DigestSpec.devices`."""
    interval_us: int
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A device by the name that the plant gave it; its address is not known here, so it cannot leak."""

    name: str
    interval_us: int
    points: int
    driver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTag:
    """A tag whose aggregates may leave the plant."""

    tag: sharing.Candidate
    row: int
    """Position in :attr:`DigestSpec.series`."""
    unit: str
    key: str = ""
    """Of a counter, by which its path is handed on from period to period."""
    rules: Rules | None = None
    """Of a counter."""

    @property
    def kind(self) -> TagKind:
        """``gauge``, ``counter`` or ``state``."""
        return self.tag.kind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DigestSpec:
    """``series`` and ``group`` are aligned, one row a tag: series id (int32; -1: nothing recorded yet)
    and position in ``groups`` (int32)."""

    devices: tuple[DeviceSpec, ...]
    groups: tuple[GroupSpec, ...]
    series: NDArray[np.int32]
    group: NDArray[np.int32]
    shared: tuple[SharedTag, ...]
    policy: sharing.Policy
    machines: tuple[MachineSpec, ...] = ()
    lookback_us: int = LOOKBACK_US
    indicators: IndicatorTable = field(default_factory=own_indicators)
    findings: FindingTable = field(default_factory=own_findings)

    @property
    def tables(self) -> dict[str, str]:
        """Names with versions of the tables in force."""
        return {"indicators": self.indicators.name, "findings": self.findings.name}


def group_interval(seconds: float) -> int:
    """Microseconds, as scan groups are keyed by."""
    return round(seconds * 1e6)


def compile_spec(
    configuration: Configuration, series_ids: Mapping[str, int], group_ids: Mapping[tuple[str, int], int]
) -> DigestSpec:
    """``series_ids``: series name → id. ``group_ids``: (device, interval in us) → id."""
    policy = sharing.policy_of(configuration.file)
    devices: list[DeviceSpec] = []
    groups: list[GroupSpec] = []
    shared: list[SharedTag] = []
    series: list[int] = []
    group: list[int] = []
    for position, device in enumerate(each for each in configuration.devices if each.enabled):
        own = _groups(device, position, group_ids)
        place = {each.interval_us: len(groups) + offset for offset, each in enumerate(own)}
        for tag in device.tags:
            candidate = sharing.Candidate(name=tag.series, kind=tag.kind, sensitivity=tag.sensitivity)
            if sharing.refusal(candidate, policy) is None:
                shared.append(_shared(candidate, tag, len(series)))
            series.append(series_ids.get(tag.series, -1))
            group.append(place[group_interval(tag.point.interval)])
        groups.extend(own)
        devices.append(
            DeviceSpec(
                name=device.name,
                interval_us=group_interval(device.interval),
                points=len(device.tags),
                driver=device.driver,
            )
        )
    longest = max((each.interval_us for each in groups), default=0)
    return DigestSpec(
        devices=tuple(devices),
        groups=tuple(groups),
        series=np.array(series, np.int32),
        group=np.array(group, np.int32),
        shared=tuple(shared),
        policy=policy,
        machines=compile_machines(configuration),
        indicators=configuration.file.digest.indicators or own_indicators(),
        findings=configuration.file.digest.findings or own_findings(),
        lookback_us=max(LOOKBACK_US, 3 * longest),
    )


def _groups(device: Device, position: int, group_ids: Mapping[tuple[str, int], int]) -> list[GroupSpec]:
    points: dict[int, int] = {}
    for tag in device.tags:
        interval = group_interval(tag.point.interval)
        points[interval] = points.get(interval, 0) + 1
    return [
        GroupSpec(id=group_ids.get((device.name, interval), -1), device=position, interval_us=interval, points=count)
        for interval, count in sorted(points.items())
    ]


def _shared(candidate: sharing.Candidate, tag: Tag, row: int) -> SharedTag:
    key, rules = counter_of(tag) if tag.kind == "counter" else ("", None)
    return SharedTag(tag=candidate, row=row, unit=tag.unit, key=key, rules=rules)
