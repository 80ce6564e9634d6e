"""The digest of a shift, day, week or month, from the sums of those that it is made of. Pure.

A shift and a day are made of periods; a week and a month of days where digests of days are built, else of periods.
What the chain of this gateway does not have is no part: whoever has the chain can make the same sums again
(:mod:`.additive`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import UNSET

from agent.buffer.records import Place
from agent.config.model import Configuration
from agent.digest.audience import EVERYTHING, View
from agent.digest.build import affiliation, header
from agent.digest.content import content
from agent.digest.inputs import Facts
from agent.digest.report import SCHEMA, Digest, Numbers, Parts, Shift, seconds
from agent.digest.rollups import DAY, PERIOD, Sums, add
from agent.digest.spans import Rolled
from agent.digest.spec import compile_spec
from agent.digest.windows import SECOND, Period


def part_kind(rolled: Rolled, kinds: Collection[str]) -> str:
    """What a digest of ``rolled`` is made of, where digests of ``kinds`` are built."""
    return DAY if rolled.kind in ("week", "month") and DAY in kinds else PERIOD


def parts_of(rolled: Rolled, kind: str, chain: Iterable[Place]) -> list[Place]:
    """Those of the chain that it is made of, in the order of time.

    What is longer than the span is none: the one long period after an absence of weeks would be said to be a day.
    """
    span = rolled.span
    inside = [
        each
        for each in chain
        if each.kind == kind and span.start <= each.start < span.end and each.end - each.start <= span.length
    ]
    # Told twice, after a clock had been years ahead: the last word counts.
    latest = {each.start: each for each in sorted(inside, key=lambda each: each.seq)}
    chosen: list[Place] = []
    for _, each in sorted(latest.items()):
        # Days overlap where the plant's time zone was changed: nothing is counted twice.
        if not chosen or each.start >= chosen[-1].end:
            chosen.append(each)
    return chosen


def rollup(
    rolled: Rolled,
    parts: Sequence[tuple[Place, Sums]],
    chain: Iterable[Place],
    days: Sequence[Sums],
    facts: Facts,
    configuration: Configuration,
    view: View = EVERYTHING,
) -> tuple[Digest, Sums]:
    """The digest for whom ``view`` is of, and the sums that it is made from. ``parts``: at least one, in the order of
    time. ``chain``: all of it that is known from the first part to the last. ``days``: as findings look at them,
    oldest first; the last one is taken from ``parts`` where ``rolled`` is a day."""
    sums = _total([each for _, each in parts])
    if rolled.kind == "day" or not days:
        days = [*(each for each in days if each.start < rolled.span.start), sums]
    said = content(sums, days, configuration, rolled.machines if rolled.kind == "shift" else None, view)
    digest = Digest(
        schema=SCHEMA,
        kind=rolled.kind,
        header=header(rolled.span, facts),
        affiliation=affiliation(configuration.file.enterprise),
        coverage=said.coverage,
        tags=(),
        ledger=(),
        equipment=said.equipment or UNSET,
        indicators=said.indicators,
        findings=said.findings,
        findings_assessed=said.findings_assessed,
        rules=said.rules,
        tables=said.tables,
        parts=_told([place for place, _ in parts], chain, sums),
        shift=shift_of(rolled.span, ZoneInfo(facts.timezone)) if rolled.kind == "shift" else UNSET,
    )
    return view.digest(digest, compile_spec(configuration, {}, {})), sums


def shift_of(span: Period, zone: ZoneInfo) -> Shift:
    """A shift as the plant's calendar writes it."""
    begin, end = (datetime.fromtimestamp(each // SECOND, zone) for each in (span.start, span.end))
    # Midnight ends a day; it is written so in the configuration.
    until = "24:00" if end.hour == end.minute == 0 else f"{end:%H:%M}"
    return Shift(date=f"{begin:%Y-%m-%d}", times=f"{begin:%H:%M}-{until}")


def _total(parts: Sequence[Sums]) -> Sums:
    sums = parts[0]
    for each in parts[1:]:
        sums = add(sums, each)
    return sums


def _told(parts: Sequence[Place], chain: Iterable[Place], sums: Sums) -> Parts:
    numbers = {each.seq for each in parts}
    first, last, kind = min(numbers), max(numbers), parts[0].kind
    known: Mapping[int, str] = {each.seq: each.kind for each in chain}
    others = [seq for seq in range(first, last) if seq not in numbers and known.get(seq, kind) == kind]
    return Parts(
        kind=DAY if kind == DAY else PERIOD,
        first_seq=first,
        last_seq=last,
        count=len(parts),
        seconds=seconds(sums.covered_us),
        without=_runs(others) or UNSET,
    )


def _runs(numbers: Sequence[int]) -> tuple[Numbers, ...]:
    runs: list[list[int]] = []
    for each in numbers:
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    return tuple(Numbers(first_seq=first, last_seq=last) for first, last in runs)
