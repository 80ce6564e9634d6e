"""The Pareto of what stopped the machines while production was planned."""

from __future__ import annotations

from agent.diagnosis.model import Report
from agent.diagnosis.pictures.canvas import LOOKS, Canvas, Picture, elided
from agent.diagnosis.words import HOUR_US, Words

MOST = 15
"""Bars; what is behind them is one bar."""
_ROW_MM = 5.4


def stops(report: Report, words: Words) -> Picture | None:
    """None where nothing was lost, or nothing is planned."""
    bars = report.pareto
    if not bars:
        return None
    shown, rest = bars[:MOST], bars[MOST:]
    rows = len(shown) + bool(rest)
    height = rows * _ROW_MM + 12.0
    canvas = Canvas(height, left=52.0, right=42.0, top=6.0, bottom=6.0)
    axes = canvas.axes
    labels = [f"{elided(each.machine, 18)} · {words(f'cause.{each.cause}')}" for each in shown]
    values = [each.lost_us for each in shown]
    if rest:
        labels.append(words("pareto.rest", count=len(rest)))
        values.append(sum(each.lost_us for each in rest))
    total = sum(values)
    looks = [LOOKS[each.cause] for each in shown] + [LOOKS["planned"]] * bool(rest)
    for row, (value, look) in enumerate(zip(values, looks, strict=True)):
        axes.barh(row, value / HOUR_US, height=0.7, color=look.colour, hatch=look.hatch or None, edgecolor="#555555",
                  linewidth=0.4)  # fmt: skip
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlim(0, max(values) / HOUR_US * 1.02)
    axes.set_yticks(range(rows), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    running = 0.0
    canvas.text(180.0 - 28.0, height - 3.0, words("pareto.time"), align="right", bold=True)
    canvas.text(180.0 - 14.0, height - 3.0, words("pareto.share"), align="right", bold=True)
    canvas.text(180.0, height - 3.0, words("pareto.running"), align="right", bold=True)
    for row, value in enumerate(values):
        running += value
        y = 6.0 + rows * _ROW_MM * (1 - (row + 0.6) / rows)
        canvas.text(180.0 - 28.0, y, words.hours(value), align="right")
        canvas.text(180.0 - 14.0, y, words.percent(value / total), align="right")
        canvas.text(180.0, y, words.percent(running / total), align="right")
    return canvas.picture("pareto", words("pareto.alt"))
