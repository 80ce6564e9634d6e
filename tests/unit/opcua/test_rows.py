"""From decoded values to samples: by point, scaled, judged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Point
from drivers.opcua import decode, values
from drivers.opcua.columns import ARRAY
from drivers.opcua.rows import Binding, Rows, mismatch
from drivers.quality import Quality
from tests.support.opcua_answers import MIXED, alike, by_library, read_bytes

GOLDEN = Path(__file__).parents[2] / "testcases" / "opcua-golden"
ANSWERS = {
    (each["server"], each["answer"]): bytes.fromhex(each["bytes"])
    for each in json.loads((GOLDEN / "answers.json").read_text())
}
VALUES: list[dict[str, Any]] = json.loads((GOLDEN / "values.json").read_text(encoding="utf-8"))
SERVERS = ["asyncua", "node-opcua"]
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
Result = float | str | Quality


def point(index: int = 0, **keys: Any) -> Point:
    return Point(index=index, name=f"p{index}", **{"address": f"ns=2;i={index + 1}", **keys})


def results(rows: Rows) -> list[Result]:
    """By row: text, value, or what else than good it is."""
    found: list[Result] = []
    for row, code in enumerate(rows.quality.tolist()):
        if code >= Quality.BAD:
            assert np.isnan(rows.value[row])
            assert row not in rows.text
        found.append(Quality(code) if code else rows.text.get(row, float(rows.value[row])))
    return found


def read(*found: Any, points: list[list[Point]] | None = None, kind: ua.VariantType | None = None, **keys: Any) -> Rows:
    """What is made of the answer to a Read; ``keys`` are those of every point."""
    items = [
        each
        if isinstance(each, ua.DataValue)
        else ua.DataValue(each if isinstance(each, ua.Variant) else ua.Variant(each, kind))
        for each in found
    ]
    columns = decode.read_response(read_bytes(items), len(items))
    assert columns is not None
    return Binding(points or [[point(n, **keys)] for n in range(len(items))]).rows(columns)


def expected_of(case: dict[str, Any]) -> list[Result | tuple[float, Quality]]:
    quality = Quality[case.get("quality", "good").upper()]
    if "values" in case or "texts" in case:
        return list(case.get("values") or case["texts"])
    if quality is Quality.IMPRECISE:
        return [(float(case["value"]), quality)]
    return [quality if quality else case.get("text", case.get("value"))]


def golden_points() -> list[list[Point]]:
    points: list[list[Point]] = []
    for case in VALUES:
        elements = len(expected_of(case))
        first = sum(len(each) for each in points)
        points.append([point(first + n, address=f"ns=2;s={case['type']}", element=n) for n in range(elements)])
    return points


def assert_golden(rows: Rows) -> None:
    expected = [each for case in VALUES for each in expected_of(case)]
    got = results(rows)
    assert rows.point.tolist() == list(range(len(expected)))
    for row, want in enumerate(expected):
        if isinstance(want, tuple):
            assert (rows.value[row], rows.quality[row]) == want
        else:
            assert got[row] == want
    assert (np.abs(rows.source_time - 1_795_611_830_000_000) < 10_000_000).all()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("way", ["own", "library"])
def test_L14_golden_values_read(server: str, way: str) -> None:
    body = ANSWERS[server, "read"]
    columns = (decode if way == "own" else values).read_response(body, len(VALUES))
    assert columns is not None
    rows = Binding(golden_points()).rows(columns)
    assert_golden(rows)
    strange = [case["type"] for case in VALUES if case.get("quality") == "decode"]
    assert [rows.wrong[index][0] for index in sorted(rows.wrong)] == [
        f"ns=2;s={name} is a {name}, neither a number nor a text" for name in strange
    ]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("way", ["own", "library"])
def test_L14_golden_values_published(server: str, way: str) -> None:
    found = (decode if way == "own" else values).publish_response(ANSWERS[server, "publish"])
    assert found is not None
    assert (found.keep_alive, found.more, found.items.handle.tolist()) == (False, False, list(range(100, 119)))
    found.items.handle -= np.uint32(100)
    assert_golden(Binding(golden_points()).rows(found.items))


@pytest.mark.parametrize("server", SERVERS)
def test_golden_doubles_are_read_at_once(server: str) -> None:
    found = decode.publish_response(ANSWERS[server, "publish-double"])
    assert found is not None
    assert found.items.value.tolist() == [1.7976931348623157e308] * 4
    assert found.items.handle.tolist() == [0, 1, 2, 3]
    columns = decode.read_response(ANSWERS[server, "read-double"], 3)
    assert columns is not None
    assert columns.value.tolist() == [1.7976931348623157e308] * 3


@pytest.mark.parametrize("server", SERVERS)
def test_a_golden_keep_alive(server: str) -> None:
    found = decode.publish_response(ANSWERS[server, "keep-alive"])
    assert found is not None
    assert (found.keep_alive, found.sequence, len(found.items)) == (True, 2, 0)


@pytest.mark.parametrize("server", SERVERS)
def test_L1_a_missing_node_leaves_the_others_alone(server: str) -> None:
    columns = decode.read_response(ANSWERS[server, "read-missing"], 3)
    assert columns is not None
    rows = Binding([[point(0)], [point(1)], [point(2)]]).rows(columns)
    assert results(rows) == [1.0, Quality.ADDRESS, -12.0]


def test_golden_values_cover_every_type_a_number_or_text_is_made_of() -> None:
    names = {case["type"] for case in VALUES}
    assert names >= {ua.VariantType(number).name for number in (*range(1, 14), 21)}


KINDS = ["", "string", "datetime", "float64", "bool"]


@st.composite
def bindings(draw: st.DrawFn, items: int) -> Binding:
    """Any points on any items: none, one or several, with whatever keys."""
    points: list[list[Point]] = []
    index = 0
    for _ in range(items):
        points.append([])
        for _ in range(draw(st.sampled_from([1, 1, 1, 1, 0, 2, 4]))):
            array = draw(st.sampled_from(["", "", "", "index=0;", "index=2;"]))
            points[-1].append(
                point(
                    index,
                    address=f"{array}ns=2;i={index + 1}",
                    element=draw(st.sampled_from([0, 0, 0, 1, 5])),
                    type=draw(st.sampled_from(KINDS)),
                    scale=draw(st.sampled_from([1.0, 1.0, 0.1, -3.0])),
                    offset=draw(st.sampled_from([0.0, 7.5])),
                    invalid=draw(st.sampled_from([(), (), (0.0, 1.0), (65535.0, 32768.0)])),
                )
            )
            index += 1
    return Binding(points)


@given(st.data(), alike() | MIXED)
def test_both_ways_of_decoding_make_the_same_samples(data: st.DataObject, found: list[ua.DataValue]) -> None:
    binding = data.draw(bindings(len(found)))
    body = read_bytes(found)
    own = decode.read_response(body, len(found))
    assert own is not None
    one, other = binding.rows(own), binding.rows(by_library(body))
    for name in ("point", "value", "quality", "source_time"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "value"), name
    assert (one.text, one.lost, one.wrong) == (other.text, other.lost, other.wrong)
    bad = one.quality >= Quality.BAD
    assert not np.isfinite(one.value[bad]).any()
    assert all(not bad[row] for row in one.text)
    texts = np.zeros(len(one), np.bool_)
    texts[list(one.text)] = True
    assert np.isfinite(one.value[~bad & ~texts]).all(), "what is not bad has a value"


def test_scale_and_offset() -> None:
    assert results(read(10, -3, scale=0.5, offset=1.0, kind=ua.VariantType.Int16)) == [6.0, -0.5]


def test_some_points_are_scaled_and_others_are_not() -> None:
    points = [[point(0)], [point(1, scale=10.0)], [point(2, offset=-1.0)]]
    assert results(read(1.0, 2.0, 3.0, points=points)) == [1.0, 20.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "value", "invalid", "expected"),
    [
        ("Int16", -32768, (0x8000,), Quality.INVALID),
        ("Int16", -32767, (0x8000,), -32767.0),
        ("UInt16", 0x8000, (0x8000,), Quality.INVALID),
        ("Int32", -1, (0xFFFFFFFF,), Quality.INVALID),
        ("Double", 9.9e36, (9.9e36,), Quality.INVALID),
        ("Float", float(np.float32(9.9e36)), (9.9e36,), Quality.INVALID),
        ("Double", 7.0, (float("nan"), 7.0), Quality.INVALID),
        ("Double", 7.0, (float("nan"),), 7.0),
        ("Boolean", False, (0.0,), Quality.INVALID),
        ("Double", float("nan"), (), Quality.INVALID),
        ("Double", float("inf"), (), Quality.INVALID),
        ("Float", float("-inf"), (), Quality.INVALID),
    ],
)
def test_values_that_mean_no_value(kind: str, value: Any, invalid: tuple[float, ...], expected: Result) -> None:
    assert results(read(value, kind=ua.VariantType[kind], invalid=invalid)) == [expected]


def test_a_sentinel_is_compared_before_scaling() -> None:
    assert results(read(10.0, 1.0, scale=10.0, invalid=(10.0,))) == [Quality.INVALID, 10.0]


def test_what_overflows_by_scaling_is_invalid() -> None:
    assert results(read(1e308, scale=10.0)) == [Quality.INVALID]


def test_a_good_value_that_is_absent_is_invalid() -> None:
    assert results(read(ua.DataValue(ua.Variant()))) == [Quality.INVALID]


def status(code: int, value: Any = 1.0) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value), StatusCode=ua.StatusCode(ua.UInt32(code)))


def test_statuses_become_qualities() -> None:
    rows = read(status(0), status(0x40920000), status(0x80310000), status(0x80340000), status(0x80320000, "text"))
    assert results(rows) == [1.0, Quality.UNCERTAIN, Quality.CONNECTION, Quality.ADDRESS, Quality.DEVICE]
    assert rows.value[1] == 1.0


def test_an_uncertain_value_stays_uncertain_when_it_is_imprecise_and_becomes_bad_when_it_is_none() -> None:
    rows = read(
        ua.DataValue(ua.Variant(2**53 + 1, ua.VariantType.Int64), StatusCode=ua.StatusCode(ua.UInt32(0x40000000))),
        ua.DataValue(ua.Variant(float("nan")), StatusCode=ua.StatusCode(ua.UInt32(0x40000000))),
    )
    assert results(rows) == [Quality.UNCERTAIN, Quality.INVALID]


def test_a_queue_that_overflowed_is_counted_by_point() -> None:
    rows = read(status(0x480), status(0), status(0x40000480), points=[[point(5)], [point(6)], [point(7), point(8)]])
    assert rows.lost == {5: 1, 7: 1, 8: 1}


def test_the_overflow_bit_means_nothing_where_the_flags_are_not_of_a_value() -> None:
    assert read(status(0x80)).lost == {}


def test_an_array_is_spread_over_its_points() -> None:
    points = [[point(n, element=n) for n in range(3)], [point(3)]]
    assert results(read(ua.Variant([1.5, 2.5, 3.5]), 9.0, points=points)) == [1.5, 2.5, 3.5, 9.0]


def test_an_element_that_an_array_does_not_have_is_bad_and_said() -> None:
    points = [[point(n, address="ns=2;s=a", element=n) for n in range(4)]]
    rows = read(ua.Variant([1.5, 2.5]), points=points)
    assert results(rows) == [1.5, 2.5, Quality.ADDRESS, Quality.ADDRESS]
    assert rows.wrong[2] == ("ns=2;s=a is an array of 2", "make count (or index=) smaller")


def test_an_index_in_the_address_counts_from_0_and_row_by_row() -> None:
    points = [[point(0, address="index=3;ns=2;s=a"), point(1, address="index=4;ns=2;s=a", element=1)]]
    matrix = ua.Variant([[1, 2, 3], [4, 5, 6]], ua.VariantType.Int32)
    assert results(read(matrix, points=points)) == [4.0, 6.0]


def test_texts_and_their_arrays() -> None:
    rows = read(
        "Störung 1", ua.LocalizedText("急停", "zh"), ua.Variant(None, ua.VariantType.String), ua.Variant(["a", "b"])
    )
    assert results(rows) == ["Störung 1", "急停", "", "a"]


def test_a_text_in_gb18030_is_read_all_the_same() -> None:
    body = read_bytes([ua.DataValue(ua.Variant("ABCD"))]).replace(b"ABCD", "主轴".encode("gb18030"))
    for columns in (decode.read_response(body, 1), values.read_response(body, 1)):
        assert columns is not None
        assert results(Binding([[point()]]).rows(columns)) == ["主轴"]


def test_a_time_is_seconds_since_1970() -> None:
    early = datetime(1969, 12, 31, tzinfo=UTC) + timedelta(milliseconds=250)
    none = ua.DataValue(ua.Variant(datetime(1601, 1, 1, tzinfo=UTC)))
    assert results(read(NOW, early, none)) == [1_772_366_400.0, -86_399.75, Quality.INVALID]
    assert results(read(NOW, type="datetime")) == [1_772_366_400.0]


@pytest.mark.parametrize(
    ("type", "value", "fit"),
    [
        ("string", 1.5, "remove type"),
        ("float64", "text", 'write type = "string"'),
        ("bool", NOW, None),
        ("int32", 1.5, None),
        ("datetime", 1.5, "remove type"),
        ("string", NOW, 'write type = "datetime"'),
        ("string", ua.LocalizedText("a"), None),
        ("", UUID(int=5), "leave it out; it is no value"),
        ("float64", b"abc", "leave it out; it is no value"),
        ("", ua.EUInformation(), "name a field of it that is a number or a text"),
    ],
)
def test_a_value_of_another_type_is_bad_and_the_remedy_is_said(type: str, value: Any, fit: str | None) -> None:
    rows = read(value, 2.0, points=[[point(4, type=type)], [point(5)]])
    if fit is None:
        assert rows.quality.tolist() == [0, 0]
        assert rows.wrong == {}
    else:
        assert results(rows) == [Quality.DECODE, 2.0]
        assert rows.wrong[4][1] == fit
        assert rows.wrong == {4: mismatch(point(4, type=type), ua.Variant(value).VariantType.value)}


def test_a_plain_value_is_no_array() -> None:
    rows = read(1.5, points=[[point(0), point(1, element=1)]])
    assert results(rows) == [1.5, Quality.DECODE]
    assert rows.wrong == {1: ("ns=2;i=2 is a Double and no array", "remove count, or index=")}
    assert mismatch(point(1, element=1), 11 | ARRAY) is None


def test_values_of_unknown_handles_are_passed_over() -> None:
    found = [ua.Variant(0.0), ua.Variant([1.0]), ua.Variant(2.0), ua.Variant("text")]
    columns = decode.read_response(read_bytes([ua.DataValue(each) for each in found]), 4)
    assert columns is not None
    columns.handle = np.array([1, 2**32 - 1, 0, 2], np.uint32)
    rows = Binding([[point(10)], [point(11)]]).rows(columns)
    assert (rows.point.tolist(), rows.value.tolist(), rows.text) == ([11, 10], [0.0, 2.0], {})


def test_an_item_may_have_no_points() -> None:
    rows = read(1.0, ua.Variant([1.0]), "text", 4.0, points=[[point(0)], [], [], [point(1)]])
    assert (rows.point.tolist(), rows.value.tolist(), rows.text) == ([0, 1], [1.0, 4.0], {})


def test_several_values_of_one_item_stay_in_order() -> None:
    columns = decode.read_response(read_bytes([ua.DataValue(ua.Variant(float(n))) for n in range(3)]), 3)
    assert columns is not None
    columns.handle[:] = 0
    assert results(Binding([[point(3)]]).rows(columns)) == [0.0, 1.0, 2.0]


def test_a_value_that_the_library_has_decoded_is_the_same() -> None:
    value = ua.DataValue(ua.Variant(-12, ua.VariantType.Int32), SourceTimestamp=NOW)
    rows = Binding([[point(3, scale=2.0)]]).rows(values.data_value(value))
    assert (results(rows), rows.source_time.tolist()) == ([-24.0], [1_772_366_400_000_000])
