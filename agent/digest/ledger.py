"""The ledger section: what was lost or shed, as far as no digest has told of it yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.buffer.records import Loss
from agent.digest.report import LedgerEntry
from agent.digest.windows import Period, iso

MOST_LINES = 200
"""Beyond this, the losses of a device by one cause become one line: counts are kept, tags are not."""


def overlapping(period: Period, losses: Sequence[Loss]) -> list[Loss]:
    """Losses that touch the period; one without duration belongs where its start lies."""
    return [
        loss for loss in losses if loss.start < period.end and (loss.end > period.start or loss.start >= period.start)
    ]


def begun(period: Period, losses: Sequence[Loss]) -> list[Loss]:
    """Losses that began before the period's end: those of the period, and what came to light too late for another."""
    return [loss for loss in losses if loss.start < period.end]


def ledger(losses: Sequence[Loss]) -> tuple[LedgerEntry, ...]:
    """The section, in the order of time. What lies before the period or reaches beyond it says so by its times."""
    groups: dict[tuple[object, ...], list[Loss]] = {}
    for loss in losses:
        key: tuple[object, ...] = (loss.cause, loss.device)
        if len(losses) <= MOST_LINES:
            key += (loss.start, loss.end, loss.series, len(groups))
        groups.setdefault(key, []).append(loss)
    merged = [_line(group) for group in groups.values()]
    return tuple(sorted(merged, key=lambda line: (line.start, line.end, line.cause, line.device, line.tag)))


def _line(group: Sequence[Loss]) -> LedgerEntry:
    series = {loss.series for loss in group}
    return LedgerEntry(
        start=iso(min(loss.start for loss in group)),
        end=iso(max(loss.end for loss in group)),
        cause=group[0].cause,
        device=group[0].device,
        tag=series.pop() if len(series) == 1 else "",
        count=sum(loss.count for loss in group),
        entries=len(group),
    )
