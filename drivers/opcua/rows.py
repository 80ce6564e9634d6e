"""From what a server sent to what is recorded: scaled, judged and spread over the points. Pure.

Compiled once for the items of a subscription, or the nodes of a Read request; then every answer takes
a few numpy steps, whatever the number of its values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Point
from drivers.opcua.address import AddressError, parse
from drivers.opcua.columns import (
    ARRAY,
    DATETIME,
    DIMENSIONS,
    FLOAT,
    LOCALIZED_TEXT,
    NULL,
    NUMBERS,
    STRING,
    Columns,
    numbers,
)
from drivers.opcua.status import overflowed, qualities
from drivers.quality import Quality
from drivers.sentinels import sentinel

_TYPES = {2: "int8", 3: "uint8", 4: "int16", 5: "uint16", 6: "int32", 7: "uint32", 8: "int64", 9: "uint64"}
_NAMES = (
    *("Null", "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"),
    *("String", "DateTime", "Guid", "ByteString", "XmlElement", "NodeId", "ExpandedNodeId", "StatusCode"),
    *("QualifiedName", "LocalizedText", "structure", "DataValue", "Variant", "DiagnosticInfo"),
)
LONGEST_TEXT = 4096
"""Characters: a longer one is no state, name or message of a machine."""
_NOTHING, _NUMBER, _TIME, _TEXT, _STRANGE = range(5)
"""What can be made of a built-in type."""
_MEANING = np.full(256, _STRANGE, np.uint8)
_MEANING[NULL] = _NOTHING
_MEANING[list(NUMBERS)] = _NUMBER
_MEANING[DATETIME] = _TIME
_MEANING[[STRING, LOCALIZED_TEXT]] = _TEXT


@dataclass(slots=True)
class Rows:
    """Samples without their time of arrival, one row a sample, in the order in which they were sent.

    ``point``: int32, :attr:`Point.index`; the other arrays as in :class:`~drivers.contract.Samples`.
    ``source_time`` is 0 where the server gave none.
    """

    point: NDArray[np.int32]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    source_time: NDArray[np.int64]
    text: Mapping[int, str] = field(default_factory=dict)
    lost: Mapping[int, int] = field(default_factory=dict)
    """Point → times that the server's queue for it overflowed."""
    wrong: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Point → what is wrong with the type of its value, and the remedy."""

    def __len__(self) -> int:
        return len(self.point)


@dataclass(slots=True)
class _Draft:
    """Rows in the making; ``at`` is the position of each row's point, ``source`` its row in the answer."""

    at: NDArray[np.intp]
    source: NDArray[np.intp]
    kind: NDArray[np.uint8]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    inexact: NDArray[np.bool_]
    text: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, tuple[str, str]] = field(default_factory=dict)

    def fail(self, row: int, quality: Quality) -> None:
        self.quality[row] = quality
        self.value[row] = np.nan
        self.text.pop(row, None)


class Binding:
    """Which points are made of which item, and how.

    ``items``: by client handle (or position in the request) the points that its value is for: one, or
    several elements of an array, or several tags on one node. Values of other handles are passed over.
    """

    def __init__(self, items: Sequence[Sequence[Point]]) -> None:
        self.points = tuple(point for points in items for point in points)
        self._counts = np.array([len(points) for points in items], np.intp)
        self._first = np.cumsum(self._counts) - self._counts
        self._simple = bool((self._counts == 1).all())
        self._index = np.array([point.index for point in self.points], np.int32)
        scaled = any(point.scale != 1.0 or point.offset != 0.0 for point in self.points)
        self._scale = np.array([point.scale for point in self.points]) if scaled else None
        self._offset = np.array([point.offset for point in self.points]) if scaled else None
        self._wanted = np.array([_wanted(point.type) for point in self.points], np.uint8)
        indexes = [_index(point) for point in self.points]
        self._element = np.array([index or 0 for index in indexes], np.int64)
        self._of_array = np.array([index is not None for index in indexes], np.bool_)
        self._typed = bool(self._wanted.any() or self._of_array.any())
        self._width = max((len(point.invalid) for point in self.points), default=0)
        self._sentinels: dict[int, NDArray[np.float64]] = {}

    def rows(self, columns: Columns) -> Rows:
        """What the values mean for the points."""
        draft = self._draft(columns)
        for row, other in columns.other.items():
            first, end = np.searchsorted(draft.source, (row, row + 1)).tolist()
            if first < end:
                self._unpack(draft, slice(first, end), other)
        self._clip_texts(draft)
        meaning = _MEANING[draft.kind]
        self._compare_types(draft, meaning, columns)
        self._judge(draft, meaning)
        return Rows(
            self._index[draft.at],
            draft.value,
            draft.quality,
            columns.source_time[draft.source],
            draft.text,
            self._lost(columns, draft),
            draft.wrong,
        )

    def _draft(self, columns: Columns) -> _Draft:
        known = columns.handle < len(self._counts)
        source = np.arange(len(columns)) if known.all() else np.flatnonzero(known)
        at = columns.handle[source].astype(np.intp)
        if not self._simple:
            counts = self._counts[at]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            source, at = np.repeat(source, counts), np.repeat(self._first[at], counts) + within
        none = np.zeros(len(source), np.bool_)
        return _Draft(
            at,
            source,
            columns.kind[source],
            columns.value[source],
            qualities(columns.status[source]),
            none if columns.inexact is None else columns.inexact[source],
        )

    def _unpack(self, draft: _Draft, rows: slice, other: str | Sequence[str] | NDArray[Any]) -> None:
        """A text, or the elements of an array that its points ask for."""
        if isinstance(other, str):
            draft.text.update(dict.fromkeys(range(rows.start, rows.stop), other))
            return
        draft.kind[rows] &= ~np.uint8(ARRAY | DIMENSIONS)
        elements = self._element[draft.at[rows]]
        there = elements < len(other)
        for row in (rows.start + np.flatnonzero(~there)).tolist():
            if draft.quality[row] < Quality.BAD:
                draft.fail(row, Quality.ADDRESS)
                point = self.points[draft.at[row]]
                draft.wrong[point.index] = _too_short(point, len(other))
        if isinstance(other, np.ndarray):
            where = rows.start + np.flatnonzero(there)
            draft.value[where], inexact = numbers(int(draft.kind[rows.start]), other[elements[there]])
            if inexact is not None:
                draft.inexact[where] = inexact
        else:
            for row in (rows.start + np.flatnonzero(there)).tolist():
                draft.text[row] = other[elements[row - rows.start]]

    def _clip_texts(self, draft: _Draft) -> None:
        """A text that is too long is none: half of it would be another."""
        for row in [row for row, text in draft.text.items() if len(text) > LONGEST_TEXT]:
            point = self.points[draft.at[row]]
            said = f"{point.address} is a text of {len(draft.text[row])} characters"
            draft.wrong[point.index] = said, f"name a value of at most {LONGEST_TEXT} characters"
            draft.fail(row, Quality.INVALID)

    def _compare_types(self, draft: _Draft, meaning: NDArray[np.uint8], columns: Columns) -> None:
        unfit = meaning == _STRANGE
        if self._typed:
            wanted = self._wanted[draft.at]
            other = (wanted != meaning) & ~((wanted == _NUMBER) & (meaning == _TIME))
            unfit |= (wanted != _NOTHING) & (meaning != _NOTHING) & other
            scalar = (columns.kind[draft.source] & ARRAY == 0) & (meaning != _NOTHING)
            unfit |= scalar & self._of_array[draft.at]
        if unfit.any():
            for row in np.flatnonzero(unfit & (draft.quality < Quality.BAD)).tolist():
                draft.fail(row, Quality.DECODE)
                point = self.points[draft.at[row]]
                draft.wrong[point.index] = mismatch(point, int(columns.kind[draft.source[row]])) or ("", "")

    def _judge(self, draft: _Draft, meaning: NDArray[np.uint8]) -> None:
        """Compare with the sentinels, scale, and mark what is no measurement."""
        invalid = self._invalid(draft)
        if self._scale is not None and self._offset is not None:
            with np.errstate(invalid="ignore", over="ignore"):
                draft.value = draft.value * self._scale[draft.at] + self._offset[draft.at]
        bad = draft.quality >= Quality.BAD
        # An infinity is as little a measurement as a NaN is, and a good value that is absent is none either.
        invalid |= ~np.isfinite(draft.value) & (meaning != _TEXT)
        draft.quality[invalid & ~bad] = Quality.INVALID
        draft.quality[draft.inexact & (draft.quality == Quality.GOOD)] = Quality.IMPRECISE
        bad |= invalid
        if bad.any():
            draft.value[bad] = np.nan
            for row in [row for row in draft.text if bad[row]]:
                del draft.text[row]

    def _invalid(self, draft: _Draft) -> NDArray[np.bool_]:
        found = np.zeros(len(draft.at), np.bool_)
        if self._width:
            for kind in np.unique(draft.kind).tolist():
                rows = draft.kind == kind
                table = self._sentinel_table(kind)[draft.at[rows]]
                found[rows] = (draft.value[rows, None] == table).any(axis=1)
        return found

    def _sentinel_table(self, kind: int) -> NDArray[np.float64]:
        """One row a point, filled up with NaN, which equals nothing (and is always invalid anyway)."""
        if kind not in self._sentinels:
            table = np.full((len(self.points), self._width), np.nan)
            for row, point in enumerate(self.points):
                for column, value in enumerate(point.invalid):
                    plain = sentinel(value, _TYPES.get(kind, ""))
                    # 9.9e36 is another number as a Float, and it is that one which the device sends.
                    with np.errstate(over="ignore"):
                        table[row, column] = np.float32(plain) if kind == FLOAT else plain
            self._sentinels[kind] = table
        return self._sentinels[kind]

    def _lost(self, columns: Columns, draft: _Draft) -> dict[int, int]:
        if not columns.status.any():
            return {}
        lost: dict[int, int] = {}
        for at in draft.at[overflowed(columns.status)[draft.source]].tolist():
            index = self.points[at].index
            lost[index] = lost.get(index, 0) + 1
        return lost


def mismatch(point: Point, kind: int) -> tuple[str, str] | None:
    """Why a point cannot be made of a value of this built-in type (:data:`ARRAY` for arrays), and the remedy."""
    array, plain = bool(kind & ARRAY), kind & ~(ARRAY | DIMENSIONS)
    meaning, name = int(_MEANING[plain]), _NAMES[plain] if plain < len(_NAMES) else f"type {plain}"
    where, wanted = f"{point.address} is {_article(name)}", _wanted(point.type)
    if meaning == _STRANGE:
        remedy = (
            "name a field of it that is a number or a text" if name == "structure" else "leave it out; it is no value"
        )
        return f"{where}, neither a number nor a text", remedy
    if meaning == _NOTHING:
        return None
    if wanted != _NOTHING and wanted != meaning and not (wanted == _NUMBER and meaning == _TIME):
        fit = {_NUMBER: "remove type", _TIME: 'write type = "datetime"', _TEXT: 'write type = "string"'}[meaning]
        return f"{where}, not {point.type}", fit
    if not array and _index(point) is not None:
        return f"{where} and no array", "remove count, or index="
    return None


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' and not name.startswith('UI') else 'a'} {name}"


def _too_short(point: Point, length: int) -> tuple[str, str]:
    return f"{point.address} is an array of {length}", "make count (or index=) smaller"


def _wanted(kind: str) -> int:
    if not kind:
        return _NOTHING
    return {"string": _TEXT, "datetime": _TIME}.get(kind, _NUMBER)


def _index(point: Point) -> int | None:
    """The element of an array that a point needs; ``None``: a plain value will do, or the first element."""
    try:
        index = parse(point.address).index
    except AddressError:
        index = None
    if index is None:
        return point.element or None
    return index + point.element
