"""The lines of the shared tags. Pure; asks :mod:`agent.digest.sharing` before it writes a value."""

from __future__ import annotations

from typing import Any

from agent.digest import sharing
from agent.digest.accumulate import Observations
from agent.digest.coverage import expected_scans
from agent.digest.report import Number, TagSummary, number, seconds
from agent.digest.spec import DigestSpec, SharedTag
from agent.digest.tagsums import TagSums
from agent.digest.windows import Period

QUANTILES = (0.05, 0.50, 0.95)

NEVER_KNOWN = "no_known_time"
"""Good scans there were, but none vouched for any time of the period."""


def summaries(period: Period, spec: DigestSpec, seen: Observations) -> tuple[TagSummary, ...]:
    """One line for each shared tag, by name; with nulls and a reason where there is too little."""
    sums = seen.tags
    means, deviations = sums.mean_and_deviation()
    quantiles = dict(sums.instants.quantiles(QUANTILES))
    lines = []
    for position, shared in enumerate(spec.shared):
        good, bad = int(sums.good[position]), int(sums.bad[position])
        refused = sharing.refusal(shared.tag, spec.policy, good)
        if refused is not None and refused != sharing.INSUFFICIENT:
            continue
        if refused is None and not sums.weight[position]:
            refused = NEVER_KNOWN
        if refused is not None:
            values: dict[str, Any] = dict.fromkeys(_MEMBERS[shared.kind]) | {"reason": refused}
        elif shared.kind == "gauge":
            values = _gauge(sums, position, float(means[position]), float(deviations[position]), quantiles)
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
                known_s=seconds(int(sums.weight[position])),
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


def _gauge(
    sums: TagSums, position: int, mean: float, deviation: float, quantiles: dict[int, list[float]]
) -> dict[str, Number | str]:
    p05, p50, p95 = quantiles.get(position, [float("nan")] * 3)
    values: dict[str, Number | str] = {
        "mean": number(mean),
        "min": number(sums.low[position]),
        "max": number(sums.high[position]),
        "std": number(deviation),
        "first": number(sums.first[position]),
        "last": number(sums.last[position]),
        "p05": number(p05),
        "p50": number(p50),
        "p95": number(p95),
    }
    if values["mean"] is None or values["std"] is None:
        values["reason"] = "out_of_range"
    elif values["p50"] is None:
        values["reason"] = "known_too_shortly"
    return values


def _counter(sums: TagSums, position: int) -> dict[str, Number | int | bool]:
    counters = sums.counters
    return {
        "first": number(sums.first[position]),
        "last": number(sums.last[position]),
        "delta": number(counters.delta[position]),
        "resets": int(counters.resets[position]),
        "rollovers": int(counters.rollovers[position]),
        "decrements": int(counters.decrements[position]),
        "stuck": not counters.moved[position],
    }


def _seconds(sums: TagSums, position: int) -> dict[str, float]:
    return {_label(value): seconds(held) for value, held in sums.states.of(position).items()}


def _label(value: float | None) -> str:
    if value is None:
        return "other"
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(number(value))
