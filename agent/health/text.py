"""The status as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from agent.health.model import AudienceStatus, BufferStatus, DeviceStatus, Status, UplinkStatus, Verdict
from agent.table import table

_SHOWN_FAULTS = 5
_VERDICTS: Mapping[Verdict, str] = {
    "healthy": "healthy",
    "attention": "needs attention",
    "unhealthy": "NOT HEALTHY",
    "unknown": "an agent of another version",
}


def render(status: Status) -> str:
    """The whole status; problems first, each with its remedy where one is known."""
    parts = [_head(status), _problems(status), _devices(status), _facts(status), _ledger(status)]
    return "\n\n".join(part for part in parts if part)


def _head(status: Status) -> str:
    word = _VERDICTS[status.health.verdict]
    return (
        f"{status.gateway} ({status.gateway_id}): {word}, gongfu-edge {status.version}, "
        f"up {duration(status.uptime_s)}, {status.time}"
    )


def _problems(status: Status) -> str:
    lines = [f"✗ {reason}" for reason in status.health.reasons]
    lines += [f"! {warning}" for warning in status.health.warnings]
    lines += [f"  device {each.name} → {each.remedy}" for each in status.devices if each.remedy]
    lines += [
        f"  {each.name}: {each.error} → {each.remedy}"
        for each in status.components
        if each.remedy and not each.name.startswith("device ")
    ]
    if status.uplink.remedy:
        lines.append(f"  platform → {status.uplink.remedy}")
    return "\n".join(lines)


def _devices(status: Status) -> str:
    if not status.devices:
        return "no devices are configured → add [[device]] to the configuration"
    rows = [_device_row(device, status) for device in status.devices]
    lines = [table(("device", "state", "good", "bad", "last good", "scan", "late", "reconnects"), rows)]
    for device in status.devices:
        lines += [f"  {device.name}: {fault}" for fault in device.faults[:_SHOWN_FAULTS]]
        if len(device.faults) > _SHOWN_FAULTS:
            lines.append(f"  {device.name}: and {len(device.faults) - _SHOWN_FAULTS} more (--json shows all)")
    return "\n".join(lines)


def _device_row(device: DeviceStatus, status: Status) -> tuple[str, ...]:
    counts = (str(device.late), str(device.reconnects))
    scan = f"{device.latency_ms:.1f} ms"
    last = _ago(device.last_good, status)
    return (device.name, device.state, str(device.good), str(device.bad), last, scan, *counts)


def _facts(status: Status) -> str:
    rows = [
        ("clock", f"{'trusted' if status.clock.trusted else 'NOT trusted'} ({status.clock.source})"),
        ("buffer", _buffer(status.buffer, status)),
        ("digests", _digests(status)),
        ("platform", _uplink(status.uplink, status)),
        ("config", f"{status.config.source}, {status.config.running_hash[:12]}"
                   + (f", {status.config.status}" if status.config.status != "UNSET" else "")
                   + (f"; the platform is kept out until {status.config.locked_until}" if status.config.locked_until
                      else "")),
    ]  # fmt: skip
    rows += [(f"to {each.name}", _audience(each, status)) for each in status.audiences]
    if status.host is not None:
        host = status.host
        heat = "" if host.temperature_c is None else f", {host.temperature_c:.0f} °C"
        rows.append(
            ("gateway", f"CPU {host.cpu_percent:.0f} %, memory free {size(host.memory_available)}, "
                        f"disk free {size(host.disk_free)}{heat}; agent {size(host.rss)}")
        )  # fmt: skip
    return table((), rows)


def _buffer(buffer: BufferStatus, status: Status) -> str:
    cap = f" of {size(buffer.max_bytes)}" if buffer.max_bytes else ""
    since = f", since {_ago(buffer.oldest, status)}" if buffer.oldest else ""
    return f"{size(buffer.bytes)}{cap}, {buffer.samples} samples{since}" + (
        f"; FAILING: {buffer.failing}" if buffer.failing else ""
    )


def _digests(status: Status) -> str:
    digests = status.digests
    if status.uplink.state == "off" and not digests.accepted + digests.rejected:
        return f"{digests.built} built, kept here"
    waiting = "kept here" if status.uplink.state == "off" else "pending"
    return (
        f"{digests.built} built, {digests.pending} {waiting}, {digests.accepted} accepted, "
        f"{digests.rejected} rejected; last accepted {_ago(digests.last_accepted, status)}"
    )


def _uplink(uplink: UplinkStatus, status: Status) -> str:
    if uplink.state == "off":
        return "none configured; digests are kept here"
    budget = f" of {size(uplink.max_bytes_per_day)}" if uplink.max_bytes_per_day else ""
    return (
        f"{uplink.state}, {uplink.url}, last contact {_ago(uplink.last_contact, status)}, "
        f"{size(uplink.bytes_today)}{budget} today" + (f"; {uplink.last_error}" if uplink.last_error else "")
    )


def _audience(audience: AudienceStatus, status: Status) -> str:
    waiting = "kept here" if audience.state == "removed" else "pending"
    digests = f"{audience.pending} digests {waiting}, {audience.accepted} accepted, {audience.rejected} rejected"
    if audience.state == "removed":
        return f"not configured any more, nothing is sent; {digests}"
    return (
        f"{audience.state}, {audience.url}, last contact {_ago(audience.last_contact, status)}; {digests}"
        + (f"; {audience.last_error}" if audience.last_error else "")
        + (f" → {audience.remedy}" if audience.remedy else "")
    )


def _ledger(status: Status) -> str:
    if not status.ledger:
        return "nothing was lost"
    rows = [(cause, str(loss.count), loss.since, loss.until) for cause, loss in status.ledger.items()]
    return "lost (gongfu-edge ledger shows each):\n" + table(("cause", "count", "from", "to"), rows)


def _ago(moment: str | None, status: Status) -> str:
    if moment is None:
        return "never"
    passed = datetime.fromisoformat(status.time) - datetime.fromisoformat(moment)
    return f"{duration(max(passed, timedelta()).total_seconds())} ago"


def duration(seconds: float) -> str:
    """The two largest units: ``4 s``, ``12 min 3 s``, ``2 d 5 h``."""
    whole = int(seconds)
    units = [("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60)]
    first = next((index for index, (_, count) in enumerate(units) if count), 3)
    return " ".join(f"{count} {name}" for name, count in units[first : first + 2] if count) or "0 s"


def size(count: int) -> str:
    """Bytes with the unit that fits, powers of ten as in the configuration."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if value >= 100 or units[0] == "B" else f"{value:.1f} {units[0]}"
