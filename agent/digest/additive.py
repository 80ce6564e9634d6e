"""The numbers of a digest that add up, so that a shift, day, week or month can be made again from its parts. Pure.

- Sums: samples by quality and cause, drops, disconnects, restarts, down time; and of a machine seconds by state, time
  elements, stops, failures, pieces and their planned run time, counter anomalies, kWh, also of sub-meters.
- The largest of the parts: the longest gap and stop, peak and demand.
- Not from parts, but from what they add up to: grades, KPIs, indicators.
- Not at all: the base load (a quantile of minutes), findings (they look back over days), tag aggregates and the ledger,
  which only a period has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from agent.digest.equipment.kpi import UNEXPLAINED
from agent.digest.report import DIGITS, Digest

_SAMPLES = frozenset(("expected", "good", "uncertain", "bad", "missing", "late", "disconnects"))
_TIMES = frozenset(("restarts", "agent_downtime_s", "pbt_s", "apt_s", "aust_s", "adet_s", "adot_s", "unknown_s"))
_EVENTS = frozenset(("count", "seconds", "micro_count", "micro_seconds", "repair_s", "between_s"))
_AMOUNTS = frozenset(("produced", "scrap", "rework", "ideal_s", "kwh", "idle_kwh", "joined_kwh", "known_s"))
_SUMS = _SAMPLES | _TIMES | _EVENTS | _AMOUNTS
_BY_NAME = frozenset(("drops", "bad_causes", "states", "anomalies", "sub_meters"))
_LARGEST = frozenset(("longest_gap_s", "longest_s", "peak_kw", "demand_kw"))
_OF_MACHINES = ("states", "times", "stops", "failures", "pieces", "energy")
_RELATIVE = 10.0 ** (1 - DIGITS)
_ABSOLUTE = 1e-6
"""What rounding may change of each number that is added, whichever is more."""

Path = tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Additive:
    """Numbers of one or several digests by where they stand. ``sizes``: what the sums are made of, without signs,
    for their rounding. ``unexplained``: what is null because a counter made a step of which nobody knows whether it was
    counted; so is then the sum. ``machines``: those that have numbers; ``withheld``: those of which one digest gives
    none."""

    seconds: float = 0.0
    count: int = 0
    sums: dict[Path, float] = field(default_factory=dict)
    largest: dict[Path, float] = field(default_factory=dict)
    sizes: dict[Path, float] = field(default_factory=dict)
    unexplained: set[Path] = field(default_factory=set)
    machines: set[str] = field(default_factory=set)
    withheld: set[str] = field(default_factory=set)

    def add(self, other: Additive) -> None:
        """Take another stretch of time in."""
        self.seconds += other.seconds
        self.count += other.count
        for mine, theirs in ((self.sums, other.sums), (self.sizes, other.sizes)):
            for path, value in theirs.items():
                mine[path] = mine.get(path, 0.0) + value
        for path, value in other.largest.items():
            self.largest[path] = max(value, self.largest.get(path, value))
        self.unexplained |= other.unexplained
        self.machines |= other.machines
        self.withheld |= other.withheld


def additive(digest: Digest, seconds: float) -> Additive:
    """The numbers of one digest, of a period or of more; ``seconds``: how long it was recorded for."""
    found = Additive(seconds=seconds, count=1)
    if digest.coverage is not UNSET:
        coverage: dict[str, Any] = msgspec.to_builtins(digest.coverage)
        _take(found, ("coverage", "total"), coverage["total"])
        for device in coverage["devices"]:
            _take(found, ("coverage", device["name"]), device)
    for line in digest.equipment if digest.equipment is not UNSET else ():
        if line.withheld is not UNSET:
            found.withheld.add(line.name)
            continue
        found.machines.add(line.name)
        sections: dict[str, Any] = msgspec.to_builtins(line)
        for name in _OF_MACHINES:
            _take(found, ("equipment", line.name, name), sections.get(name) or {})
    return found


def _take(found: Additive, path: Path, members: Mapping[str, Any]) -> None:
    reasons = members.get("reasons") or {"kwh": members.get("reason")}
    found.unexplained |= {(*path, name) for name, reason in reasons.items() if reason == UNEXPLAINED}
    for name, value in _numbers(members, every=path[-1] in _BY_NAME):
        if name[-1] in _LARGEST:
            found.largest[*path, *name] = value
        else:
            found.sums[*path, *name] = value
            found.sizes[*path, *name] = abs(value)


def _numbers(members: Mapping[str, Any], *, every: bool = False) -> Iterator[tuple[Path, float]]:
    for name, value in members.items():
        if name in _BY_NAME and isinstance(value, dict):
            yield from (((name, *path), each) for path, each in _numbers(value, every=True))
        elif isinstance(value, int | float) and not isinstance(value, bool) and (every or name in _SUMS | _LARGEST):
            yield (name,), float(value)


def seconds_of(digest: Digest) -> float:
    """How long a digest was recorded for: its period; of more than one, those that it was made of."""
    if digest.parts is not UNSET:
        return digest.parts.seconds
    start, end = (_seconds(each) for each in (digest.header.period.start, digest.header.period.end))
    return end - start


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def rolled_up(parts: Sequence[Digest]) -> Additive:
    """What a digest that is made of ``parts`` has to say, as far as it follows from them."""
    whole = Additive()
    for each in parts:
        whole.add(additive(each, seconds_of(each)))
    return whole


def disagreements(digest: Digest, parts: Sequence[Digest]) -> list[str]:
    """Where a digest says something else than its parts, in words; none where it agrees.

    Of a shift the machines that it has are compared.
    """
    made, said = rolled_up(parts), additive(digest, seconds_of(digest))
    problems = []
    if digest.parts is not UNSET and digest.parts.count != made.count:
        problems.append(f"parts.count is {digest.parts.count}, there are {made.count}")
    if abs(said.seconds - made.seconds) > _ABSOLUTE:
        problems.append(f"parts.seconds is {said.seconds:g}, theirs are {made.seconds:g}")
    skipped = made.withheld | said.withheld
    if digest.kind == "shift":
        skipped |= made.machines - said.machines

    for path in sorted(said.unexplained ^ made.unexplained):
        if path[1] not in skipped:
            nulls = ("is null, theirs are not", "is a number, one of theirs is null")
            problems.append(f"{'.'.join(path)} {nulls[path in made.unexplained]}")

    def compared(path: Path) -> bool:
        if path in made.unexplained | said.unexplained:
            return False
        return path[0] != "equipment" or path[1] not in skipped or path[1] in said.machines

    for stated, computed in ((said.sums, made.sums), (said.largest, made.largest)):
        for path in sorted(filter(compared, {*stated, *computed})):
            says, make = stated.get(path, 0.0), computed.get(path, 0.0)
            slack = _ABSOLUTE * max(made.count, 1) + _RELATIVE * max(made.sizes.get(path, 0.0), abs(says), abs(make))
            if abs(says - make) > slack:
                problems.append(f"{'.'.join(path)} is {says:.{DIGITS}g}, they make {make:.{DIGITS}g}")
    return problems
