"""The lines of the shared tags. Pure; asks :mod:`agent.disclosure.sharing` before it writes a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.digest.accumulate import Observations
from agent.digest.counters import KINDS
from agent.digest.coverage import expected_scans
from agent.digest.equipment.kpi import UNEXPLAINED
from agent.digest.report import Number, TagSummary, number, seconds
from agent.digest.spec import DigestSpec, SharedTag
from agent.digest.tagsums import TagSums
from agent.digest.windows import Period
from agent.disclosure import sharing

QUANTILES = (0.05, 0.50, 0.95)

NEVER_KNOWN = "no_known_time"
"""Good scans there were, but none vouched for any time of the period."""


def summaries(period: Period, spec: DigestSpec, seen: Observations) -> tuple[TagSummary, ...]:
    """One line for each shared tag, by name; with nulls and a reason where there is too little."""
    sums = seen.tags
    gauges = _gauges(sums)
    goods, bads, weights = sums.good.tolist(), sums.bad.tolist(), sums.weight.tolist()
    lines = []
    for position, shared in enumerate(spec.shared):
        good, bad = goods[position], bads[position]
        refused = sharing.refusal(shared.tag, spec.policy, good)
        if refused is not None and refused != sharing.INSUFFICIENT:
            continue
        if refused is None and not weights[position]:
            refused = NEVER_KNOWN
        if refused is not None:
            values: dict[str, Any] = dict.fromkeys(_MEMBERS[shared.kind]) | {"reason": refused}
        elif shared.kind == "gauge":
            values = _gauge(gauges, position)
        elif shared.kind == "counter":
            values = _counter(sums, position)
        else:
            values = {"seconds": _seconds(sums, position)}
        group = int(spec.group[shared.row])
        expected = expected_scans(spec.groups[group], period, int(seen.scans[group]))
        lines.append(
            TagSummary(
                name=shared.tag.name,
                kind=_kind(shared),
                unit=shared.unit,
                expected=expected,
                good=good,
                bad=bad,
                missing=max(expected - good - bad, 0),
                known_s=seconds(weights[position]),
                **values,
            )
        )
    return tuple(sorted(lines, key=lambda line: line.name))


_MEMBERS: dict[str, tuple[str, ...]] = {
    "gauge": ("mean", "min", "max", "std", "first", "last", "p05", "p50", "p95"),
    "counter": ("first", "last", "delta"),
    "state": ("seconds",),
}


def _kind(shared: SharedTag) -> Any:
    return shared.kind  # sharing lets no text through


def _gauges(sums: TagSums) -> dict[str, list[Number]]:
    """Member of a gauge's line → its value by position of the tag. Whole columns: a step in Python for each
    number is what most of a digest's lines cost."""
    means, deviations = sums.mean_and_deviation()
    columns = {"mean": means, "min": sums.low, "max": sums.high, "std": deviations}
    columns |= {"first": sums.first, "last": sums.last}
    quantiles = np.full((len(means), len(QUANTILES)), np.nan)
    for position, found in sums.instants.quantiles(QUANTILES):
        quantiles[position] = found
    columns |= dict(zip(("p05", "p50", "p95"), quantiles.T, strict=True))
    return {name: [number(value) for value in column.tolist()] for name, column in columns.items()}


def _gauge(gauges: dict[str, list[Number]], position: int) -> dict[str, Number | str]:
    values: dict[str, Number | str] = {name: column[position] for name, column in gauges.items()}
    if values["mean"] is None or values["std"] is None:
        values["reason"] = "out_of_range"
    elif values["p50"] is None:
        values["reason"] = "known_too_shortly"
    return values


def _counter(sums: TagSums, position: int) -> dict[str, Any]:
    counter = sums.counters.of(position)
    told = counter.told
    values: dict[str, Any] = {
        "first": number(sums.first[position]),
        "last": number(sums.last[position]),
        "delta": number(counter.count) if counter.known else None,
        "stuck": counter.stuck,
        **{kind: told[kind] for kind in ("resets", "rollovers", "decrements")},
        **{kind: told[kind] for kind in KINDS if told[kind]},
        **({"undecided": True} if counter.undecided else {}),
    }
    if values["delta"] is None:
        values["reason"] = UNEXPLAINED if not counter.known else "out_of_range"
    return values


def _seconds(sums: TagSums, position: int) -> dict[str, float]:
    return {_label(value): seconds(held) for value, held in sums.states.of(position).items()}


def _label(value: float | None) -> str:
    if value is None:
        return "other"
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(number(value))
