"""Items of several shapes in one answer, walked through without the library. Pure.

The walk only finds where each item lies, which costs a small part of what decoding it one by one
would; then the items of each shape are gathered into an array and read at once. What has no fixed
size is taken out on the way, if it is a text or an array of numbers or texts, and else stepped over.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.opcua.columns import (
    ARRAY,
    DIMENSIONS,
    HAS_VALUE,
    LOCALIZED_TEXT,
    NUMBERS,
    STRING,
    Columns,
    layout,
    micros_array,
    numbers,
    text,
)
from drivers.opcua.extent import PARTS, Garbled, length, localized_text, spend, string, value

_RUN = 16
"""After so many items of one shape the next ones are looked at together."""

Body = bytes | memoryview
Other = str | Sequence[Any] | NDArray[Any]


def mixed(body: Body, at: int, end: int, count: int, lead: int) -> tuple[Columns, int] | None:
    """As :func:`drivers.opcua.decode.uniform`, for items of any shapes."""
    if count > (end - at) // (lead + 1):
        return None
    try:
        starts, shapes, variable, at = _walk(body, at, end, count, lead)
    except (Garbled, struct.error, IndexError):
        return None
    columns = Columns.blank(count)
    columns.other = {row: other for row, (_, other) in variable.items() if other is not None}
    where, kinds = np.array(starts, np.intp), np.array(shapes, np.uint32)
    columns.kind = (kinds >> 8).astype(np.uint8) & np.uint8(0xFF ^ DIMENSIONS)
    if lead:
        columns.handle = _gather(body, where, np.dtype("<u4")).astype(np.uint32)
    for row, (after, _) in variable.items():
        # The fields behind the value are those of an item that has none.
        where[row] = after - 1 - lead
        kinds[row] = shapes[row] & ~HAS_VALUE & 0xFF
    for shape in np.unique(kinds).tolist():
        rows = np.flatnonzero(kinds == shape)
        form = layout(lead, shape & 0xFF, shape >> 8)
        if form is not None:
            _fill(columns, rows, shape >> 8, _gather(body, where[rows], form))
    return columns, at


def _walk(
    body: Body, at: int, end: int, count: int, lead: int
) -> tuple[list[int], list[int], dict[int, tuple[int, Other | None]], int]:
    """Where each item begins, its shape (mask, and type << 8), what has no fixed size, and where all end."""
    sizes = _SIZES[lead]
    starts, shapes = [0] * count, [0] * count
    variable: dict[int, tuple[int, Other | None]] = {}
    row, before, alike, window = 0, -1, 0, _RUN
    left = [PARTS]
    while row < count:
        shape = body[at + lead]
        if shape & HAS_VALUE:
            shape |= body[at + lead + 1] << 8
        size = sizes[shape]
        if shape == before:
            alike += 1
        else:
            before, alike, window = shape, 0, _RUN
        if size and alike >= _RUN:
            # The window grows, so that a run that ends soon has not cost a look at everything.
            window *= 4
            run = _run(body, at, min(count - row, (end - at) // size, window), lead, shape)
            starts[row : row + run] = range(at, at + run * size, size)
            shapes[row : row + run] = [shape] * run
            row, at = row + run, at + run * size
            continue
        starts[row], shapes[row] = at, shape
        if size:
            at += size
        else:
            after, _ = variable[row] = _variable(body, at + lead + 2, shape, left)
            at = after + sizes[shape & 0xFE] - lead - 1
        if at > end:
            raise Garbled("the end is missing")
        row += 1
    return starts, shapes, variable, at


def _run(body: Body, at: int, most: int, lead: int, shape: int) -> int:
    """How many items from ``at`` have the shape, up to ``most``."""
    form = layout(lead, shape & 0xFF, shape >> 8)
    if most < 1 or form is None:
        raise Garbled("the end is missing")
    items = np.frombuffer(body, form, most, at)
    other = items["mask"] != shape & 0xFF
    if shape & HAS_VALUE:
        other |= items["kind"] != shape >> 8
    first = int(other.argmax())
    return first if other[first] else most


def _gather(body: Body, where: NDArray[np.intp], form: np.dtype[Any]) -> NDArray[Any]:
    """Items of one form that begin at ``where``."""
    anywhere = np.ndarray((len(body) - form.itemsize + 1,), form, body, strides=(1,))
    found: NDArray[Any] = anywhere[where]
    return found


def _fill(columns: Columns, rows: NDArray[np.intp], kind: int, items: NDArray[Any]) -> None:
    """Write items of one shape to their rows."""
    names = items.dtype.names or ()
    if "value" in names:
        columns.value[rows], inexact = numbers(kind, items["value"])
        if inexact is not None:
            if columns.inexact is None:
                columns.inexact = np.zeros(len(columns), np.bool_)
            columns.inexact[rows] = inexact
    if "status" in names:
        columns.status[rows] = items["status"]
    if "source" in names:
        columns.source_time[rows] = micros_array(items["source"])


class _Sizes(dict[int, int]):
    """Bytes of an item by its shape (mask, and type << 8); 0 where mask and type do not say it."""

    def __init__(self, lead: int) -> None:
        super().__init__()
        self._lead = lead

    def __missing__(self, shape: int) -> int:
        form = layout(self._lead, shape & 0xFF, shape >> 8)
        self[shape] = form.itemsize if form else 0
        return self[shape]


_SIZES = {lead: _Sizes(lead) for lead in (0, 4)}


def _variable(body: Body, at: int, shape: int, left: list[int]) -> tuple[int, Other | None]:
    """A value without a fixed size that begins at ``at``: where it ends, and what it is, if of use."""
    mask, kind = shape & 0xFF, shape >> 8
    if mask & 0xC0:
        raise Garbled("a DataValue of another kind")
    if kind == STRING:
        end = string(body, at)
        return end, _text(body, at, end)
    if kind == LOCALIZED_TEXT:
        begin, end = localized_text(body, at)
        return end, _text(body, begin, end)
    spend(left, 1)
    end = value(body, at, kind, left)
    element = kind & ~(ARRAY | DIMENSIONS)
    if element in NUMBERS:
        return end, np.frombuffer(body, NUMBERS[element], length(body, at), at + 4)
    if element != STRING:
        return end, None
    texts: list[str] = []
    at += 4
    for _ in range(length(body, at - 4)):
        begin, at = at, string(body, at)
        texts.append(_text(body, begin, at))
    return end, texts


def _text(body: Body, at: int, end: int) -> str:
    """The text with its length at ``at``; one that is absent is empty."""
    return text(bytes(body[at + 4 : end]))
