"""Whether digests of shifts, days, weeks and months say what their parts make, from exported files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from agent.digest.additive import disagreements
from agent.digest.report import Digest, decode
from agent.evidence.verify import Result

MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """One line for people, and whether a number is another than its parts make."""

    line: str
    disagrees: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is remembered of a file; a year of digests would not fit into memory."""

    path: Path
    seq: int
    kind: str
    start: str


def agreements(results: Iterable[Result]) -> list[Agreement]:
    """One for each digest of a span, of those that hold by themselves; chain by chain, in their order."""
    chains: dict[str, list[Result]] = {}
    for result in results:
        chains.setdefault(result.chain, []).append(result)
    found = []
    for name, chain in chains.items():
        prefix = f"{name}: " if len(chains) > 1 else ""
        found += [Agreement(prefix + each.line, each.disagrees) for each in _of_chain(chain)]
    return found


def _of_chain(results: Sequence[Result]) -> list[Agreement]:
    entries = {}
    spans = []
    for result in results:
        digest = _read(result.path) if result.ok else None
        if digest is None:
            continue
        header = digest.header
        entries[header.seq] = _Entry(result.path, header.seq, digest.kind, header.period.start)
        if digest.parts is not UNSET:
            spans.append(digest)
    return [_judged(each, entries) for each in spans]


def _read(path: Path) -> Digest | None:
    try:
        return decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):  # of another version, or gone meanwhile: its signature was checked
        return None


def _judged(digest: Digest, entries: dict[int, _Entry]) -> Agreement:
    told, period = digest.parts, digest.header.period
    assert told is not UNSET
    left_out = () if told.without is UNSET else told.without
    chosen = [
        entry
        for seq in range(told.first_seq, told.last_seq + 1)
        if (entry := entries.get(seq)) is not None
        and entry.kind == told.kind
        and period.start <= entry.start < period.end
        and not any(each.first_seq <= seq <= each.last_seq for each in left_out)
    ]
    name = f"digest {digest.header.seq} ({_name(digest)})"
    parts = [part for each in chosen if (part := _read(each.path)) is not None]
    if len(parts) < told.count:
        missing = f"{told.count - len(parts)} of {_parts(told.count)}"
        return Agreement(f"{name} is not compared: {missing} are not among these files, or do not hold")
    if any(each.granted != digest.granted for each in parts):
        return Agreement(f"{name} is not compared: more or less was granted when some of its parts were made")
    problems = disagreements(digest, parts)
    if not problems:
        return Agreement(f"{name} agrees with {_parts(len(parts))}")
    more = f" (and {len(problems) - MOST_SHOWN} more)" if len(problems) > MOST_SHOWN else ""
    said = "; ".join(problems[:MOST_SHOWN])
    return Agreement(f"{name} DISAGREES with {_parts(len(parts))}: {said}{more}", disagrees=True)


def _parts(count: int) -> str:
    return f"its {count} parts" if count != 1 else "its one part"


def _name(digest: Digest) -> str:
    if digest.shift is not UNSET:
        return f"shift {digest.shift.date} {digest.shift.times}"
    begin = datetime.fromisoformat(digest.header.period.start).astimezone(ZoneInfo(digest.header.timezone))
    return f"month {begin:%Y-%m}" if digest.kind == "month" else f"{digest.kind} {begin:%Y-%m-%d}"
