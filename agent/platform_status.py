"""What the platform is told of this gateway: ``PUT /gateways/{id}/status``, as the contract has it. Pure.

No reading and no text of a driver, a disk or a library is in it: those texts hold values and addresses of the plant
(:mod:`agent.disclosure`). A device's name and state are, and how many of its values are bad; that is in every digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from agent.config.model import EnterpriseSection, FileSection
from agent.disclosure.messages import code_of, health_reason
from agent.health.status import DeviceStatus, Status

_ESSENTIAL = (
    "name",
    "running_hash",
    "attempted_hash",
    "state",
    "last_error",
    "running_revision",
    "attempted_revision",
    "locked_until",
    "affiliation",
    "version",
)
MOST_BYTES = 200_000
"""Of the status as JSON; a platform takes at least 256 kB. What lists tags is left out first."""


def platform_status(
    status: Status, file: FileSection, effective_config: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body of the request; it fits the contract's schema ``Status``.

    ``effective_config``: what the platform may change, without secrets; None: nothing, and nothing is told.
    """
    config, buffer, digests = status.config, status.buffer, status.digests
    told = {
        "name": status.gateway,
        "running_hash": config.running_hash,
        "attempted_hash": config.attempted_hash,
        "state": config.status,
        "last_error": config.told_error or code_of(config.last_error),
        "running_revision": config.running_revision,
        "attempted_revision": config.attempted_revision,
        "locked_until": config.locked_until,
        "config": {"freshness": config.freshness},
        "affiliation": _affiliation(file.enterprise),
        "version": status.version,
        "time": status.time,
        "uptime_s": status.uptime_s,
        "health": _health(status),
        "clock": msgspec.to_builtins(status.clock),
        "digests": {"head": digests.last_seq, "pending": digests.pending, "rejected": digests.rejected},
        "buffer": {
            "bytes": buffer.bytes,
            "max_bytes": buffer.max_bytes,
            "samples": buffer.samples,
            "oldest": buffer.oldest,
        },
        "link": {
            "operator": file.enterprise.operator,
            "bytes_today": status.uplink.bytes_today,
            "max_bytes_per_day": status.uplink.max_bytes_per_day,
        },
    }
    if effective_config is not None:
        told["effective_config"] = dict(effective_config)
    return _bounded(told)


def _affiliation(enterprise: EnterpriseSection) -> dict[str, Any]:
    """What a bundle's selector is compared with; it is in every digest, too."""
    return {
        "district": enterprise.district,
        "town": enterprise.town,
        "park": enterprise.park,
        "chains": [chain.name for chain in enterprise.chains],
    }


def essence(told: dict[str, Any]) -> bytes:
    """What of a status is worth a report of its own when it changes; counts and times that move all the
    time are not."""
    return msgspec.json.encode(
        {
            **{name: told[name] for name in _ESSENTIAL},
            "health": _states(told["health"]),
            "clock": (told["clock"]["trusted"], told["clock"]["source"]),
            "rejected": told["digests"]["rejected"],
        },
        order="deterministic",
    )


def _states(health: dict[str, Any]) -> dict[str, Any]:
    parts = {name: _states(each) for name, each in health.get("components", {}).items()}
    return {"healthy": health["healthy"], "status": health["status"], "components": parts}


def _health(status: Status) -> dict[str, Any]:
    buffer, digests, clock = status.buffer, status.digests, status.clock
    devices = {device.name: _device(device) for device in status.devices}
    parts = {
        "devices": _part(
            all(each["healthy"] for each in devices.values()),
            f"{sum(each['healthy'] for each in devices.values())} of {len(devices)} well",
            components=devices,
        ),
        "buffer": _part(not buffer.failing, "failing" if buffer.failing else "running"),
        "clock": _part(clock.trusted, f"trusted ({clock.source})" if clock.trusted else "not trusted"),
        "digests": _part(not digests.rejected, f"{digests.rejected} rejected" if digests.rejected else "running"),
    }
    health = status.health
    delivers = any(each.good for each in status.devices if each.state in ("running", "degraded"))
    word = "running" if health.healthy else health_reason(disk_failing=bool(buffer.failing), delivers=delivers)
    return _part(health.healthy, word, components=parts)


def _device(device: DeviceStatus) -> dict[str, Any]:
    healthy = device.state in ("starting", "running", "off")
    return {**_part(healthy, device.state), "good": device.good, "bad": device.bad, "last_good": device.last_good}


def _part(healthy: bool, word: str, *, components: dict[str, Any] | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"healthy": healthy, "status": word}
    if components is not None:
        part["components"] = components
    return part


def _bounded(told: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(told)) <= MOST_BYTES:
        return told
    for device in told.get("effective_config", {}).get("device", []):
        if device.get("tag"):
            device["tag"] = f"{len(device['tag'])} tags, too many to list"
    if len(msgspec.json.encode(told)) > MOST_BYTES:
        told.pop("effective_config", None)
    return told
