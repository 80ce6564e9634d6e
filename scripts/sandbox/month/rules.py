"""Which findings the truth justifies, at every period's end; the limits are written down here a second time.

A verdict is ``found``, ``insufficient`` or empty. ``shaky`` are those that a scan more or less would change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.sandbox.month.happen import Times
from scripts.sandbox.month.plant import Plant
from scripts.sandbox.month.shifts import HOUR, SECOND
from scripts.sandbox.month.tape import Device
from scripts.sandbox.month.truth import Truth, demand

SHAKY = 0.02
"""Relative distance from a limit within which a verdict may fall either way."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What should be said of a subject at the end of a period."""

    status: str
    value: float
    shaky: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A machine over a window: from the first period of it up to ``after``; ``week``: where that one begins."""

    truth: Truth
    first: int
    after: int
    week: int
    contract_kw: float | None

    def sum(self, name: str, first: int | None = None) -> float:
        """Over the window."""
        sums = self.truth.of[f"sum {name}"]
        return float(sums[self.after] - sums[self.first if first is None else first])

    def highest(self, name: str) -> float:
        """Over the window."""
        return float(self.truth.of[name][self.first : self.after].max())


Measure = Callable[[Look], float | None]
"""None: there is nothing to judge."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``above`` and ``below``: limits. ``known``: which share of the window is needed. ``hours``: recorded."""

    window: int
    measure: Measure
    above: float = math.inf
    below: float = -math.inf
    known: str = "planned"
    hours: float = 8.0
    tolerance: float = SHAKY


def _share(top: str, bottom: str) -> Measure:
    return lambda look: look.sum(top) / look.sum(bottom) if look.sum(bottom) else None


def _baseload(look: Look) -> float | None:
    minutes = _minutes(look)
    if not len(minutes) or not look.sum("running"):
        return None
    place = max(math.ceil(len(minutes) / 10) - 1, 0)
    lowest = float(np.partition(minutes, place)[place])
    return lowest / (look.sum("running_kwh") * HOUR / look.sum("running"))


def _minutes(look: Look) -> NDArray[np.float64]:
    low, high = np.searchsorted(look.truth.minute_of, (look.first, look.after))
    return look.truth.minutes[int(low) : int(high)]


def _availability(look: Look) -> float | None:
    known = look.sum("planned") - look.sum("unknown")
    return look.sum("apt") / known if look.sum("planned") >= 24 * HOUR and known else None


def _per_failure(name: str, unit: float) -> Measure:
    return lambda look: look.sum(name) / look.sum("failures") / unit if look.sum("failures") >= 5 else None


def _speed(look: Look) -> float | None:
    return look.sum("ideal_us") / look.sum("apt") if look.sum("apt") and look.sum("counted") else None


def _quality(look: Look) -> float | None:
    made, weekly = look.sum("produced"), look.sum("produced", look.week)
    if weekly < 500 or not look.sum("has_good"):
        return None
    usual, now = look.sum("good") / made, look.sum("good", look.week) / weekly
    spread = math.sqrt(usual * (1 - usual) / weekly)
    return (usual - now) / spread if spread else 0.0


def _contract(look: Look) -> float | None:
    return look.highest("demand_kw") / look.contract_kw if look.contract_kw and look.sum("metered") else None


def _load(look: Look) -> float | None:
    known, highest = look.sum("metered"), look.highest("demand_kw")
    return look.sum("metered_kwh") * HOUR / known / highest if known and highest else None


RULES: dict[str, tuple[Rule, ...]] = {
    "idle_energy": (Rule(7, _share("idle_kwh", "joined_kwh"), above=0.2, known="energy"),),
    "off_shift_baseload": (Rule(7, _baseload, above=0.15, known="energy", tolerance=0.06),),
    "micro_stops": (Rule(7, _share("micro_us", "adet"), above=0.3),),
    "low_availability": (Rule(7, _availability, below=0.6, hours=0.0),),
    "short_mtbf": (Rule(28, _per_failure("between", HOUR), below=8.0, hours=0.0),),
    "long_repair": (Rule(28, _per_failure("repair", 60 * SECOND), above=60.0, hours=0.0),),
    "speed_loss": (Rule(7, _speed, above=1.05), Rule(7, _speed, below=0.75)),
    "quality_trend": (Rule(28, _quality, above=3.0, hours=0.0, tolerance=0.05),),
    "demand_peak": (Rule(7, _contract, above=0.9, known="energy"), Rule(7, _load, below=0.5, known="energy")),
    "setup_burden": (Rule(7, _share("aust", "aupt"), above=0.2),),
    "counter_anomaly": (Rule(1, lambda look: look.sum("falls"), above=0.0, known="", hours=0.0),),
}
"""By the rule's id: its limits, the first that is passed counts."""


def prepared(truth: Truth, ideal_s: float, has_good: bool) -> Truth:
    """Running sums, with which every window is a difference."""
    of = truth.of
    of["aupt"] = of["apt"] + of["aust"]
    of["ideal_us"] = of["in_plan"] * ideal_s * SECOND
    of["counted"] = of["span"]
    of["has_good"] = of["span"] * has_good
    for name, values in list(of.items()):
        of[f"sum {name}"] = np.append(0.0, np.cumsum(values))
    return truth


def of_machine(
    rule: str, truth: Truth, days: Sequence[dict[int, int]], contract_kw: float | None
) -> Iterator[Verdict | None]:
    """A verdict a period; ``days``: for each period, the first period of its day, its week and its month (1, 7, 28)."""
    for period in range(len(truth.of["span"])):
        yield _judged(RULES[rule], truth, period, days[period], contract_kw)


def _judged(
    limits: Sequence[Rule], truth: Truth, period: int, begins: dict[int, int], contract_kw: float | None
) -> Verdict | None:
    window = limits[0].window
    look = Look(truth, begins[window], period + 1, begins[7], contract_kw)
    values = [(each, each.measure(look)) for each in limits]
    told = [(each, value) for each, value in values if value is not None]
    if not told:
        return None
    first = limits[0]
    recorded = look.sum("span")
    if recorded < first.hours * HOUR:
        # Whether there is a first minute outside production at all, of which half must be known, a scan decides.
        return Verdict("insufficient", recorded / HOUR, first.measure is _baseload and len(_minutes(look)) == 1)
    known = _known(look, first.known)
    unsure = known is not None and abs(known - 0.8) < 0.005
    unsure |= limits is RULES["counter_anomaly"] and period in truth.border_falls
    if known is not None and known < 0.8:
        return Verdict("insufficient", known, unsure)
    for each, value in told:
        near = any(
            abs(value - limit) <= each.tolerance * abs(limit)
            for limit in (each.above, each.below)
            if math.isfinite(limit)
        )
        if value > each.above or value < each.below or near:
            return Verdict("found" if value > each.above or value < each.below else "", value, near or unsure)
    return Verdict("", told[0][1], unsure)


def _known(look: Look, by: str) -> float | None:
    if by == "energy":
        return look.sum("metered") / look.sum("span")
    if by == "planned":
        return 1 - look.sum("unknown") / look.sum("planned") if look.sum("planned") else None
    return None


def of_device(
    device: Device, plant: Plant, edges: Times, days: Sequence[dict[int, int]]
) -> Iterator[dict[str, Verdict]]:
    """Evidence gaps and unstable links of a device, a period each."""
    up = np.diff([_length(device, plant, int(edge)) for edge in edges])
    silent = np.array([start + SECOND for start, _ in device.dark], np.int64)
    for period in range(len(up)):
        first = days[period][1]
        span = int(edges[period + 1] - edges[first])
        share = float(up[first : period + 1].sum()) / span
        cuts = int(((silent >= edges[first]) & (silent < edges[period + 1])).sum())
        scan = 3 * device.interval_us * (1 + cuts + len(device.off)) / span
        yield {
            "evidence_gap": Verdict("found" if share < 0.95 else "", share, abs(share - 0.95) < scan),
            "unstable_link": Verdict("found" if cuts > 3 else "", cuts),
        }


def _length(device: Device, plant: Plant, until: int) -> int:
    return sum(min(end, until) - start for start, end in device.up(plant.start, plant.end) if start < until)


def of_gateway(plant: Plant, edges: Times) -> Iterator[dict[str, Verdict]]:
    """Unmonitored equipment and the clock, a period each."""
    subjects = [[*each.devices] for each in plant.lived] + ([[plant.main]] if plant.main else [])
    ups = [[span for device in some if device for span in device.up(plant.start, plant.end)] for some in subjects]
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        connected = sum(any(low < end and high > start for low, high in each) for each in ups)
        share = 1 - connected / plant.inventory
        offset = next((off for outage, off in plant.clock if _in(plant, outage, end - 1)), 0.0)
        yield {
            "unmonitored_equipment": Verdict("found" if share > 0.4 else "", share),
            "clock_quality": Verdict("found" if abs(offset) > 1 else "", abs(offset)),
        }


def _in(plant: Plant, outage: tuple[int, str, float], time: int) -> bool:
    start, end = plant.month.span(outage)
    return start <= time < end


def main_truth(plant: Plant, edges: Times) -> Truth | None:
    """Of the main meter, which has no machine behind it."""
    if plant.main is None:
        return None
    up = plant.main.up(plant.start, plant.end)
    quarters = np.arange(plant.start, plant.end + 1, 15 * 60 * SECOND)
    used = np.diff(plant.used(quarters)) * 4
    truth = Truth("main")
    zero = np.zeros(len(edges) - 1)
    names = (
        "planned", "unknown", "apt", "aust", "adet", "micro_us", "failures", "repair", "between", "produced", "good",
        "in_plan", "running", "running_kwh", "idle_kwh", "joined_kwh", "falls",
    )  # fmt: skip
    truth.of = dict.fromkeys(names, zero)
    truth.of["span"] = np.diff(edges).astype(np.float64)
    truth.of["metered"] = np.diff(
        [sum(min(end, int(edge)) - start for start, end in up if start < edge) for edge in edges]
    ).astype(np.float64)
    truth.of["metered_kwh"] = np.diff(plant.used(edges))
    truth.of["demand_kw"] = demand(edges, quarters[:-1], used)
    return truth
