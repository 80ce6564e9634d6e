"""Days of a machine, for the measured effect of a prescription; and the data folders ``tests/testcases/effect-*``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from agent.digest.effect import Effect, effect
from agent.digest.equipment.sums import MachineSums
from agent.digest.report import PrescribedTarget
from agent.digest.rollups import Sums
from agent.digest.windows import SECOND

HOUR = 3600 * SECOND
SHANGHAI = ZoneInfo("Asia/Shanghai")


def day(on: date, zone: ZoneInfo = SHANGHAI, at_h: float = 0.0, machine: str = "press-1", **sums: Any) -> Sums:
    """A day of one machine. ``h``: hours, ``s``: seconds, both by the name of a sum without ``_us``."""
    times = {f"{name}_us": round(hours * HOUR) for name, hours in sums.pop("h", {}).items()}
    times |= {f"{name}_us": round(seconds * SECOND) for name, seconds in sums.pop("s", {}).items()}
    energy = {"energy_basis": "power"} if "joined_kwh" in sums else {}
    made = MachineSums(**{**energy, **times, **sums})
    start = round(datetime(on.year, on.month, on.day, tzinfo=zone).timestamp()) * SECOND + round(at_h * HOUR)
    return Sums(start=start, end=start + made.span_us, covered_us=made.span_us, machines={machine: made})


@dataclass
class Case:
    """What :func:`agent.digest.effect.effect` is given; to be changed at will."""

    target: PrescribedTarget
    adopted: date
    until: date
    days: list[Sums]
    today: date
    zone: ZoneInfo = SHANGHAI

    def effect(self) -> Effect:
        """The measured effect."""
        return effect(self.target, self.adopted, self.until, self.days, self.today, self.zone)


def read_case(folder: Path) -> tuple[Case, dict[str, Any]]:
    """``input.json`` and ``expected.json`` of a folder."""
    given = json.loads((folder / "input.json").read_text(encoding="utf-8"))
    zone = ZoneInfo(given["timezone"])
    days = []
    for run in given["days"]:
        first, count = date.fromisoformat(run.pop("from")), run.pop("count")
        days += [day(first + timedelta(days=offset), zone, **json.loads(json.dumps(run))) for offset in range(count)]
    target = msgspec.convert(given["target"], PrescribedTarget)
    adopted, until, today = (date.fromisoformat(given[name]) for name in ("adopted", "until", "today"))
    case = Case(target, adopted, until, days, today, zone)
    return case, json.loads((folder / "expected.json").read_text(encoding="utf-8"))
