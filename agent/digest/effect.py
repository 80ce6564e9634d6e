"""The measured effect of a prescription: its target indicator before and after the day of adoption. Pure.

Both are made from the sums of whole days of the plant, never from ratios. The day of adoption belongs to
neither; the running day does not count yet. Where too little is known the numbers stand for themselves, with
their coverage, and nothing is concluded from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, reduce
from importlib.resources import files
from zoneinfo import ZoneInfo

import msgspec

from agent.digest.equipment.kpi import Kpi, kpis
from agent.digest.equipment.sums import MachineSums, add
from agent.digest.measures import coverage_of
from agent.digest.report import Number, PrescribedTarget, Span, Stretch, number
from agent.digest.rollups import Sums, day_begin
from agent.digest.windows import SECOND, iso

INSUFFICIENT = "insufficient evidence"
_DAY = timedelta(days=1)
NO_DAY_AFTER = "no whole day since the adoption yet"


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our own proposal, no norm: how far back to look, and what it takes to conclude anything."""

    name: str
    before_days: int
    least_days: int
    least_coverage: float


@cache
def terms() -> Terms:
    """The terms in force (``effect.json``)."""
    return msgspec.json.decode((files("agent.digest") / "effect.json").read_bytes(), type=Terms)


@dataclass(frozen=True, slots=True)
class Effect:
    """``before``, ``after``: None where nothing was recorded. ``change``: after minus before. ``reached``: None where
    that cannot be told; ``reason`` says why."""

    before: Stretch | None = None
    after: Stretch | None = None
    change: Number = None
    reached: bool | None = None
    reason: str = ""


def first_day_needed(adopted: date) -> date:
    """From when on :func:`effect` looks at days."""
    return adopted - timedelta(days=terms().before_days)


def effect(
    target: PrescribedTarget, adopted: date, until: date, days: Sequence[Sums], today: date, zone: ZoneInfo
) -> Effect:
    """``days``: sums of the plant's days, in any order; ``until``: the last day that counts; ``today`` runs still."""
    if target.indicator not in _codes():
        return Effect(reason=f"this gateway does not know the indicator {target.indicator}")
    mine = {
        local_date(each.start, zone): each.machines[target.machine] for each in days if target.machine in each.machines
    }
    yesterday = today - _DAY
    before = _stretch(target, mine, (first_day_needed(adopted), adopted - _DAY), zone, from_record=True)
    after = _stretch(target, mine, (adopted + _DAY, min(until, yesterday)), zone)
    doubts = {"before": _doubt(before), "after": _doubt(after) if after else NO_DAY_AFTER}
    told = [f"{name}: {doubt}" for name, doubt in doubts.items() if doubt]
    reached = None
    if after is not None and after.value is not None and not doubts["after"]:
        reached = after.value >= target.value if target.side == "at_least" else after.value <= target.value
    change = None
    if before is not None and after is not None and not told and before.value is not None and after.value is not None:
        change = number(after.value - before.value)
    return Effect(before, after, change, reached, f"{INSUFFICIENT}: {'; '.join(told)}" if told else "")


def local_date(time: int, zone: ZoneInfo) -> date:
    """The plant's date at a time (UTC microseconds)."""
    return datetime.fromtimestamp(time // SECOND, zone).date()


def _stretch(
    target: PrescribedTarget,
    days: Mapping[date, MachineSums],
    window: tuple[date, date],
    zone: ZoneInfo,
    *,
    from_record: bool = False,
) -> Stretch | None:
    """``from_record``: expect nothing of the time before the first record, on a gateway or machine that is new."""
    first, last = window
    found = sorted(each for each in days if first <= each <= last)
    if not found:
        return None
    begin = found[0] if from_record else first
    start, second, end = (day_begin(each, zone) for each in (begin, begin + _DAY, last + _DAY))
    sums = reduce(add, (days[each] for each in found))
    due = end - second + days[begin].span_us if from_record else end - start
    known = coverage_of(sums, "energy" if target.indicator.startswith("ENPI.") else "planned")
    kpi = _kpi(sums, target.indicator)
    return Stretch(
        span=Span(start=iso(start), end=iso(end)),
        days=len(found),
        value=_number(kpi.value),
        unit=kpi.unit,
        numerator=_number(kpi.numerator),
        denominator=_number(kpi.denominator),
        coverage=None if known is None else number(known * sums.span_us / due),
        reason=kpi.reason or msgspec.UNSET,
    )


def _doubt(stretch: Stretch | None) -> str:
    """Why nothing is to be concluded from it; empty: it holds."""
    needed = terms()
    if stretch is None:
        return "nothing was recorded"
    if stretch.days < needed.least_days:
        return f"{stretch.days} of the {needed.least_days} days needed are recorded"
    if stretch.value is None:
        return str(stretch.reason)
    if stretch.coverage is None:
        return "no time was planned"
    if stretch.coverage < needed.least_coverage:
        return f"{100 * stretch.coverage:.1f} % is known, {100 * needed.least_coverage:g} % are needed"
    return ""


def _kpi(sums: MachineSums, code: str) -> Kpi:
    return next(each for each in kpis(sums) if each.code == code)


@cache
def _codes() -> frozenset[str]:
    return frozenset(each.code for each in kpis(MachineSums()))


def known_indicators() -> list[str]:
    """What a target may name."""
    return sorted(_codes())


def _number(value: float | None) -> Number:
    return None if value is None else number(value)
