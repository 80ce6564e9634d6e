"""The shape of the status: what ``status --json`` prints and ``/api/status`` answers.

Names are the public face: fields are added, never renamed. Times are ISO 8601 in UTC, or null where
there was none yet.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from agent.health.host import Host

DeviceState = Literal["starting", "running", "degraded", "down", "off"]
ComponentState = Literal["starting", "running", "restarting", "stopped"]
ConfigState = Literal["UNSET", "APPLYING", "APPLIED", "FAILED"]
Verdict = Literal["healthy", "attention", "unhealthy", "unknown"]
"""``attention``: data flows to disk, but somebody should look; ``unknown``: an older agent does not say."""
UplinkState = Literal["off", "starting", "connected", "waiting", "failing", "refused"]


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the status."""


class ClockStatus(_Part, frozen=True):
    trusted: bool
    source: str
    """``ntp``, ``platform`` or ``none``."""
    offset_s: float
    """System clock minus the agent's clock."""


class DeviceStatus(_Part, frozen=True):
    name: str
    state: DeviceState
    good: int
    """Points whose last value is good or uncertain."""
    bad: int
    reconnects: int
    last_good: str | None
    latency_ms: float
    """Duration of the last scan."""
    late: int
    """Scans skipped because the previous one took too long."""
    scans: int = 0
    """Scans since the agent started."""
    first_good: str | None = None
    last_error: str = ""
    remedy: str = ""
    faults: tuple[str, ...] = ()
    """What is wrong with some of the points."""
    observations: dict[str, Any] = {}


class BufferStatus(_Part, frozen=True):
    bytes: int
    """Size of the database on disk."""
    samples: int
    oldest: str | None
    bytes_written: int
    """Bytes of blocks committed since the agent started."""
    max_bytes: int = 0
    failing: str = ""
    """Why the disk does not take data at the moment."""


class DigestStatus(_Part, frozen=True):
    built: int
    pending: int
    accepted: int
    rejected: int
    last_accepted: str | None
    """When the platform last accepted one."""
    last_seq: int = 0
    last_rejection: str = ""


class ConfigStatus(_Part, frozen=True):
    source: str
    """``file``, or the platform that sent it."""
    running_hash: str
    attempted_hash: str = ""
    """Of the configuration that was tried last; of the bundle where it came to none."""
    status: ConfigState = "UNSET"
    last_error: str = ""
    told_error: str = ""
    """The same as the platform is told it: codes, names and causes."""
    running_revision: int = 0
    """Of the platform's configuration; 0: the local file alone."""
    attempted_revision: int = 0
    locked_until: str | None = None
    """The local engineer keeps the platform out until then."""
    trust_problem: str = ""
    """Why nothing that the platform sends can be taken; empty where it can, or is not meant to."""
    freshness: Literal["unknown", "current", "stale"] = "unknown"
    """Whether this is known to be the newest that the administrators signed; unknown where nobody vouches for it."""


class LossStatus(_Part, frozen=True):
    """Everything lost for one cause."""

    entries: int
    count: int
    """Samples or digests, as the cause says."""
    since: str
    until: str


class UplinkStatus(_Part, frozen=True):
    state: UplinkState
    url: str = ""
    last_contact: str | None = None
    last_error: str = ""
    remedy: str = ""
    bytes_today: int = 0
    max_bytes_per_day: int = 0


class AudienceStatus(_Part, frozen=True):
    """Digests for a further audience."""

    name: str
    state: Literal["starting", "connected", "waiting", "failing", "refused", "removed"]
    """``removed``: it is not configured any more; its digests are kept and not sent."""
    pending: int
    accepted: int
    rejected: int
    last_accepted: str | None
    url: str = ""
    last_contact: str | None = None
    last_error: str = ""
    remedy: str = ""


class ComponentStatus(_Part, frozen=True):
    """A component of the agent under its supervision; code, error and remedy are empty when it is well."""

    name: str
    state: ComponentState
    restarts: int
    essential: bool = False
    """Whether the gateway is not healthy without it."""
    code: str = ""
    """A word for programs: ``hung``, ``ended``, ``unexpected``, ``MemoryError``, ``ENOSPC`` and its like."""
    error: str = ""
    remedy: str = ""


class Health(_Part, frozen=True):
    """Whether the agent does what it is there for; ``/healthz`` answers 503 when not."""

    healthy: bool
    reasons: tuple[str, ...] = ()
    """Why not."""
    warnings: tuple[str, ...] = ()
    """What else an operator should look at."""
    verdict: Verdict = "unknown"
    """Both in one word, the same wherever it is shown."""


class Status(_Part, frozen=True):
    gateway: str
    """Name, as configured."""
    gateway_id: str
    version: str
    time: str
    """The agent's clock when this was said."""
    uptime_s: float
    health: Health
    clock: ClockStatus
    devices: tuple[DeviceStatus, ...]
    buffer: BufferStatus
    digests: DigestStatus
    config: ConfigStatus
    ledger: dict[str, LossStatus]
    """By cause."""
    uplink: UplinkStatus = UplinkStatus(state="off")
    host: Host | None = None
    audiences: tuple[AudienceStatus, ...] = ()
    components: tuple[ComponentStatus, ...] = ()


def encode(status: Status) -> bytes:
    """JSON bytes."""
    return msgspec.json.encode(status)


def decode(data: bytes) -> Status:
    """The status from JSON bytes; fields added by a newer agent are ignored."""
    return msgspec.json.decode(data, type=Status)


def stamp(time_us: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def iso(time_us: int | None) -> str | None:
    """As :func:`stamp`; None for None and for 0, which stands for 'not yet'."""
    return stamp(time_us) if time_us else None
