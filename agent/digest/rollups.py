"""What is kept of a period besides its digest: sums, and what was open on the machines at its end. Pure.

A day of the plant is the sum of its periods, taken in their order; a period belongs to the day in which it
begins. Ratios are made from sums when they are asked for, never added or averaged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from agent.buffer.records import RollupRecord
from agent.digest.counters import Path
from agent.digest.equipment.sums import MachineSums
from agent.digest.equipment.sums import add as add_machines
from agent.digest.equipment.times import Carry
from agent.digest.report import Coverage
from agent.digest.windows import SECOND, Period

log = logging.getLogger(__name__)

T = TypeVar("T")

PERIOD: Final = "period"
DAY: Final = "day"
TOLD: Final = "told"
"""The sums of a day as its digest says them, where those are not all of the day's."""
LONGEST_WINDOW_DAYS = 28
"""So far back findings look, the day of the period included."""


class DeviceSums(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Samples as in :class:`~agent.digest.report.DeviceCoverage`; ``timeouts``: of the bad ones. ``interval_us``
    and ``points``: as last configured."""

    expected: int = 0
    good: int = 0
    bad: int = 0
    missing: int = 0
    timeouts: int = 0
    disconnects: int = 0
    uncertain: int = 0
    late: int = 0
    longest_gap_us: int = 0
    bad_causes: dict[str, int] = {}
    drops: dict[str, int] = {}
    interval_us: int = 0
    points: int = 0


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Of one or several periods, from ``start`` up to ``end`` (UTC microseconds). ``covered_us``: their lengths.

    ``drops``: what the ledger counted, by cause, of devices or not. ``withheld``: machines of which one of the
    periods said nothing. ``whole``: false where a period's sums were kept by a version that did not keep all
    that a digest of several periods says.
    """

    start: int
    end: int
    covered_us: int
    machines: dict[str, MachineSums] = {}
    devices: dict[str, DeviceSums] = {}
    restarts: int = 0
    downtime_s: float = 0.0
    drops: dict[str, int] = {}
    withheld: tuple[str, ...] = ()
    whole: bool = False


ClosedDay = tuple[Sums, int]
"""The sums of a calendar day, and how long the day is (us)."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A period's entry in the store; ``carries``: what was open on each machine when it ended;
    ``paths``: of shared counters."""

    sums: Sums
    carries: dict[str, Carry] = {}
    paths: dict[str, Path] = {}


def sums_of(
    period: Period, coverage: Coverage, machines: Mapping[str, MachineSums], withheld: Iterable[str] = ()
) -> Sums:
    """Of one period."""
    return Sums(
        start=period.start,
        end=period.end,
        covered_us=period.length,
        machines=dict(machines),
        devices={
            each.name: DeviceSums(
                expected=each.expected,
                good=each.good,
                bad=each.bad,
                missing=each.missing,
                timeouts=each.bad_causes.get("timeout", 0),
                disconnects=each.disconnects,
                uncertain=each.uncertain,
                late=each.late,
                longest_gap_us=round(each.longest_gap_s * SECOND),
                bad_causes=each.bad_causes,
                drops=each.drops,
                interval_us=round(each.interval_s * SECOND),
                points=each.points,
            )
            for each in coverage.devices
        },
        restarts=coverage.total.restarts,
        downtime_s=coverage.total.agent_downtime_s,
        drops=coverage.total.drops,
        withheld=tuple(sorted(withheld)),
        whole=True,
    )


def add(one: Sums, two: Sums) -> Sums:
    """Two stretches of time as one; a machine or device that only one of them knows is taken over."""
    return Sums(
        start=min(one.start, two.start),
        end=max(one.end, two.end),
        covered_us=one.covered_us + two.covered_us,
        machines={
            name: add_machines(one.machines.get(name, MachineSums()), two.machines.get(name, MachineSums()))
            for name in sorted({*one.machines, *two.machines})
        },
        devices={
            name: _add_devices(one.devices.get(name, DeviceSums()), two.devices.get(name, DeviceSums()))
            for name in sorted({*one.devices, *two.devices})
        },
        restarts=one.restarts + two.restarts,
        downtime_s=one.downtime_s + two.downtime_s,
        drops=_add_counts(one.drops, two.drops),
        withheld=tuple(sorted({*one.withheld, *two.withheld})),
        whole=one.whole and two.whole,
    )


def _add_devices(one: DeviceSums, two: DeviceSums) -> DeviceSums:
    return DeviceSums(**{name: _join(name, getattr(one, name), getattr(two, name)) for name in one.__struct_fields__})


def _join(name: str, one: Any, two: Any) -> Any:
    if name == "longest_gap_us":
        return max(one, two)
    if name in ("interval_us", "points"):
        return two or one
    return _add_counts(one, two) if isinstance(one, dict) else one + two


def _add_counts(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + two.get(name, 0) for name in sorted({*one, *two})}


def total(parts: Iterable[Sums]) -> Sums | None:
    """All of them as one, in the order given; None for none."""
    result: Sums | None = None
    for each in parts:
        result = each if result is None else add(result, each)
    return result


def day_of(time: int, zone: ZoneInfo) -> Period:
    """The calendar day of the plant that holds ``time``; 23 or 25 hours long where the clocks change."""
    day = datetime.fromtimestamp(time // SECOND, zone).date()
    return Period(day_begin(day, zone), day_begin(day + timedelta(days=1), zone))


def day_begin(day: date, zone: ZoneInfo) -> int:
    """When a date begins at the plant."""
    return round(datetime.combine(day, datetime.min.time(), zone).timestamp()) * SECOND


def days_before(time: int, zone: ZoneInfo, count: int) -> int:
    """Where the window of ``count`` days begins whose last day holds ``time``."""
    return day_begin(datetime.fromtimestamp(time // SECOND, zone).date() - timedelta(days=count - 1), zone)


def closed_days(days: Iterable[Sums], latest: Sums, zone: ZoneInfo) -> list[ClosedDay]:
    """The days that have ended of those back to which findings look, with their lengths; oldest first.

    ``days``: as they were stored. ``latest``: the period or day that has just ended.
    """
    since, today = days_before(latest.start, zone, LONGEST_WINDOW_DAYS), day_of(latest.start, zone)
    known = {day_of(each.start, zone): each for each in days if each.start >= since}
    known[today] = with_period(known.get(today), latest)
    return [(sums, day.length) for day, sums in sorted(known.items()) if sums.end >= day.end]


def with_period(day: Sums | None, period: Sums) -> Sums:
    """A day's sums with one more period; one that is in them already is not added again."""
    if day is None:
        return period
    if day.start <= period.start and period.end <= day.end:
        return day
    return add(day, period)


def records(kept: Kept, day: Sums, zone: ZoneInfo) -> list[RollupRecord]:
    """What the store keeps with the digest of a period: its sums, and those of its day so far."""
    sums = kept.sums
    return [
        RollupRecord(PERIOD, sums.start, sums.end, msgspec.json.encode(kept)),
        RollupRecord(DAY, day_of(sums.start, zone).start, day.end, msgspec.json.encode(day)),
    ]


def kept_of(record: RollupRecord | None) -> Kept | None:
    """The entry of a period; None where there is none that can be read."""
    return None if record is None else _decoded(record, Kept)


def days_of(found: Iterable[RollupRecord]) -> list[Sums]:
    """Sums of days; what cannot be read is left out."""
    return [day for each in found if (day := _decoded(each, Sums)) is not None]


def _decoded(record: RollupRecord, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(record.body, type=kind)
    except msgspec.DecodeError as error:
        log.warning("the sums of the %s from %d cannot be read and are not used: %s", record.kind, record.start, error)
        return None
