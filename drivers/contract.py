"""The contract between the agent and a driver.

A driver reads points of one device and returns them as a :class:`Samples` block. It classifies its
failures and never sleeps, retries or logs: the framework owns pacing, retry and reporting. It never
writes to a device.

A useful driver is one class with ``open``, ``read`` and ``close`` and one :class:`DriverType`; see
``drivers/README.md`` for a whole one. :meth:`Samples.of` builds the block from plain values, so that
a driver's author need not know numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.browsing import Tree, Wanted
from drivers.quality import Quality as Quality  # a driver's author needs one import only

Value = float | int | bool | str
"""A plain value as a driver's author sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value to read from a device: the address and how to make a number of what is found there.

    ``index`` is the position in the device's list of points, and identifies the point in
    :class:`Samples`. An array tag becomes one point an element, with the same ``address`` and
    ``element`` = 0, 1, ….
    """

    index: int
    name: str
    address: str
    type: str = ""
    """Data type as configured (``float32``, ``bool``, …); empty: the driver's default."""
    element: int = 0
    order: str = "ABCD"
    """Byte order; only register protocols use it."""
    length: int = 0
    """Characters of a ``string``."""
    scale: float = 1.0
    offset: float = 0.0
    scale_register: str = ""
    """Address of a signed power of ten that is read with the value, in one request; only register protocols
    have it. The value is bad where it is missing or absurd."""
    factors: tuple[str, ...] = ()
    """Addresses of unsigned numbers to multiply by (the ratio of a transformer), read in the same scan."""
    block: str = ""
    """``holding:40327+10``: what the device must be asked for as a whole, and alone, to get this value right."""
    invalid: tuple[float, ...] = ()
    """Raw values (before scale and offset) that mean 'no value'; NaN stands for any NaN."""
    interval: float = 1.0
    """Seconds between reads."""
    deadband: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class PointGroup:
    """The points of one device that are read together, always the same object for the same group.

    Compared by identity, so a driver can compile a group once and keep the result by group.
    """

    points: tuple[Point, ...]
    interval: float
    """Seconds between reads."""


class FailureKind(Enum):
    """What the framework shall do about a failure."""

    TRANSIENT = "transient"
    """Goes away by itself (cable, restart, busy): close, back off, open again."""
    PERMANENT = "permanent"
    """Needs a person (wrong unit id, bad password): back off far, keep saying so in the status."""
    PARTIAL = "partial"
    """Concerns some points only; the rest of the read is valid."""


class DriverError(Exception):
    """A failure that a driver has classified.

    ``str(error)`` is one line: what and where. ``remedy`` tells the plant engineer what to do, and
    ``quality`` is the code that the affected points get. ``held``: another program has what only one can have,
    such as a serial port.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: FailureKind = FailureKind.TRANSIENT,
        quality: Quality = Quality.CONNECTION,
        remedy: str = "",
        points: tuple[int, ...] = (),
        held: bool = False,
    ) -> None:
        super().__init__(message)
        self.held = held
        self.kind = kind
        self.quality = quality
        self.remedy = remedy
        self.points = points


@dataclass(slots=True)
class Samples:
    """A columnar block of samples; all arrays have the same length, one row a sample.

    At least one row a point. A point with several has them in the order of time, and its last one is
    what it is now.

    ``index``: int32, :attr:`Point.index`. ``time``: int64, UTC microseconds at which the answer
    arrived. ``value``: float64, NaN where the quality is bad or the value is text. ``quality``:
    uint8, :class:`~drivers.quality.Quality`. ``text``: row number → text, for text values only.
    ``source_time``: int64 UTC microseconds stamped by the device, where it stamps (else ``None``).
    ``faults``: what went wrong with some of the points (:attr:`FailureKind.PARTIAL`).
    ``lost``: :attr:`Point.index` → samples that the device says it dropped (a queue that overflowed).
    """

    index: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    text: Mapping[int, str] = field(default_factory=dict)
    source_time: NDArray[np.int64] | None = None
    faults: tuple[DriverError, ...] = ()
    lost: Mapping[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(
        cls,
        values: Iterable[tuple[Point, Value | Quality | None]],
        time: int,
        faults: Sequence[DriverError] = (),
    ) -> Samples:
        """Build a block from plain values read at ``time`` (UTC microseconds).

        Numbers are scaled (``value * scale + offset``) and compared with ``invalid``; text is kept
        as text; ``None`` is recorded as bad, and a :class:`Quality` as bad with that cause.
        """
        rows = list(values)
        value = np.full(len(rows), np.nan)
        quality = np.zeros(len(rows), np.uint8)
        text: dict[int, str] = {}
        for row, (point, raw) in enumerate(rows):
            if raw is None or isinstance(raw, Quality):
                quality[row] = Quality.BAD if raw is None else raw
            elif isinstance(raw, str):
                text[row] = raw
            elif is_invalid(raw, point.invalid):
                quality[row] = Quality.INVALID
            else:
                value[row] = float(raw) * point.scale + point.offset
                if isinstance(raw, int) and abs(raw) > 2**53:
                    quality[row] = Quality.IMPRECISE
        return cls(
            index=np.fromiter((point.index for point, _ in rows), np.int32, len(rows)),
            time=np.full(len(rows), time, np.int64),
            value=value,
            quality=quality,
            text=text,
            faults=tuple(faults),
        )

    @classmethod
    def bad(cls, points: Sequence[Point], time: int, quality: Quality) -> Samples:
        """Every point bad with one cause: what is recorded when a device cannot be read."""
        return cls.of(((point, quality) for point in points), time)


def is_invalid(raw: float, invalid: Sequence[float]) -> bool:
    """Whether a raw value is one of those that mean 'no value'; NaN always is."""
    return raw != raw or raw in invalid


def _nobody(_text: str) -> None:
    """Nobody listens."""


class LearnedRecord(Protocol):
    """What was learned about one device, kept where the framework sees fit; an operator can see and reset it.

    Fit for what spares the device trials (limits, holes, habits), not for what must never be lost: it may be gone
    at any time. ``of`` says in plain words what the record is about, with all that makes it another device
    (``192.168.1.10:502 unit 1``); never a secret. No method raises.
    """

    def recall(self, of: str) -> Mapping[str, Any]:
        """What was kept last about the same ``of``; else nothing. JSON values that somebody may have edited:
        check each before use."""

    def keep(self, of: str, learned: Mapping[str, Any], *, closing: bool = False) -> None:
        """Replace the record, JSON values of at most 64 KiB in all. May be called as often as it changes: the
        framework limits how often it writes. ``closing``: this is the last for now."""

    def forgotten(self) -> bool:
        """Whether an operator has reset the record since :meth:`recall`; true once, cheap enough for each read."""


class Unkept:
    """A record that nobody keeps."""

    def recall(self, of: str) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def keep(self, of: str, learned: Mapping[str, Any], *, closing: bool = False) -> None:
        """Let go."""

    def forgotten(self) -> bool:
        """Never."""
        return False


def _nobody_vouches() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the framework lends to a driver."""

    device: str
    """Name of the configured device, for messages."""
    now: Callable[[], int]
    """The agent's clock: UTC microseconds. Stamp samples with it when the answer arrives."""
    shared: MutableMapping[Hashable, Any] = field(default_factory=dict)
    """Things that the devices of one agent share by key, such as the connection of a bus. What is
    put here is removed by the driver whose ``close`` leaves it unused."""
    state_dir: Path | None = None
    """Folder (mode 0700, one for all devices of a driver) in which a driver that :attr:`DriverType.keeps_state`
    keeps what must outlive the process, such as keys and pinned certificates. None: nothing can be kept."""
    learned: LearnedRecord = field(default_factory=Unkept)
    """What this device has taught, beyond the life of the process."""
    clock_trusted: Callable[[], bool] = _nobody_vouches
    """Whether somebody vouches for :attr:`now`; what a wrong time would spoil for good waits for that."""
    trust: bool = False
    """An operator is present and says: whoever answers now is the device; pin its identity."""
    tell: Callable[[str], None] = _nobody
    """Says a line to the operator, or to the log: what was pinned, what will end soon."""


class Driver(Protocol):
    """One device as the framework drives it.

    One object lives as long as the device's configuration, so what it learned (a compiled group, a
    hole in the register map) outlives a reconnect. Calls never overlap. All methods may be
    cancelled at any await and must leave nothing running behind.
    """

    async def open(self) -> None:
        """Connect, with a new client object each time. Bounded in time; raises DriverError."""

    async def read(self, group: PointGroup) -> Samples:
        """What every point of the group is now: at least one row a point, the points in any order.

        A driver that polls reads each point once and gives one row for it, stamped within the call. A
        driver that is told of changes gives a row for each that arrived since the last read of the group,
        stamped with its arrival, and repeats the last value of a point without one, stamped with the
        arrival of the device's latest answer: that answer vouches that nothing has changed. It waits
        for such an answer where none has come since the last read, and vouches for nothing beyond it.

        A group without points asks only whether the device is there, and gives no rows.

        Points that failed are rows of bad quality, explained in ``faults``. Raises DriverError
        only when the device gave nothing at all. Bounded in time.
        """

    async def close(self) -> None:
        """Release everything. Never raises DriverError; may be called twice or before open."""

    def observations(self) -> Mapping[str, Any]:
        """What was learned about the device, as JSON-able values for the status.

        A driver that derives from this class and learns nothing need not define it.
        """
        return {}


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a device's configuration, found without touching the device.

    ``field`` is the key it is about (``address``, ``connection.port``); ``point`` the point's index
    when it is about a tag; ``remedy`` what to write instead.
    """

    field: str
    message: str
    remedy: str = ""
    point: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a point's address was read, for the engineer who compares it with the manual.

    ``text``: where and what, in the protocol's words (``holding 100-101 (40101), float32, order CDAB``).
    ``place``: equal for points that read the same thing in the same way. ``doubt``: how else the address could
    have been meant, with what to write then; empty where there is one way only.

    ``area`` and ``span`` tell whether two points of a device may hold the same data, however it is read: they may
    where the areas are equal and the spans (from, up to and without) cross; no span is the whole area, no area
    cannot be told from any other of the device.
    """

    text: str
    place: Hashable
    doubt: str = ""
    area: Hashable = None
    span: tuple[int, int] | None = None


def _no_explanations(_options: Any, _points: Sequence[Point]) -> Sequence[Explanation]:
    return ()


def _no_problems(_options: Any, _points: Sequence[Point]) -> Sequence[Problem]:
    return ()


@dataclass(frozen=True, slots=True)
class DriverType:
    """What the registry hands out for a driver's name.

    ``options`` is a :class:`msgspec.Struct` that the device's ``connection`` table is converted
    to. ``create(options, points, context)`` makes the driver and must not connect. ``check(options,
    points)`` is pure and fast: it finds faults in addresses and options without importing the
    protocol's library.
    """

    name: str
    options: type[msgspec.Struct]
    create: Callable[[Any, Sequence[Point], Context], Driver]
    check: Callable[[Any, Sequence[Point]], Sequence[Problem]] = _no_problems
    keeps_state: bool = False
    """Whether it needs :attr:`Context.state_dir`."""
    explain: Callable[[Any, Sequence[Point]], Sequence[Explanation]] = _no_explanations
    """Pure, for points that ``check`` found no fault in: one explanation a point, or none at all."""
    browse: Callable[[Any, Context, Wanted], Coroutine[Any, Any, Tree]] | None = None
    """Look around in a device: ``browse(options, context, wanted)`` connects, looks and lets go; raises
    DriverError. None: the protocol cannot tell what a device has."""
