"""Plain aligned tables for a terminal; Chinese characters take two columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Sequence


def width(text: str) -> int:
    """Columns of a terminal that ``text`` takes."""
    if text.isascii():
        return len(text)
    signs = (sign for sign in text if not unicodedata.combining(sign))
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in signs)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Columns two blanks apart, header first where there is one; ``right``: columns that end together.

    What would break a line or the terminal is written as an escape.
    """
    lines = [[one_line(cell) for cell in line] for line in ((header,) if header else ())]
    lines += [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            " " * (room - width(cell)) + cell if at in right else cell + " " * (room - width(cell))
            for at, (cell, room) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def one_line(text: str) -> str:
    """``text`` with whatever would break the line or the terminal written as an escape."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
