"""The configuration as ``gongfu-edge check`` shows it. Secrets are never in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agent.config.model import ALL_EQUIPMENT, OWN_PLATFORM, AudienceSection, Configuration, Device, FileSection
from agent.config.tag_warnings import explanations
from agent.config.units import show_seconds, show_size
from agent.table import one_line, table

_MOST_SHARED = 8


def summary(configuration: Configuration, warnings: Sequence[str] | None = None) -> str:
    """Sections as ``label  text`` lines, a table of the devices, how each address was read, then the warnings.

    ``warnings``: the configuration's own, unless others are given.
    """
    file = configuration.file
    facts = [
        ("configuration", str(configuration.path)),
        ("hash", configuration.hash),
        ("gateway", f"{file.gateway.name}, {file.gateway.timezone}, data in {file.gateway.data_dir}"),
        ("enterprise", _enterprise(file)),
        ("platform", _platform(file)),
        ("remote", _remote(file)),
        ("buffer", _buffer(file)),
        ("digest", _digest(file)),
        ("console", file.console.listen or "off"),
    ]
    facts += [("audience", _audience(each)) for each in file.audience]
    if file.equipment:
        facts.append(("equipment", ", ".join(each.name for each in file.equipment)))
    parts = [table((), facts)]
    if configuration.devices:
        sections = {section.name: section.connection for section in file.device}
        rows = [_device(device, sections.get(device.name, {})) for device in configuration.devices]
        header = ["DEVICE", "DRIVER", "WHERE", "TAGS", "INTERVAL", "SCANS"]
        parts.append(table(header, rows, right=(3,)))
    parts += [text for device in configuration.devices if (text := _addresses(device))]
    warnings = configuration.warnings if warnings is None else warnings
    if warnings:
        parts.append("\n".join(["look at this:", *(f"  {one_line(each)}" for each in warnings)]))
    tags = sum(len(device.tags) for device in configuration.devices)
    parts.append(f"{_count(len(configuration.devices), 'device')}, {_count(tags, 'tag')}: the configuration is valid")
    return "\n\n".join(parts)


def _addresses(device: Device) -> str:
    """How the driver read each address; the elements of an array take one line."""
    explained = explanations(device.type, device.options, device.tags)
    rows: list[list[str]] = []
    counts = Counter(tag.series.rpartition("[")[0] for tag in device.tags if tag.series.endswith("]"))
    for tag, explanation in zip(device.tags, explained, strict=False):
        if tag.point.element == 0:
            count = counts.get(tag.series.rpartition("[")[0], 1) if tag.series.endswith("]") else 1
            behind = f"; {count - 1} more behind it" if count > 1 else ""
            rows.append([tag.series, tag.point.address, explanation.text + behind])
    return table(["TAG", "ADDRESS", "READ AS"], rows) if rows else ""


def _enterprise(file: FileSection) -> str:
    enterprise = file.enterprise
    parts = [enterprise.name, enterprise.credit_code, enterprise.district and f"district {enterprise.district}"]
    parts.append(enterprise.park and f"park {enterprise.park}")
    parts.append(enterprise.operator and f"{enterprise.operator} {enterprise.uplink}".strip())
    return ", ".join(each for each in parts if each) or "not named"


def _platform(file: FileSection) -> str:
    if file.platform is None:
        return "none: digests are kept here"
    proxy = " through a proxy" if file.platform.proxy else ""
    return f"{redacted_url(file.platform.url)}{proxy}, at most {show_size(file.platform.max_bytes_per_day)} a day"


def _audience(audience: AudienceSection) -> str:
    where = "at the platform" if audience.url == OWN_PLATFORM else f"at {redacted_url(audience.url)}"
    of = "all machines" if ALL_EQUIPMENT in audience.equipment else ", ".join(audience.equipment) or "no machine"
    tags = f"; tags {', '.join(audience.tags)}" if audience.tags else ""
    return f"{audience.name} {where} is told {', '.join(audience.sections)} of {of}{tags}"


def _remote(file: FileSection) -> str:
    if not file.remote.allow:
        return "the platform may change nothing"
    return f"the platform may change {', '.join(file.remote.allow)}; probation {show_seconds(file.remote.probation)}"


def _buffer(file: FileSection) -> str:
    buffer = file.buffer
    return (
        f"{show_size(buffer.max_size)} or {show_seconds(buffer.retention)}, flushed every {show_seconds(buffer.flush)}"
    )


def _digest(file: FileSection) -> str:
    share = file.digest.share
    shared = "no tag is shared"
    if share:
        more = f" and {len(share) - _MOST_SHARED} more" if len(share) > _MOST_SHARED else ""
        shared = f"shared: {', '.join(share[:_MOST_SHARED])}{more}"
    rolled = ", ".join(dict.fromkeys(file.digest.rollups))
    tables = "".join(f"; {each.name}" for each in (file.digest.indicators, file.digest.findings) if each)
    of_each = f"; and of each {rolled}" if rolled else ""
    return f"every {show_seconds(file.digest.period)}; {shared}{of_each}{tables}"


def _device(device: Device, connection: Mapping[str, Any]) -> list[str]:
    scans = Counter(tag.point.interval for tag in device.tags)
    shown = ", ".join(f"{count} every {show_seconds(seconds)}" for seconds, count in sorted(scans.items()))
    return [
        device.name,
        device.driver,
        where(connection),
        str(len(device.tags)),
        show_seconds(device.interval),
        shown or "none",
    ]


def where(connection: Mapping[str, Any]) -> str:
    """Where a device is, from the few keys of its connection that cannot hold a secret."""
    place = _shown(connection, "url")
    if place:
        return redacted_url(place)
    host, port = _shown(connection, "host"), _shown(connection, "port")
    parts = [_shown(connection, "transport"), ":".join(each for each in (host, port) if each)]
    if "unit" in connection:
        parts.append(f"unit {_shown(connection, 'unit')}")
    return " ".join(each for each in parts if each) or "-"


def _shown(connection: Mapping[str, Any], key: str) -> str:
    value = connection.get(key, "")
    # A reference is not followed: whoever wrote it did not want to see what it names.
    return str(value) if isinstance(value, str | int) else "…"


def redacted_url(url: str) -> str:
    """A URL without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
