"""Options of the simulated device, and what can be wrong with them and with its addresses."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from drivers.contract import Point, Problem
from drivers.simulated.signals import AddressError, parse

TYPES = frozenset(
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64 string".split()  # noqa: SIM905
)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults on demand; the defaults are a healthy device. Durations are seconds or ``"250ms"``."""

    latency: float | str = 0.0
    """How long each answer takes."""
    timeout: float | str = 1.0
    """How long the driver waits for an answer."""
    fail_open: int = 0
    """The first so many attempts to open fail."""
    fail_every: int = 0
    """Every so manieth read fails as a whole; 1: each read; 0: none."""
    failure: Literal["transient", "permanent"] = "transient"
    """Kind of the failures above."""
    outage_every: float | str = 0.0
    """The device vanishes at the start of each such span of UTC …"""
    outage_for: float | str = 0.0
    """… for so long."""
    cable: str = ""
    """Path of a file: the device answers only while it exists."""
    drop: tuple[str, ...] = ()
    """Names of points that the device refuses; the others go on."""


def seconds(text: float | str) -> float:
    """``0.25``, ``"250ms"`` or ``"15m"`` in seconds; raises ValueError."""
    if not isinstance(text, str):
        value = float(text)
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)\s*", text)
        if not found:
            raise ValueError(f'"{text}" is not a duration')
        value = float(found[1]) * _UNITS[found[2]]
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{value} is not a duration")
    return value


def check(options: Options, points: Sequence[Point]) -> Sequence[Problem]:
    """Everything wrong with the options and the addresses."""
    return [*_check_options(options, points), *_check_points(points)]


def _check_options(options: Options, points: Sequence[Point]) -> list[Problem]:
    problems = []
    for key in ("latency", "timeout", "outage_every", "outage_for"):
        try:
            seconds(getattr(options, key))
        except ValueError as error:
            problems.append(Problem(f"connection.{key}", str(error), 'write it as "250ms", "1s" or "5m"'))
    problems += [
        Problem(f"connection.{key}", "is negative", "write 0 for none")
        for key in ("fail_open", "fail_every")
        if getattr(options, key) < 0
    ]
    known = {point.name for point in points}
    problems += [
        Problem("connection.drop", f'no tag is named "{name}"', "name a tag of this device")
        for name in options.drop
        if name not in known
    ]
    return problems


def _check_points(points: Sequence[Point]) -> list[Problem]:
    problems = []
    for point in points:
        try:
            signal = parse(point.address)
        except AddressError as error:
            problems.append(Problem("address", str(error), error.remedy, point.index))
            continue
        if point.type and point.type not in TYPES:
            known = ", ".join(sorted(TYPES))
            problems.append(Problem("type", f'unknown type "{point.type}"', f"one of {known}", point.index))
        elif point.type and (point.type == "string") != (signal.kind == "text"):
            message = f'"{signal.kind}" does not go with type "{point.type}"'
            problems.append(Problem("type", message, 'text: goes with type = "string"', point.index))
    return problems
