"""What the store keeps besides blocks. Times are UTC microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the agent or a device: ``start``, ``stop``, ``connect``, ``disconnect``,
    ``clock_step``, ``clock_trusted``, ``configuration``."""

    time: int
    kind: str
    device: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = 0
    """Epoch of the clock that stamped it; 0: never re-stamped."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that was shed, dropped, rejected or missed between ``start`` and ``end``, and why."""

    start: int
    end: int
    cause: str
    device: str = ""
    series: str = ""
    count: int = 0
    """Samples, or digests, as the cause says."""
    epoch: int = 0
    """Epoch of the clock that stamped it; 0: never re-stamped."""
    noted: int = field(default=0, compare=False)
    """When it was entered in the ledger, or last extended; set by the store."""
    stream: str = ""
    """The stream whose chain it is about; empty: the gateway's own chain, or the plant's data."""


@dataclass(frozen=True, slots=True)
class DigestRecord:
    """A digest as it was signed: ``body`` are its exact bytes."""

    seq: int
    kind: str
    start: int
    end: int
    hash: str
    previous: str
    body: bytes
    jws: str
    state: Literal["pending", "accepted", "rejected"] = "pending"
    reason: str = ""
    settled: int = 0
    """When the platform gave its answer; 0: not yet."""
    stream: str = ""
    """Empty: the gateway's own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a digest stands in its chain: its number, its kind, and from when to when it tells."""

    seq: int
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Closed:
    """How far digests have come. Periods from ``since`` to ``told`` were closed during the epoch, by its own
    stamps; nothing before ``until`` will be looked at again. UTC microseconds."""

    since: int
    told: int
    until: int


@dataclass(frozen=True, slots=True)
class DigestAside:
    """A digest of a branch that the platform does not have."""

    number: int
    became: int | None
    """Its ``seq`` in the chain now; 0: the platform has its period from another digest; None: undecided."""
    noted: int
    """When it was set aside."""
    record: DigestRecord
    """The digest as it was signed."""


@dataclass(frozen=True, slots=True)
class RollupRecord:
    """Sums of a ``period``, of a calendar ``day`` of the plant, or what was ``told`` of a day in its digest, where that
    is less."""

    kind: str
    start: int
    end: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """One request to the platform that left the plant, or may have."""

    time: int
    seq: int | None
    """The digest's number, where it carried one."""
    kind: str
    """``digest``, ``status``, or the questions ``head``, ``config`` and ``prescriptions``, which carry only the
    gateway's token."""
    bytes: int
    """Bytes of the request and of its answer on the wire: lines, headers (partly estimated) and bodies, compressed."""
    status: int
    """HTTP status; 0: no answer."""
    audience: str = ""
    """To whom; empty: the platform that the gateway belongs to."""
    host: str = ""
    """Where to: host and port of the URL."""


@dataclass(frozen=True, slots=True)
class Stats:
    """How full the buffer is."""

    bytes: int
    samples: int
    oldest: int | None
    bytes_written: int
    """Bytes that this process has written to disk since it opened the buffer, whatever for."""
