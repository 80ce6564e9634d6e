"""Assembling the status. :func:`assemble` is pure: each room hands in a snapshot of itself, so that this
room imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from agent.buffer.records import DigestRecord, Loss, Stats
from agent.core.supervision import ComponentSnapshot
from agent.health.host import Host
from agent.health.model import (
    AudienceStatus,
    BufferStatus,
    ClockStatus,
    ComponentStatus,
    ConfigStatus,
    DeviceState,
    DeviceStatus,
    DigestStatus,
    Health,
    LossStatus,
    Status,
    UplinkStatus,
    Verdict,
    decode,
    encode,
    iso,
    stamp,
)
from agent.health.text import render

__all__ = [
    "AudienceStatus",
    "BufferStatus",
    "ClockStatus",
    "ComponentStatus",
    "ConfigStatus",
    "DeviceStatus",
    "DigestStatus",
    "Health",
    "LossStatus",
    "Status",
    "UplinkStatus",
    "assemble",
    "buffer_status",
    "decode",
    "digest_status",
    "encode",
    "iso",
    "judge",
    "ledger_status",
    "render",
    "stamp",
]


class ClockSource(Protocol):
    """What is read of the clock."""

    @property
    def trusted(self) -> bool: ...
    @property
    def offset_us(self) -> int: ...
    @property
    def source(self) -> str: ...


class DeviceSource(Protocol):
    """What is read of a device's snapshot (``agent.supervisor.DeviceSnapshot``)."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def good(self) -> int: ...
    @property
    def bad(self) -> int: ...
    @property
    def reconnects(self) -> int: ...
    @property
    def last_good_us(self) -> int: ...
    @property
    def latency_s(self) -> float: ...
    @property
    def late(self) -> int: ...
    @property
    def scans(self) -> int: ...
    @property
    def first_good_us(self) -> int: ...
    @property
    def last_error(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    @property
    def faults(self) -> tuple[str, ...]: ...
    @property
    def observations(self) -> dict[str, Any]: ...


def assemble(
    *,
    gateway: str,
    gateway_id: str,
    version: str,
    now_us: int,
    uptime_s: float,
    clock: ClockSource,
    devices: Iterable[DeviceSource],
    buffer: BufferStatus,
    digests: DigestStatus,
    config: ConfigStatus,
    ledger: Mapping[str, LossStatus],
    uplink: UplinkStatus | None = None,
    host: Host | None = None,
    audiences: Sequence[AudienceStatus] = (),
    stalled: str = "",
    components: Iterable[ComponentSnapshot] = (),
) -> Status:
    """Make the status of what the rooms say; ``stalled`` is ``Progress.stalled()``."""
    device_parts = tuple(_device(each) for each in devices)
    clock_part = ClockStatus(trusted=clock.trusted, source=clock.source, offset_s=round(clock.offset_us / 1e6, 3))
    uplink = uplink or UplinkStatus(state="off")
    component_parts = tuple(_component(each) for each in components)
    return Status(
        gateway=gateway,
        gateway_id=gateway_id,
        version=version,
        time=stamp(now_us),
        uptime_s=round(uptime_s, 1),
        health=judge(clock_part, device_parts, buffer, digests, config, uplink, stalled, audiences, component_parts),
        clock=clock_part,
        devices=device_parts,
        buffer=buffer,
        digests=digests,
        config=config,
        ledger=dict(ledger),
        uplink=uplink,
        host=host,
        audiences=tuple(audiences),
        components=component_parts,
    )


def judge(
    clock: ClockStatus,
    devices: Sequence[DeviceStatus],
    buffer: BufferStatus,
    digests: DigestStatus,
    config: ConfigStatus,
    uplink: UplinkStatus,
    stalled: str = "",
    audiences: Sequence[AudienceStatus] = (),
    components: Sequence[ComponentStatus] = (),
) -> Health:
    """Healthy means that data flows to disk, not that the process lives (L20).

    One machine that is switched off for the night is a warning; no machine at all, a disk that takes
    nothing or an agent that is stuck are reasons. The platform being away is a warning: digests wait.
    """
    reasons: list[str] = []
    warnings: list[str] = []
    wanted = [device for device in devices if device.state != "off"]
    if stalled:
        reasons.append(stalled)
    for component in components:
        if component.code and not component.name.startswith("device "):  # a device has a line of its own
            is_reason = component.essential and component.state == "restarting"
            (reasons if is_reason else warnings).append(f"{component.name} failed: {component.code}")
    if buffer.failing:
        reasons.append(f"the disk takes no data: {buffer.failing}")
    if wanted and not any(device.good for device in wanted if device.state in ("running", "degraded")):
        reasons.append("no device delivers good values")
    for device in wanted:
        if device.state == "down":
            warnings.append(f"device {device.name} is down: {device.last_error or 'no answer'}")
        elif device.state == "degraded":
            warnings.append(f"device {device.name}: {device.bad} of {device.good + device.bad} values are bad")
    if not clock.trusted:
        warnings.append("the clock is not trusted: no NTP, no platform")
    if uplink.state in ("failing", "refused"):
        warnings.append(f"the platform takes no digests: {uplink.last_error or uplink.state}")
    for audience in audiences:
        if audience.state in ("failing", "refused"):
            warnings.append(f"{audience.name} gets no digests: {audience.last_error or audience.state}")
        if audience.rejected and audience.state != "removed":
            warnings.append(f"the platform rejected {audience.rejected} digests for {audience.name}")
    if digests.rejected:
        warnings.append(f"the platform rejected {digests.rejected} digests: {digests.last_rejection or 'no reason'}")
    if config.status == "FAILED":
        warnings.append(f"the last configuration failed: {config.last_error}")
    if config.trust_problem:
        warnings.append(f"nothing that the platform sends is taken: {config.trust_problem}")
    verdict: Verdict = "unhealthy" if reasons else "attention" if warnings else "healthy"
    return Health(healthy=not reasons, reasons=tuple(reasons), warnings=tuple(warnings), verdict=verdict)


def buffer_status(stats: Stats, *, max_bytes: int, failing: str) -> BufferStatus:
    """The buffer's part, from ``Store.stats()`` and the recorder."""
    return BufferStatus(
        bytes=stats.bytes,
        samples=stats.samples,
        oldest=iso(stats.oldest),
        bytes_written=stats.bytes_written,
        max_bytes=max_bytes,
        failing=failing,
    )


def digest_status(
    counts: Mapping[str, int],
    last: DigestRecord | None,
    last_accepted: DigestRecord | None = None,
    last_rejected: DigestRecord | None = None,
) -> DigestStatus:
    """The digests' part, from ``Store.digest_counts()`` and the newest records of each kind."""
    pending, accepted, rejected = (counts.get(state, 0) for state in ("pending", "accepted", "rejected"))
    return DigestStatus(
        built=pending + accepted + rejected,
        pending=pending,
        accepted=accepted,
        rejected=rejected,
        last_accepted=iso(last_accepted.settled) if last_accepted else None,
        last_seq=last.seq if last else 0,
        last_rejection=last_rejected.reason if last_rejected else "",
    )


def ledger_status(losses: Iterable[Loss]) -> dict[str, LossStatus]:
    """The ledger's part: losses summed up by cause."""
    by_cause: dict[str, list[Loss]] = {}
    for loss in losses:
        by_cause.setdefault(loss.cause, []).append(loss)
    return {
        cause: LossStatus(
            entries=len(each),
            count=sum(loss.count for loss in each),
            since=stamp(min(loss.start for loss in each)),
            until=stamp(max(loss.end for loss in each)),
        )
        for cause, each in sorted(by_cause.items())
    }


def _component(source: ComponentSnapshot) -> ComponentStatus:
    return ComponentStatus(
        name=source.name,
        state=source.state,
        restarts=source.restarts,
        essential=source.essential,
        code=source.code,
        error=source.error,
        remedy=source.remedy,
    )


def _device(source: DeviceSource) -> DeviceStatus:
    return DeviceStatus(
        name=source.name,
        state=msgspec.convert(source.state, DeviceState),
        good=source.good,
        bad=source.bad,
        reconnects=source.reconnects,
        last_good=iso(source.last_good_us),
        latency_ms=round(source.latency_s * 1000, 2),
        late=source.late,
        scans=source.scans,
        first_good=iso(source.first_good_us),
        last_error=source.last_error,
        remedy=source.remedy,
        faults=source.faults,
        observations=source.observations,
    )
