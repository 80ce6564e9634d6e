"""The OEE waterfall: planned busy time, what was lost of it, and what is left as effective time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.diagnosis.losses import CAUSES, Waterfall
from agent.diagnosis.model import Report
from agent.diagnosis.pictures.canvas import GRID, LOOKS, Canvas, Picture
from agent.diagnosis.words import HOUR_US, Words

MOST = 6
"""Machines that get a drawing, those that wasted most; the table has all."""
_ROW_MM = 5.6
_VALUES_MM = 34.0


@dataclass(frozen=True, slots=True)
class Step:
    """A bar from ``start`` to ``end`` (microseconds); ``value``: what it adds, or takes away where negative."""

    label: str
    look: str
    start: float
    end: float
    value: float


def waterfalls(report: Report, words: Words) -> Iterator[Picture]:
    """Of the machines that have one and wasted most."""
    made = [(each.name, each.waterfall) for each in report.working if isinstance(each.waterfall, Waterfall)]
    made = sorted((each for each in made if each[1].planned_us > 0), key=lambda each: -each[1].wasted_us)
    for number, (name, waterfall) in enumerate(made[:MOST]):
        yield _drawn(name, steps(waterfall, words), words, f"oee{number}")


def steps(made: Waterfall, words: Words) -> list[Step]:
    """From the top down; each begins where the one before ended."""
    found = [Step(words("waterfall.planned"), "planned", 0.0, made.planned_us, made.planned_us)]
    level = made.planned_us

    def less(label: str, look: str, value: float) -> None:
        nonlocal level
        found.append(Step(label, look, level - value, level, -value))
        level -= value

    less(words("waterfall.unknown"), "unknown", made.unknown_us)
    for cause in reversed(CAUSES):
        less(words(f"cause.{cause}"), cause, made.lost_us[cause])
    found.append(Step(words("waterfall.executing"), "executing", 0.0, made.executing_us, made.executing_us))
    level = made.executing_us
    if made.speed_us is not None:
        gain = made.speed_us < 0
        less(words("waterfall.gain" if gain else "waterfall.speed"), "speed", made.speed_us)
    if made.quality_us is not None:
        less(words("waterfall.quality"), "quality", made.quality_us)
    if made.effective_us is not None:
        found.append(Step(words("waterfall.effective"), "effective", 0.0, made.effective_us, made.effective_us))
    return found


def _drawn(name: str, found: list[Step], words: Words, part: str) -> Picture:
    height = _ROW_MM * len(found) + 9.0
    canvas = Canvas(height, left=46.0, right=_VALUES_MM + 2.0, top=7.0, bottom=2.0)
    axes = canvas.axes
    planned = found[0].value
    for row, step in enumerate(found):
        look = LOOKS[step.look]
        low, high = sorted((step.start, step.end))
        axes.barh(row, (high - low) / HOUR_US, left=low / HOUR_US, height=0.72, color=look.colour,
                  hatch=look.hatch or None, edgecolor="#555555", linewidth=0.4)  # fmt: skip
        if row:
            before = found[row - 1]
            edge = (before.end if before.value >= 0 else before.start) / HOUR_US
            axes.plot([edge, edge], [row - 1 + 0.36, row + 0.36], color="#555555", linewidth=0.4)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, max(max(each.start, each.end) for each in found) / HOUR_US)
    axes.set_yticks(range(len(found)), [each.label for each in found])
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    for row in range(len(found)):
        axes.axhline(row + 0.5, color=GRID, linewidth=0.3, zorder=0)
    canvas.heading(name)
    rows_mm = height - 9.0
    for row, step in enumerate(found):
        y = 2.0 + rows_mm * (1 - (row + 0.6) / len(found))
        canvas.text(180.0 - 15.0, y, _signed(step), align="right")
        canvas.text(180.0, y, words.percent(abs(step.value) / planned), align="right")
    return canvas.picture(part, words("waterfall.alt", name=name))


def _signed(step: Step) -> str:
    text = Words.hours(abs(step.value))
    return f"−{text}" if step.value < 0 else f"+{text}" if step.start > step.end else text
