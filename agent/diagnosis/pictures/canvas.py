"""A drawing for paper and screen: sizes in millimetres, text stays text, the same bytes for the same data.

Labels are set by the browser's own fonts, so that Chinese needs no font on the gateway. Matplotlib therefore does
not know how wide they are: whatever stands beside text is placed by columns of a terminal
(:func:`agent.table.width`), never by matplotlib's own layout.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from agent.digest.windows import DAY, SECOND
from agent.table import width

WIDTH_MM = 180.0
"""Between the margins of an A4 page."""
_INCH = 25.4
_EM = 0.5
"""Width of a terminal's column in ems: half of a Chinese character."""
FONT = 8.0
"""Points."""
GRID = "#d0d0d0"
INK = "#222222"
HOUR = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Look:
    """How something is filled: told apart by colour, by grey and by hatching."""

    colour: str
    hatch: str = ""


# Colours of Okabe and Ito, which colour-blind people tell apart; hatched where greys would be close.
LOOKS = {
    "executing": Look("#009e73"),
    "standby": Look("#f3d36b"),
    "setup": Look("#56b4e9", "\\\\\\\\"),
    "maintenance": Look("#0072b2"),
    "fault": Look("#d55e00", "xxxx"),
    "off": Look("#dcdcdc"),
    "unknown": Look("#ffffff", "////"),
    "idle_plan": Look("#dcdcdc", "||||"),
    "planned": Look("#555555"),
    "speed": Look("#cc79a7", "----"),
    "quality": Look("#7b3f61", "++++"),
    "effective": Look("#00664b"),
    "load": Look("#9ecae1"),
    "idle": Look("#d55e00", "////"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """``svg``: an element to be put into a page. ``title``: what it shows, for those who do not see it."""

    svg: str
    title: str


_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a machine may be called $1
    "axes.unicode_minus": False,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT,
    "hatch.linewidth": 0.6,
    "axes.linewidth": 0.5,
    "axes.edgecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "path.simplify": True,
}


class Canvas:
    """One drawing with one field for data; ``left`` and so on: margins around it, in millimetres."""

    def __init__(self, height: float, *, left: float, right: float, top: float, bottom: float) -> None:
        mpl.rcParams.update(_STYLE)  # nobody else draws in this process
        self.figure = Figure(figsize=(WIDTH_MM / _INCH, height / _INCH))
        box = (left / WIDTH_MM, bottom / height, (WIDTH_MM - left - right) / WIDTH_MM, (height - bottom - top) / height)
        self.axes: Axes = self.figure.add_axes(box)
        self._height = height
        self._left = left
        for side in ("top", "right"):
            self.axes.spines[side].set_visible(False)

    def legend(self, entries: Sequence[tuple[str, Look]], *, bottom: float = 1.5) -> None:
        """Boxes with names in a row at the foot."""
        x = self._left
        for label, look in entries:
            self._box(x, bottom, look)
            self.text(x + 4.5, bottom + 1.3, label)
            x += 4.5 + columns_mm(label) + 4.0

    def heading(self, text: str) -> None:
        """What the drawing is of, at its upper left."""
        self.text(0, self._height - 3.0, elided(text, 60), bold=True, size=9)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        align: Literal["left", "right"] = "left",
        bold: bool = False,
        size: float = FONT,
    ) -> None:
        """At millimetres from the lower left corner; ``y`` is the middle of the line."""
        weight = "bold" if bold else "normal"
        self.figure.text(x / WIDTH_MM, y / self._height, text, ha=align, va="center", weight=weight, size=size)

    def _box(self, x: float, y: float, look: Look) -> None:
        self.figure.add_artist(
            Rectangle(
                (x / WIDTH_MM, y / self._height),
                3.5 / WIDTH_MM,
                2.6 / self._height,
                facecolor=look.colour,
                hatch=look.hatch or None,
                edgecolor="#666666",
                linewidth=0.4,
                transform=self.figure.transFigure,
            )
        )

    def picture(self, name: str, title: str) -> Picture:
        """The finished drawing; ``name`` keeps its parts apart from those of others on the page."""
        buffer = io.StringIO()
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # fonts that we do not draw with
        with mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a Chinese sign that DejaVu lacks: the browser has it
            self.figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        return Picture(_inline(buffer.getvalue(), name, title), title)


def columns_mm(text: str, size: float = FONT) -> float:
    """How wide a text is, about."""
    return width(text) * _EM * size * _INCH / 72 * 1.08


def elided(text: str, most: int) -> str:
    """``text`` in ``most`` columns; the middle goes, as names of machines differ at their ends."""
    if width(text) <= most:
        return text
    head = text
    while width(head) > most // 2:
        head = head[:-1]
    tail = text
    while width(head) + 1 + width(tail) > most:
        tail = tail[1:]
    return f"{head}…{tail}"


def _inline(text: str, name: str, title: str) -> str:
    """As an element of an HTML page: no document of its own, no outside names, ids that no other drawing has."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)  # the page has a style
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(?::\w+)?="[^"]*"', "", svg, count=2)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{name}-", svg)
    # The page's fonts: matplotlib names its own, in one property or (before 3.11) together with size and weight.
    svg = re.sub(r"font-family: [^;\"]*; ?", "", svg)
    svg = re.sub(r"font: (?:(bold|normal|\d+) )?([\d.]+px) [^;\"]*", _font, svg)
    svg, title = (_UNPRINTABLE.sub("\ufffd", each) for each in (svg, title))
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version)="[^"]*"', "", opening)
    label = f"{name}-title"
    named = f'<title id="{label}">{_escaped(title)}</title>'
    return f'{opening} role="img" aria-labelledby="{label}">\n {named}{rest.rstrip()}'


def _font(match: re.Match[str]) -> str:
    return f"font-size: {match[2]}; font-weight: {match[1] or 'normal'}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# -- time -------------------------------------------------------------------------------------------

_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TICKS = (60, 300, 900, 3600, 7200, 14400, 21600, 43200, 86400, 2 * 86400, 7 * 86400, 28 * 86400)
_MOST_TICKS = 9


def hours(time: NDArray[np.int64], start: int) -> NDArray[np.float64]:
    """Hours from ``start``, as the field of data counts them."""
    return np.asarray((time - start) / HOUR, np.float64)


def time_axis(axes: Axes, start: int, end: int, zone: ZoneInfo) -> None:
    """Marks at round moments of the plant's clock."""
    step = next((each for each in _TICKS if (end - start) / SECOND <= each * _MOST_TICKS), _TICKS[-1])
    marks = _marks(start, end, step, zone)
    axes.set_xlim(0, (end - start) / HOUR)
    axes.set_xticks([(time - start) / HOUR for time, _ in marks], [label for _, label in marks])
    axes.tick_params(axis="x", length=2, width=0.5)
    for time, _ in marks:
        axes.axvline((time - start) / HOUR, color=GRID, linewidth=0.4, zorder=0)


def _marks(start: int, end: int, step: int, zone: ZoneInfo) -> list[tuple[int, str]]:
    first = datetime.fromtimestamp(start // SECOND, zone)
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    marks: list[tuple[int, str]] = []
    day = 0
    while True:
        date = midnight + timedelta(days=day)  # by the wall clock, whatever its offset
        if round(date.timestamp()) * SECOND > end:
            return marks
        for second in range(0, 86400, step) if step < 86400 else (0,):
            moment = date + timedelta(seconds=second)
            time = round(moment.timestamp()) * SECOND
            if start <= time <= end:
                whole = step >= 86400 or (second == 0 and end - start > DAY // 2)
                marks.append((time, f"{moment:%m-%d}" if whole else f"{moment:%H:%M}"))
        day += max(step // 86400, 1)
