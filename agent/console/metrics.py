"""The status in Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import get_args

from agent.health.model import DeviceState
from agent.health.status import Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Value = float | int | bool | None
Labels = Mapping[str, str]
Sample = tuple[Labels, Value]
Family = tuple[str, str, str, Iterable[Sample]]
"""(name without prefix, type, help, samples); a sample whose value is None is left out."""


def render(status: Status) -> str:
    """The whole exposition; every name begins with ``gongfu_edge_``."""
    families = (*_agent(status), *_devices(status), *_keeping(status), *_host(status))
    return "".join(_family(*family) for family in families)


def _agent(status: Status) -> Iterator[Family]:
    labels = {"gateway": status.gateway, "gateway_id": status.gateway_id, "version": status.version}
    yield "info", "gauge", "Who this is.", [(labels, 1)]
    yield "healthy", "gauge", "Whether data flows to disk.", [({}, status.health.healthy)]
    yield "uptime_seconds", "gauge", "Time since the agent started.", [({}, status.uptime_s)]
    components = [({"component": each.name}, each) for each in status.components]
    failing = [(labels, bool(each.code)) for labels, each in components]
    yield "component_failing", "gauge", "Whether a component of the agent failed lately.", failing
    restarts = [(labels, each.restarts) for labels, each in components]
    yield "component_restarts_total", "counter", "Starts of a component beyond its first.", restarts
    yield "clock_trusted", "gauge", "Whether time stamps may be believed.", [({}, status.clock.trusted)]
    yield "clock_offset_seconds", "gauge", "System clock minus the agent's.", [({}, status.clock.offset_s)]


def _devices(status: Status) -> Iterator[Family]:
    each = [({"device": device.name}, device) for device in status.devices]
    states = [
        ({**labels, "state": state}, device.state == state)
        for labels, device in each
        for state in get_args(DeviceState)
    ]
    yield "device_state", "gauge", "1 for the state that the device is in.", states
    points = [
        ({**labels, "quality": quality}, count)
        for labels, device in each
        for quality, count in (("good", device.good), ("bad", device.bad))
    ]
    yield "device_points", "gauge", "Points by the quality of their last value.", points
    yield "device_scans_total", "counter", "Scans made.", [(labels, device.scans) for labels, device in each]
    late = [(labels, device.late) for labels, device in each]
    yield "device_late_scans_total", "counter", "Scans skipped because the one before took too long.", late
    again = [(labels, device.reconnects) for labels, device in each]
    yield "device_reconnects_total", "counter", "Connections made anew.", again
    took = [(labels, device.latency_ms / 1000) for labels, device in each]
    yield "device_scan_duration_seconds", "gauge", "Duration of the last scan.", took
    last = [(labels, _seconds(device.last_good)) for labels, device in each]
    yield "device_last_good_timestamp_seconds", "gauge", "When the device last gave a good value.", last


def _keeping(status: Status) -> Iterator[Family]:
    buffer, digests, uplink = status.buffer, status.digests, status.uplink
    yield "buffer_bytes", "gauge", "Size of the buffer on disk.", [({}, buffer.bytes)]
    yield "buffer_max_bytes", "gauge", "What it may grow to.", [({}, buffer.max_bytes or None)]
    yield "buffer_samples", "gauge", "Samples in the buffer.", [({}, buffer.samples)]
    yield "buffer_oldest_timestamp_seconds", "gauge", "Oldest sample.", [({}, _seconds(buffer.oldest))]
    yield "buffer_written_bytes_total", "counter", "Bytes of blocks committed.", [({}, buffer.bytes_written)]
    yield "buffer_failing", "gauge", "Whether the disk refuses data now.", [({}, bool(buffer.failing))]
    states = [({"state": state}, getattr(digests, state)) for state in ("pending", "accepted", "rejected")]
    yield "digests", "gauge", "Digests kept, by state.", states
    lost = [({"cause": cause}, loss.count) for cause, loss in status.ledger.items()]
    yield "lost", "gauge", "What the loss ledger holds, by cause.", lost
    if uplink.state != "off":
        yield "uplink_connected", "gauge", "Whether the platform takes digests.", [({}, uplink.state == "connected")]
        yield "uplink_bytes_today", "gauge", "Bytes sent today.", [({}, uplink.bytes_today)]
        contact = _seconds(uplink.last_contact)
        yield "uplink_last_contact_timestamp_seconds", "gauge", "Last answer of the platform.", [({}, contact)]


def _host(status: Status) -> Iterator[Family]:
    host = status.host
    if host is None:
        return
    yield "host_cpu_ratio", "gauge", "Use of all cores together.", [({}, round(host.cpu_percent / 100, 4))]
    yield "host_load_1m", "gauge", "Load average of a minute.", [({}, host.load_1m)]
    yield "host_memory_available_bytes", "gauge", "Memory to be had.", [({}, host.memory_available)]
    yield "host_memory_bytes", "gauge", "Memory.", [({}, host.memory_total)]
    yield "host_disk_free_bytes", "gauge", "Free disk under the data directory.", [({}, host.disk_free)]
    yield "host_disk_bytes", "gauge", "Disk under the data directory.", [({}, host.disk_total)]
    yield "host_temperature_celsius", "gauge", "Temperature of the processor.", [({}, host.temperature_c)]
    yield "resident_memory_bytes", "gauge", "Memory of the agent.", [({}, host.rss)]
    yield "cpu_seconds_total", "counter", "Processor time of the agent.", [({}, host.agent_cpu_s)]


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [
        f"gongfu_edge_{name}{_labels(labels)} {float(value):.17g}\n" for labels, value in samples if value is not None
    ]
    if not lines:
        return ""
    return f"# HELP gongfu_edge_{name} {text}\n# TYPE gongfu_edge_{name} {kind}\n" + "".join(lines)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
