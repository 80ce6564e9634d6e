"""The Pareto of what stopped the machines while production was planned: by cause, and by machine and cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.diagnosis.losses import CAUSES
from agent.diagnosis.model import Report
from agent.diagnosis.pictures.canvas import LOOKS, Canvas, Picture, elided
from agent.diagnosis.words import HOUR_US, Words

MOST = 15
"""Bars; what is behind them is told in numbers only, for together they may be longer than any."""
_ROW_MM = 5.4
_TOP_MM, _BOTTOM_MM = 12.0, 2.0
_COLUMNS_MM = (152.0, 166.0, 180.0)
"""Right ends of time, share and running sum."""


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    cause: str
    lost_us: float


def paretos(report: Report, words: Words) -> Iterator[Picture]:
    """Nothing where no planned time was lost, or none is planned."""
    if not report.pareto:
        return
    if len({each.machine for each in report.pareto}) > 1:
        sums = {cause: sum(each.lost_us for each in report.pareto if each.cause == cause) for cause in CAUSES}
        causes = [_Row(words(f"cause.{cause}"), cause, lost) for cause, lost in sums.items() if lost > 0]
        causes.sort(key=lambda each: -each.lost_us)
        yield _drawn(causes, words("pareto.causes"), words, "causes")
    bars = [
        _Row(f"{elided(each.machine, 18)} · {words(f'cause.{each.cause}')}", each.cause, each.lost_us)
        for each in report.pareto
    ]
    yield _drawn(bars, words("pareto.machines"), words, "pareto")


def _drawn(found: Sequence[_Row], title: str, words: Words, part: str) -> Picture:
    total = sum(each.lost_us for each in found)
    shown, rest = list(found[:MOST]), found[MOST:]
    if rest:
        shown.append(_Row(words("pareto.rest", count=len(rest)), "", sum(each.lost_us for each in rest)))
    height = len(shown) * _ROW_MM + _TOP_MM + _BOTTOM_MM
    canvas = Canvas(height, left=52.0, right=42.0, top=_TOP_MM, bottom=_BOTTOM_MM)
    axes = canvas.axes
    for row, each in enumerate(shown):
        if each.cause:
            look = LOOKS[each.cause]
            axes.barh(row, each.lost_us / HOUR_US, height=0.7, color=look.colour, hatch=look.hatch or None,
                      edgecolor="#555555", linewidth=0.4)  # fmt: skip
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, found[0].lost_us / HOUR_US * 1.02)
    axes.set_yticks(range(len(shown)), [each.label for each in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    canvas.heading(title)
    _numbers(canvas, shown, total, height, words)
    return canvas.picture(part, title)


def _numbers(canvas: Canvas, shown: Sequence[_Row], total: float, height: float, words: Words) -> None:
    for right, name in zip(_COLUMNS_MM, ("time", "share", "running"), strict=True):
        canvas.text(right, height - _TOP_MM + 2.0, words(f"pareto.{name}"), align="right", bold=True)
    running = 0.0
    for row, each in enumerate(shown):
        running += each.lost_us
        y = _BOTTOM_MM + len(shown) * _ROW_MM * (1 - (row + 0.6) / len(shown))
        values = (words.hours(each.lost_us), words.percent(each.lost_us / total), words.percent(running / total))
        for right, value in zip(_COLUMNS_MM, values, strict=True):
            canvas.text(right, y, value, align="right")
