"""How far the digests of a month agree with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.sandbox.month import rules
from scripts.sandbox.month.happen import STATES, Times
from scripts.sandbox.month.plant import Plant
from scripts.sandbox.month.rules import RULES, Verdict
from scripts.sandbox.month.shifts import MINUTE, SECOND
from scripts.sandbox.month.truth import Truth, truth_of

Line = Mapping[str, Any]
Floats = NDArray[np.float64]
LIMIT = 0.005
"""Relative errors that are allowed where everything was seen."""
LIMITS = {"idle energy": 0.02}
"""A change of state is known to a scan: of a machine with hundreds of them a day that is a share of its idle time."""


@dataclass
class Report:
    """``errors``: the largest relative error of each measure, with where it was. ``events``: of counts that must be
    equal. ``unknown_s``: the largest difference of what nobody saw. ``missed`` and ``invented``: findings, where and
    when. ``planted``: findings that the truth justifies, by rule and subject, in how many periods. ``agreed``: verdicts
    compared."""

    errors: dict[str, tuple[float, str]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)
    unknown_s: tuple[float, str] = (0.0, "")
    missed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    planted: dict[tuple[str, str], int] = field(default_factory=dict)
    insufficient: dict[tuple[str, str], int] = field(default_factory=dict)
    agreed: int = 0
    compared: int = 0

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong beyond what a scan decides."""
        wrong = [name for name, (error, _) in self.errors.items() if error > LIMITS.get(name, LIMIT)]
        return not (wrong or self.events or self.sums or self.missed or self.invented)

    def note(self, measure: str, error: float, where: str) -> None:
        """Keep the largest."""
        self.compared += 1
        if error >= self.errors.get(measure, (-1.0, ""))[0]:
            self.errors[measure] = (error, where)


def check(plant: Plant, made: Mapping[str, Sequence[Line]]) -> Report:
    """``made``: digests by kind, in the order of the chain."""
    report = Report()
    digests = [each for each in made["period"] if each["header"]["period"]["end"] <= _iso(plant.end)]
    length = plant.period_min * MINUTE
    edges = np.arange(plant.start, plant.end + 1, length)
    if len(digests) != len(edges) - 1:
        report.sums.append(f"{len(digests)} digests of {len(edges) - 1} periods")
        return report
    days = _days(plant, edges)
    for lived in plant.lived:
        truth = truth_of(lived, edges)
        has_good = lived.machine.counting == "counter"
        rules.prepared(truth, lived.machine.ideal, has_good)
        lines = [_line(each, truth.name) for each in digests]
        _figures(report, plant, truth, lines, days, has_good=has_good, interval=lived.devices[0].interval_us / SECOND)
        _machine_findings(report, truth, digests, days, lived.machine.contract_kw)
    main = rules.main_truth(plant, edges)
    if main is not None:
        _machine_findings(report, rules.prepared(main, 0.0, False), digests, days, None)
    for device in plant.devices:
        verdicts = list(rules.of_device(device, plant, edges, days))
        for rule in ("evidence_gap", "unstable_link"):
            _compare(report, rule, device.name, [each[rule] for each in verdicts], digests)
    verdicts = list(rules.of_gateway(plant, edges))
    for rule in ("unmonitored_equipment", "clock_quality"):
        _compare(report, rule, "", [each[rule] for each in verdicts], digests)
    for kind in ("day", "month"):
        report.sums += _unequal(digests, [each for each in made.get(kind, ()) if each["parts"]])
    return report


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unequal(digests: Sequence[Line], longer: Sequence[Line]) -> Iterator[str]:
    """Sums of days and months that are not those of their periods."""
    for whole in longer:
        span = whole["header"]["period"]
        parts = [each for each in digests if span["start"] <= each["header"]["period"]["start"] < span["end"]]
        for line in whole["equipment"]:
            own, told = _told([line]), _told([_line(each, line["name"]) for each in parts])
            for name in own:
                one, other = float(own[name].sum()), float(told[name].sum())
                if abs(one - other) > 1e-3 + 1e-6 * abs(other):
                    yield f"{line['name']} {whole['kind']} {span['start']}: {name} {one:g}, its periods {other:g}"


def _days(plant: Plant, edges: Times) -> list[dict[int, int]]:
    """For each period, the first period of its windows of 1, 7 and 28 days."""
    month = plant.month
    starts = [int(np.searchsorted(edges, month.at(day))) for day in range(month.days)]
    result = []
    for day, first in enumerate(starts):
        after = starts[day + 1] if day + 1 < month.days else len(edges) - 1
        result += [{count: starts[max(day - count + 1, 0)] for count in (1, 7, 28)}] * (after - first)
    return result


def _line(digest: Line, name: str) -> Line:
    line: Line = next(each for each in digest["equipment"] if each["name"] == name)
    return line


def _figures(
    report: Report, plant: Plant, truth: Truth, lines: Sequence[Line], days: Sequence[dict[int, int]], *,
    has_good: bool, interval: float,
) -> None:  # fmt: skip
    told = _told(lines)
    firsts = sorted({each[1] for each in days})
    spans = list(zip(firsts, [*firsts[1:], len(lines)], strict=True))
    for first, after in [*spans, (0, len(lines))]:
        day = (
            (plant.month.first + timedelta(days=firsts.index(first))).isoformat()
            if after - first < len(lines)
            else "all"
        )
        where = f"{truth.name} {day}"
        if truth.whole[first:after].all():
            _measures(report, truth, told, slice(first, after), where, has_good=has_good)
    for period, line in enumerate(lines):
        if abs(sum(line["states"].values()) - truth.of["span"][period] / SECOND) > 1e-6:
            report.sums.append(f"{truth.name} period {period}: states do not add up")
    unknown = np.abs(told["unknown"] - truth.of["state6"] / SECOND)
    worst = int(unknown.argmax())
    if unknown[worst] > report.unknown_s[0]:
        report.unknown_s = (float(unknown[worst]), f"{truth.name} period {worst}, interval {interval:g} s")
    for name in ("stops", "micro", "failures"):
        wrong = abs(told[name].sum() - truth.of[name].sum())
        if wrong > {"stops": truth.slivers, "micro": truth.slivers + truth.near}.get(name, 0):
            report.events.append(f"{truth.name}: {told[name].sum():.0f} {name}, in truth {truth.of[name].sum():.0f}")


def _told(lines: Sequence[Line]) -> dict[str, Floats]:
    def each(*path: str) -> Floats:
        found = []
        for line in lines:
            value: Any = line
            for key in path:
                value = value[key] if value is not None else None
            found.append(0.0 if value is None else float(value))
        return np.array(found)

    told = {f"state{code}": each("states", name) for code, name in enumerate(STATES)}
    told |= {"unknown": each("states", "unknown"), "planned": each("times", "pbt_s")}
    told |= {name: each("times", f"{name}_s") for name in ("apt", "aust", "adet", "adot")}
    told |= {name: each("pieces", name) for name in ("produced", "good", "scrap", "rework")}
    told |= {name: each("energy", name) for name in ("kwh", "idle_kwh")}
    told |= {"ideal": each("pieces", "ideal_s")}
    told |= {"stops": each("stops", "count"), "micro": each("stops", "micro_count")}
    told |= {"failures": each("failures", "count"), "repair": each("failures", "repair_s")}
    return told | {"between": each("failures", "between_s")}


def _measures(
    report: Report, truth: Truth, told: Mapping[str, Floats], span: slice, where: str, *, has_good: bool
) -> None:
    def mine(name: str) -> float:
        return float(told[name][span].sum())

    def real(name: str) -> float:
        return float(truth.of[name][span].sum())

    def note(name: str, one: float, other: float, slack: float = 0.0) -> None:
        report.note(name, max(abs(one - other) / other - slack, 0.0) if other else abs(one), where)

    if real("planned"):
        note("availability", mine("apt") / mine("planned"), real("apt") / real("planned"))
        note("planned time", mine("planned"), real("planned") / SECOND)
    slack = (truth.near_edge[span.start] + truth.near_edge[span.stop]) / max(real("produced"), 1.0)
    note("produced", mine("produced"), real("produced"), slack)
    if has_good:
        note("good", mine("good"), real("good"), slack)
    if real("apt"):
        unsure = real("border_pieces") / max(real("in_plan"), 1.0)
        effective = mine("ideal") / mine("apt") * (mine("good") / mine("produced") if has_good else 1.0)
        really = real("ideal_us") / real("apt") * (real("good") / real("produced") if has_good else 1.0)
        note("OEE", effective * mine("apt") / mine("planned"), really * real("apt") / real("planned"), slack + unsure)
    note("energy", mine("kwh"), real("kwh"))
    note("idle energy", mine("idle_kwh"), real("idle_kwh"))


def _machine_findings(
    report: Report, truth: Truth, digests: Sequence[Line], days: Sequence[dict[int, int]], contract_kw: float | None
) -> None:
    for rule in RULES:
        verdicts = list(rules.of_machine(rule, truth, days, contract_kw))
        _compare(report, rule, truth.name, verdicts, digests)


def _compare(report: Report, rule: str, name: str, verdicts: Sequence[Verdict | None], digests: Sequence[Line]) -> None:
    told = [_status(each, rule, name) for each in digests]
    due = ["" if each is None else each.status for each in verdicts]
    found = due.count("found")
    if found:
        report.planted[rule, name] = found
    if "insufficient" in due:
        report.insufficient[rule, name] = due.count("insufficient")
    for period, (mine, real) in enumerate(zip(told, due, strict=True)):
        verdict = verdicts[period]
        if mine == real or (verdict is not None and verdict.shaky):
            report.agreed += 1
            continue
        value = "nothing to judge" if verdict is None else f"{verdict.value:.4g}"
        end = digests[period]["header"]["period"]["end"]
        where = f"{rule} {name} {end}: {mine or 'nothing'} said, {real or 'nothing'} true ({value})"
        (report.invented if mine == "found" else report.missed).append(where)


def _status(digest: Line, rule: str, name: str) -> str:
    return next((each["status"] for each in digest["findings"] if each["rule"] == rule and each["name"] == name), "")
