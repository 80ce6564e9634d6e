"""Decoding: golden values, alone and in company."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.contract import Point
from drivers.modbus.address import ORDERS, REGISTERS, place
from drivers.modbus.decode import Block, Decoder, Item, arrange, byte_places, size_of
from drivers.modbus.plan import Span
from drivers.quality import Quality
from tests.support.modbus_devices import expected, golden, golden_points

CASES = golden()


def decode(points: list[Point], span: Span, data: bytes, rows: list[int] | None = None) -> list[float | str | Quality]:
    """By point: value, text or bad quality."""
    pairs = arrange([(point, place(point)) for point in points])
    rows = rows or list(range(len(pairs)))
    items = [Item(row, point, found) for row, (point, found) in zip(rows, pairs, strict=True)]
    block = Block.blank(max(rows) + 1)
    assert len(data) == size_of(span)
    Decoder(span, items).decode(data, 1_000_000, block)
    result: dict[int, float | str | Quality] = {}
    for item in items:
        quality = Quality(block.quality[item.row])
        assert block.time[item.row] == 1_000_000
        value = block.text.get(item.row, float(block.value[item.row]))
        result[item.point.index] = quality if quality.level == "bad" else value
    return [result[index] for index in sorted(result)]


def name(case: dict[str, Any]) -> str:
    return f"{case['type']}-{case['order']}-{case['wire']}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_L14_golden_value_alone(case: dict[str, Any]) -> None:
    points, data = golden_points([case], start=100)
    assert decode(points, Span(3, 100, 100 + len(data) // 2), data) == [expected(case)]


def test_L14_golden_values_in_one_request() -> None:
    points, data = golden_points(CASES, start=100)
    assert decode(points, Span(3, 100, 100 + len(data) // 2), data) == [expected(case) for case in CASES]


def test_L14_golden_values_on_scattered_rows() -> None:
    points, data = golden_points(CASES)
    rows = [3 * row + 1 for row in range(len(points))]
    assert decode(points, Span(3, 0, len(data) // 2), data, rows) == [expected(case) for case in CASES]


def test_golden_values_cover_every_type_and_order() -> None:
    assert {(case["type"], case["order"]) for case in CASES} >= {
        (kind, order) for kind in REGISTERS for order in ORDERS
    }


@pytest.mark.parametrize("kind", ["uint16", "int32", "float32", "float64"])
def test_a_run_is_decoded_as_its_values_one_by_one(kind: str) -> None:
    size = {"uint16": 1, "int32": 2, "float32": 2, "float64": 4}[kind]
    data = bytes(range(1, 1 + 2 * size * 8))
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        points = [
            Point(index=n, name=f"p{n}", address="holding:0", type=kind, element=n, order=order) for n in range(8)
        ]
        together = decode(points, Span(3, 0, 8 * size), data)
        alone = []
        for point in points:
            found = place(point)
            part = data[2 * found.address : 2 * found.end]
            single = Point(index=0, name="p", address=f"holding:{found.address}", type=kind, order=order)
            alone += decode([single], Span.of(found), part)
        assert together == alone


def test_coils_are_packed_lowest_bit_first() -> None:
    points = [Point(index=n, name=f"p{n}", address=f"coil:{at}") for n, at in enumerate((10, 11, 18, 21))]
    assert decode(points, Span(1, 10, 22), bytes([0b00000001, 0b00001001])) == [1.0, 0.0, 1.0, 1.0]


def test_bits_of_an_array_run_on_into_the_next_register() -> None:
    points = [Point(index=n, name=f"p{n}", address="holding:5.14", type="bool", element=n) for n in range(4)]
    assert [(place(point).address, place(point).bit) for point in points] == [(5, 14), (5, 15), (6, 0), (6, 1)]
    assert decode(points, Span(3, 5, 7), b"\x40\x00\x00\x02") == [1.0, 0.0, 0.0, 1.0]


def test_some_invalid_values_leave_the_others_alone() -> None:
    points = [
        Point(index=n, name=f"p{n}", address="holding:0", element=n, invalid=(0.0, 7.0) if n < 2 else (), scale=2.0)
        for n in range(4)
    ]
    data = b"\x00\x07\x00\x08\x00\x07\x00\x00"
    assert decode(points, Span(3, 0, 4), data) == [Quality.INVALID, 16.0, 14.0, 0.0]


def test_byte_places_of_each_order() -> None:
    assert byte_places(8, "ABCD") == (0, 1, 2, 3, 4, 5, 6, 7)
    assert byte_places(8, "CDAB") == (6, 7, 4, 5, 2, 3, 0, 1)
    assert byte_places(4, "BADC") == (1, 0, 3, 2)
    assert byte_places(4, "DCBA") == (3, 2, 1, 0)
    assert byte_places(2, "CDAB") == (0, 1)
