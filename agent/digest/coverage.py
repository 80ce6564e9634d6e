"""The coverage section: how much of what should be known is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from agent.buffer.records import Event, Loss
from agent.config.model import EnterpriseSection
from agent.digest.accumulate import Observations
from agent.digest.downtime import downtime
from agent.digest.proposals import proposals
from agent.digest.report import (
    Coverage,
    DeviceCoverage,
    InventoryCoverage,
    TotalCoverage,
    seconds,
)
from agent.digest.spec import DigestSpec, GroupSpec
from agent.digest.windows import Period
from drivers.quality import Quality, cause


def expected_scans(group: GroupSpec, period: Period, seen: int) -> int:
    """Scans due in the period. One more than that may be seen, as the first one falls."""
    return max(period.length // group.interval_us, seen)


def coverage(
    period: Period,
    spec: DigestSpec,
    seen: Observations,
    enterprise: EnterpriseSection,
    events: Sequence[Event],
    losses: Sequence[Loss],
) -> Coverage:
    """The section; ``events`` and ``losses`` as in :class:`~agent.digest.inputs.DigestInputs`."""
    within = [event for event in events if period.start <= event.time < period.end]
    disconnects = tally((event.device, 1) for event in within if event.kind == "disconnect")
    groups: list[list[int]] = [[] for _ in spec.devices]
    for index, group in enumerate(spec.groups):
        groups[group.device].append(index)
    devices = tuple(
        _device(period, spec, seen, position, own, disconnects.get(spec.devices[position].name, 0), losses)
        for position, own in enumerate(groups)
    )
    total = TotalCoverage(
        **{
            name: sum(getattr(device, name) for device in devices)
            for name in ("expected", "good", "uncertain", "bad", "missing", "late", "disconnects")
        },
        drops=tally((loss.cause, loss.count) for loss in losses),
        restarts=sum(event.kind == "start" for event in within),
        agent_downtime_s=seconds(downtime(period, events, seen.silences)),
        grade=proposals().grade(sum(each.good for each in devices), sum(each.expected for each in devices)),
    )
    inventory = enterprise.inventory
    return Coverage(
        inventory=InventoryCoverage(
            total=inventory.production_equipment if inventory else None,
            digital=inventory.digital if inventory else None,
            configured=len(devices),
            networked=sum(device.good > 0 for device in devices),
        ),
        devices=devices,
        total=total,
        grades=proposals().grades_name,
    )


def _device(
    period: Period,
    spec: DigestSpec,
    seen: Observations,
    position: int,
    own: Sequence[int],
    disconnects: int,
    losses: Sequence[Loss],
) -> DeviceCoverage:
    device = spec.devices[position]
    groups = [(spec.groups[index], int(seen.scans[index])) for index in own]
    expected = sum(expected_scans(group, period, scans) * group.points for group, scans in groups)
    counts = seen.qualities[position]
    good, bad = int(counts[: Quality.BAD].sum()), int(counts[Quality.BAD :].sum())
    causes = {cause(code) or "bad": int(counts[code]) for code in _present(counts) if code >= Quality.BAD}
    return DeviceCoverage(
        name=device.name,
        interval_s=seconds(device.interval_us),
        points=device.points,
        expected=expected,
        good=good,
        uncertain=int(counts[Quality.UNCERTAIN : Quality.BAD].sum()),
        bad=bad,
        missing=max(expected - good - bad, 0),
        bad_causes=causes,
        late=sum(int(seen.late[index]) for index in own),
        longest_gap_s=seconds(max((int(seen.longest_gap[index]) for index in own), default=0)),
        disconnects=disconnects,
        drops=tally((loss.cause, loss.count) for loss in losses if loss.device == device.name),
        grade=proposals().grade(good, expected),
    )


def _present(counts: Any) -> list[int]:
    present: list[int] = np.flatnonzero(counts).tolist()
    return present


def tally(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sums by name."""
    result: dict[str, int] = {}
    for name, count in counts:
        result[name] = result.get(name, 0) + count
    return result
