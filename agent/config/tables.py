"""Tag tables: CSV as spreadsheets write it. Pure: bytes in, rows of typed values out.

Columns are the keys of a tag. Accepted without a word: UTF-8 with or without a byte-order mark, UTF-16 with one;
comma, semicolon or tab; any case in the header; empty cells for defaults; lines that begin with ``#``. What Excel
saves elsewhere (GB18030, Big5, Windows-1252) is accepted where its characters are plausible, and that is said.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import msgspec

from agent.config.convert import BAD
from agent.config.encodings import decode
from agent.config.model import Seconds, TagSection
from agent.config.problems import Place, Problems, did_you_mean, nearest, show
from agent.config.units import DURATION_REMEDY, parse_seconds

Row = tuple[Place, dict[str, Any]]
"""Where it is (``press-1.csv:12``), and the converted values of the cells that are not empty."""


class Signs(Enum):
    """What separates a number's fraction in a table."""

    POINT = "point"
    COMMA = "comma"
    """So it is where semicolons separate cells; a point may then stand between thousands."""
    BOTH = "both"
    """Semicolons separate cells, and points are seen to separate fractions."""


Cell = Callable[[str, Signs], Any]
"""(text, what separates fractions) → value; raises ValueError(message, remedy)."""

NO_COLUMN = -1
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_POINTS = re.compile(r'(?:^|[;"])[ ]*[+-]?(?:0\.\d+|\d{1,4}\.(?:\d{1,2}|\d{4,}))[ ]*(?=[;"\r]|$)', re.MULTILINE)
"""A cell that shows the point before a fraction; longer numbers may be registers with a bit."""


def text_of(data: bytes, source: str, problems: Problems) -> str | None:
    """The text of a file; None, and a problem, where it is none. How it was read is said where that is a judgement."""
    found = decode(data)
    if found is None or "\0" in found.text:
        problems.add(source, "is not a text file, or its encoding cannot be told for certain", "save it as CSV UTF-8")
        return None
    if not found.is_certain:
        others = f" ({' or '.join(found.others)} would be possible too)" if found.others else ""
        message = f"is not UTF-8 and was taken for {found.encoding}{others}"
        problems.warn(source, message, "see that names and units are right, or save it as UTF-8")
    return found.text


def read_table(data: bytes, source: str, problems: Problems) -> list[Row]:
    """The rows of a tag table; bad cells are :data:`BAD`. ``source``: the file's name in messages."""
    text = text_of(data, source, problems)
    if text is None:
        return []
    delimiter, records = _split(text)
    rows: list[Row] = []
    header: _Header | None = None
    try:
        for line, cells in records:
            if header is None:
                header = _Header(cells, f"{source}:{line}", _signs(delimiter, text), problems)
                if not header.usable:
                    return []
            else:
                rows.append(header.row(cells, f"{source}:{line}"))
    except csv.Error as error:
        line = records.line
        problems.add(f"{source}:{line}", f"is no CSV: {error}", "look for a quote that is opened and not closed")
    if header is None:
        problems.add(source, "is empty", "begin with a line of column names: name, address, type, …")
    return rows


class _Records:
    """Records with the number of the line on which each begins; blank and ``#`` lines left out."""

    def __init__(self, text: str, delimiter: str) -> None:
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        self.line = 1

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        self.line = 1
        for cells in reader:
            if cells and not cells[0].startswith("#") and any(cells):
                yield self.line, cells
            self.line = reader.line_num + 1


def _split(text: str) -> tuple[str, _Records]:
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    if first[:4].lower() == "sep=" and len(first.strip()) == 5:  # Excel's own hint
        return first[4], _Records(text.replace(first, "#" + first, 1), first[4])
    delimiter = max(",;\t", key=first.count)
    return delimiter, _Records(text, delimiter)


def _signs(delimiter: str, text: str) -> Signs:
    if delimiter != ";":
        return Signs.POINT
    return Signs.BOTH if _POINTS.search(text) else Signs.COMMA


class _Header:
    """The columns of a table, and how their cells are read."""

    def __init__(self, cells: list[str], place: Place, signs: Signs, problems: Problems) -> None:
        self._problems = problems
        self._signs = signs
        self._columns: list[tuple[int, str, Cell, dict[str, Any]]] = []
        self._unnamed: list[int] = []
        self._width = len(cells)
        names: set[str] = set()
        meant: dict[str, int] = {}
        for position, cell in enumerate(cells):
            name = cell.strip().casefold()
            if not name:
                self._unnamed.append(position)
            elif name not in _CELLS:
                self._unnamed.append(NO_COLUMN)
                problems.add((place, name), "unknown column", did_you_mean(name, _CELLS))
                meant[nearest(name, _CELLS) or ""] = position
            elif name in names:
                problems.add((place, name), "column given twice", "remove one of them")
            else:
                names.add(name)
                self._columns.append((position, name, _CELLS[name], {}))
        # The column is wrong once, and not in each of its rows: they are read as what was probably meant.
        for name, position in meant.items():
            if name and name not in names:
                self._columns.append((position, name, _CELLS[name], {}))
        self.usable = "name" in names or "name" in meant
        if not self.usable:
            problems.add(place, "no column is called name", "begin with a line of column names: name, address, type, …")

    def row(self, cells: list[str], place: Place) -> Row:
        """The converted cells of one record."""
        values: dict[str, Any] = {}
        count = len(cells)
        for position, name, convert, memo in self._columns:
            if position >= count:
                continue
            text = cells[position]
            if not text:
                continue
            # Most columns hold a few values over and over.
            value = memo.get(text, memo)
            if value is memo:
                value = self._convert(convert, text.strip(), (place, name))
                if value is not BAD and len(memo) < 1000:
                    memo[text] = value
            if value is not None:
                values[name] = value
        if count > self._width and any(cell.strip() for cell in cells[self._width :]):
            message = f"has {count} cells, and the header {self._width}"
            self._problems.add(place, message, "quote a cell that holds the separator")
        for position in self._unnamed:
            if NO_COLUMN < position < count and cells[position].strip():
                self._problems.add(place, f"cell {position + 1} is in a column without a name", "name the column")
        return place, values

    def _convert(self, convert: Cell, text: str, place: Place) -> Any:
        if not text:
            return None
        try:
            return convert(text, self._signs)
        except ValueError as error:
            self._problems.add(place, *error.args[:2])
            return BAD


def number(text: str, signs: Signs = Signs.POINT) -> float | int:
    """A number as a spreadsheet or a manual writes it: ``0.1``, ``1e3``, ``0x8000``; ``0,1`` where allowed."""
    if signs is Signs.COMMA and _THOUSANDS.fullmatch(text):
        remedy = f"write {text.replace('.', '')}, or {text.replace('.', ',', 1)} where a fraction is meant"
        raise ValueError(f"has a point that could stand between thousands: {show(text)}", remedy)
    comma = signs is not Signs.POINT and text.count(",") == 1 and "." not in text
    plain = text.replace(",", ".") if comma else text
    try:
        if plain[:3].lower().lstrip("+-").startswith("0x"):
            return _bounded(int(plain, 16), text)
        if "_" in plain:
            raise ValueError
        if plain.lstrip("+-").isdigit():
            return _bounded(int(plain), text)
        value = float(plain)
    except ValueError:
        remedy = "write the decimal sign as a point" if "," in text else ""
        raise ValueError(f"is no number: {show(text)}", remedy) from None
    if not math.isfinite(value):
        raise ValueError(f"must be a finite number, not {show(text)}", "")
    return value


def _bounded(value: int, text: str) -> int:
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"is too large a number: {show(text)}", "write one of at most 64 bits")
    return value


def invalid_value(text: str, signs: Signs = Signs.POINT) -> float | int | str:
    """One value that means 'no value': ``"nan"``, or a number."""
    if text.casefold() == "nan":
        return "nan"
    try:
        return number(text, signs)
    except ValueError as error:
        raise ValueError(error.args[0], 'write numbers or nan, such as "nan|0x8000"') from None


def _text(text: str, _signs: Signs) -> str:
    return text


def _real(text: str, signs: Signs) -> float:
    return float(number(text, signs))


def _integer(text: str, signs: Signs) -> int:
    value = number(text, signs)
    if value != int(value):
        raise ValueError(f"must be a whole number, not {show(text)}", "")
    return int(value)


def _seconds(text: str, _signs: Signs) -> Seconds:
    seconds = parse_seconds(text)
    if seconds is None:
        raise ValueError(f"is no duration: {show(text)}", DURATION_REMEDY.replace(" in quotes", ""))
    return seconds


def _invalid(text: str, signs: Signs) -> tuple[float | int | str, ...]:
    return tuple(invalid_value(each, signs) for each in text.replace("|", " ").split())


def _boolean(text: str, _signs: Signs) -> bool:
    value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.casefold())
    if value is None:
        raise ValueError(f"must be TRUE or FALSE, not {show(text)}", "")
    return value


def _one_of(members: tuple[Any, ...]) -> Cell:
    known = {str(member): member for member in members}

    def member(text: str, _signs: Signs) -> Any:
        found = known.get(text.casefold().removesuffix(".0"))
        if found is None:
            raise ValueError(f"cannot be {show(text)}", did_you_mean(text, known))
        return found

    return member


def _cell(name: str, type_: Any) -> Cell:
    if name == "invalid":
        return _invalid
    plain = {str: _text, float: _real, int: _integer, bool: _boolean, Seconds: _seconds}
    options = [each for each in get_args(type_) if each is not type(None)]
    if get_origin(type_) is Literal:
        return _one_of(get_args(type_))
    if type_ not in plain and len(options) == 1:
        return _cell(name, options[0])
    return plain[type_]


_CELLS: dict[str, Cell] = {info.encode_name: _cell(info.name, info.type) for info in msgspec.structs.fields(TagSection)}
