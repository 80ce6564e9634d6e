"""Decoding answers from their bytes: as the library does, or not at all."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import numpy as np
import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.opcua import decode, values
from drivers.opcua.columns import ARRAY, Columns
from tests.support.opcua_answers import (
    MIXED,
    SCALARS,
    alike,
    by_library,
    numbered,
    publish_bytes,
    read_bytes,
    runs,
    same,
    same_publish,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
DATA_CHANGE = b"\x01\x00\x2b\x03\x01"
"""Type and encoding of a DataChangeNotification; its length and the number of items follow."""
NOW_US = 1_772_366_400_123_456
FUZZ = settings(max_examples=max(500, settings().max_examples), suppress_health_check=[HealthCheck.too_slow])


def value(found: object, kind: ua.VariantType = ua.VariantType.Double, **fields: object) -> ua.DataValue:
    return ua.DataValue(ua.Variant(found, kind), **{"StatusCode": None, "SourceTimestamp": NOW, **fields})


@given(numbered(alike()))
def test_values_of_one_shape_are_read_at_once_and_as_the_library_reads_them(
    items: list[tuple[int, ua.DataValue]],
) -> None:
    body = publish_bytes(items)
    found = decode.publish_response(body)
    assert found is not None
    assert same(found.items, by_library(body))
    assert same_publish(found, values.publish_response(body))
    assert decode.uniform(body, body.index(DATA_CHANGE) + 13, len(body), len(items), 4) is not None


@given(alike())
def test_a_read_of_values_of_one_shape_is_as_the_library_reads_it(found: list[ua.DataValue]) -> None:
    body = read_bytes(found)
    columns = decode.read_response(body, len(found))
    assert columns is not None
    assert same(columns, by_library(body))
    assert same(columns, values.read_response(body, len(found)))


@given(numbered(MIXED))
def test_values_of_any_shapes_are_as_the_library_reads_them(items: list[tuple[int, ua.DataValue]]) -> None:
    body = publish_bytes(items)
    found = decode.publish_response(memoryview(body))
    assert found is not None
    assert same(found.items, by_library(body))
    assert same_publish(found, values.publish_response(body))


@given(MIXED)
def test_a_read_of_values_of_any_shapes_is_as_the_library_reads_it(found: list[ua.DataValue]) -> None:
    body = read_bytes(found)
    columns = decode.read_response(body, len(found))
    assert columns is not None
    assert same(columns, by_library(body))
    assert same(columns, values.read_response(body, len(found)))


@given(runs())
def test_long_runs_of_several_shapes_are_as_the_library_reads_them(found: list[ua.DataValue]) -> None:
    body = read_bytes(found)
    columns = decode.read_response(body, len(found))
    assert columns is not None
    assert same(columns, by_library(body))
    body = publish_bytes(list(enumerate(found)))
    published = decode.publish_response(body)
    assert published is not None
    assert same(published.items, by_library(body))


@pytest.mark.parametrize("most", [16, 17, 60, 80, 81, 500])
def test_a_run_ends_where_a_type_of_equal_length_begins(most: int) -> None:
    found = [value(float(n)) for n in range(most)] + [value(n, ua.VariantType.Int64) for n in range(most)]
    columns = decode.read_response(read_bytes(found), 2 * most)
    assert columns is not None
    assert columns.value.tolist() == [float(n) for n in range(most)] * 2
    assert columns.kind.tolist() == [11] * most + [8] * most


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """Bytes of an answer with some changed, lost, put in or repeated."""
    data = bytearray(body)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        change = draw(st.sampled_from(["flip", "set", "cut", "insert", "end", "more", "length"]))
        if change == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del data[at : at + draw(st.integers(1, 9))]
        elif change == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif change == "end":
            del data[at:]
        elif change == "more":
            data += draw(st.binary(min_size=1, max_size=30))
        else:
            data[at : at + 4] = struct.pack("<i", draw(st.sampled_from([-2, -1, 0, 1, 2**31 - 1, -(2**31), 65536])))
    return bytes(data)


@FUZZ
@given(st.data(), numbered(alike() | MIXED | runs()))
def test_damaged_answers_are_read_as_the_library_reads_them_or_refused(
    data: st.DataObject, items: list[tuple[int, ua.DataValue]]
) -> None:
    body = data.draw(mutated(publish_bytes(items)))
    found = decode.publish_response(body)
    try:
        general = values.publish_response(body)
    except (values.Malformed, values.Refused):
        assert found is None
    else:
        assert found is None or same_publish(found, general)


@FUZZ
@given(st.data(), alike() | MIXED)
def test_damaged_reads_are_read_as_the_library_reads_them_or_refused(
    data: st.DataObject, items: list[ua.DataValue]
) -> None:
    body = data.draw(mutated(read_bytes(items)))
    found = decode.read_response(body, len(items))
    try:
        general = values.read_response(body, len(items))
    except (values.Malformed, values.Refused):
        assert found is None
    else:
        assert found is None or same(found, general)


@given(st.binary(max_size=200))
def test_noise_is_no_answer(noise: bytes) -> None:
    for body in (noise, publish_bytes([])[:24] + noise, read_bytes([])[:24] + noise):
        assert decode.publish_response(body) is None or len(body) >= 59
        decode.read_response(body, 1)
        for general in (values.publish_response, lambda each: values.read_response(each, 1)):
            try:
                general(body)
            except (values.Malformed, values.Refused) as error:
                assert "\n" not in str(error)


def test_every_field_of_an_answer() -> None:
    body = publish_bytes(
        [(11, value(1.5)), (12, value(-2.0))],
        subscription=5,
        sequence=99,
        more=True,
        available=(97, 98, 99),
        results=(0, 0x807A0000),
        time=NOW,
    )
    found = decode.publish_response(body)
    assert found is not None
    assert (found.subscription, found.sequence, found.more, found.time) == (5, 99, True, NOW_US)
    assert (found.available, found.results) == ((97, 98, 99), (0, 0x807A0000))
    assert (found.keep_alive, found.status_change) == (False, None)
    assert found.items.handle.tolist() == [11, 12]
    assert found.items.value.tolist() == [1.5, -2.0]
    assert found.items.source_time.tolist() == [NOW_US, NOW_US]


def test_a_keep_alive_has_no_items() -> None:
    body = publish_bytes([], sequence=100, available=())
    found = decode.publish_response(body)
    assert found is not None
    assert (found.keep_alive, found.sequence, found.available, len(found.items)) == (True, 100, (), 0)
    assert same_publish(found, values.publish_response(body))


def test_L14_minus_twelve_stays_minus_twelve() -> None:
    items = [(n, value(-12, ua.VariantType[name])) for n, name in enumerate(("Int16", "Int32", "Int64", "SByte"))]
    found = decode.publish_response(publish_bytes(items))
    assert found is not None
    assert found.items.value.tolist() == [-12.0] * 4


def test_integers_beyond_what_a_float_holds_are_flagged() -> None:
    wide = [2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63 - 1, 7]
    found = decode.read_response(read_bytes([value(each, ua.VariantType.Int64) for each in wide]), 6)
    assert found is not None
    assert found.inexact is not None
    assert found.inexact.tolist() == [False, True, False, True, True, False]
    small = decode.read_response(read_bytes([value(2**53, ua.VariantType.UInt64)]), 1)
    assert small is not None
    assert small.inexact is None


def test_times_that_stand_for_none_are_none() -> None:
    ticks = [0, 9, 10, -5, 116_444_736_000_000_019, 2**63 - 1]
    raw = b"".join(b"\x05\x0d" + struct.pack("<qq", each, each) for each in ticks)
    body = read_bytes([value(0.0)])
    body = body[: body.index(b"\x05\x0b") - 4] + struct.pack("<i", len(ticks)) + raw + body[-4:]
    found = decode.read_response(body, len(ticks))
    assert found is not None
    assert same(found, by_library(body))
    assert found.source_time.tolist() == [0, 0, 1 - 11_644_473_600_000_000, 0, 1, 253_402_300_799_000_000]
    assert found.value.tolist()[4:] == [1e-6, 253_402_300_799.0]
    assert np.isnan(found.value[[0, 1, 3]]).all()


def without_values(items: list[tuple[int, ua.DataValue]]) -> bytes:
    """As servers answer for items without any value: the bit of the value unset."""
    body = publish_bytes(items)
    for handle, each in items:
        plain = struct.pack("<I", handle) + struct_to_binary(each)
        assert plain[5] == 0
        at = body.index(plain)
        body = body[: at + 4] + bytes([plain[4] & ~1]) + body[at + 6 :]
    lost = len(items)
    at = body.index(DATA_CHANGE) + 5
    return body[:at] + struct.pack("<i", struct.unpack_from("<i", body, at)[0] - lost) + body[at + 4 :]


def test_items_that_have_a_status_only() -> None:
    bad = ua.StatusCode(ua.UInt32(0x80310000))
    items = [(n, ua.DataValue(ua.Variant(), StatusCode=bad, ServerTimestamp=NOW)) for n in range(5)]
    body = without_values(items)
    found = decode.publish_response(body)
    assert found is not None
    assert found.items.status.tolist() == [0x80310000] * 5
    assert np.isnan(found.items.value).all()
    assert same_publish(found, values.publish_response(body))
    assert same(found.items, by_library(body))


def test_some_items_without_value_among_others() -> None:
    bad = ua.StatusCode(ua.UInt32(0x80310000))
    items = [(n, value(float(n)) if n % 3 else ua.DataValue(ua.Variant(), StatusCode=bad)) for n in range(9)]
    found = decode.publish_response(publish_bytes(items))
    assert found is not None
    assert found.items.status.tolist() == [0 if n % 3 else 0x80310000 for n in range(9)]
    assert found.items.value[1] == 1.0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param([ua.StatusChangeNotification(ua.StatusCode(ua.UInt32(0x800A0000)))], id="status-change"),
        pytest.param(
            [
                ua.DataChangeNotification([ua.MonitoredItemNotification(1, value(1.0))]),
                ua.DataChangeNotification([ua.MonitoredItemNotification(2, value(2.0))]),
            ],
            id="several",
        ),
        pytest.param(
            [
                ua.EventNotificationList([ua.EventFieldList(3, [ua.Variant(1.0)])]),
                ua.DataChangeNotification([ua.MonitoredItemNotification(1, value(1.0))]),
            ],
            id="event",
        ),
        pytest.param(
            [
                ua.DataChangeNotification(
                    [ua.MonitoredItemNotification(1, value(1.0))], [ua.DiagnosticInfo(SymbolicId=ua.Int32(3))]
                )
            ],
            id="diagnostics",
        ),
    ],
)
def test_unusual_notifications_are_left_to_the_library(data: list[object]) -> None:
    body = publish_bytes([], data=data)
    assert decode.publish_response(body) is None
    found = values.publish_response(body)
    assert found.keep_alive is False
    if isinstance(data[0], ua.StatusChangeNotification):
        assert (found.status_change, len(found.items)) == (0x800A0000, 0)
    else:
        assert found.items.value.tolist() == [1.0, 2.0][: len(found.items)]
        assert found.items.handle.tolist()[0] == 1


def test_a_header_with_diagnostics_is_left_to_the_library() -> None:
    response = ua.ReadResponse()
    response.ResponseHeader.StringTable = ["a", "b"]
    response.ResponseHeader.ServiceDiagnostics = ua.DiagnosticInfo(SymbolicId=ua.Int32(3), AdditionalInfo="x")
    response.Results = [value(1.0)]
    body = struct_to_binary(response)
    assert decode.read_response(body, 1) is None
    assert values.read_response(body, 1).value.tolist() == [1.0]


def test_a_refusal_tells_its_status() -> None:
    response = ua.PublishResponse()
    response.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNoSubscription))
    body = struct_to_binary(response)
    assert decode.publish_response(body) is None
    with pytest.raises(values.Refused) as caught:
        values.publish_response(body)
    assert caught.value.code == ua.StatusCodes.BadNoSubscription
    assert str(caught.value) == "BadNoSubscription (0x80790000)"


GOOD = publish_bytes([(n, value(float(n))) for n in range(10)])
GOOD_READ = read_bytes([value(float(n)) for n in range(10)])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GOOD[:-1], id="truncated"),
        pytest.param(GOOD[: len(GOOD) // 2], id="half"),
        pytest.param(GOOD + b"\0", id="trailing"),
        pytest.param(GOOD + GOOD, id="twice"),
        pytest.param(b"", id="empty"),
        pytest.param(GOOD_READ, id="another-answer"),
        pytest.param(GOOD.replace(struct.pack("<i", 10), struct.pack("<i", 11), 1), id="count-too-large"),
        pytest.param(GOOD.replace(struct.pack("<i", 10), struct.pack("<i", 9), 1), id="count-too-small"),
        pytest.param(GOOD.replace(struct.pack("<i", 10), struct.pack("<i", -5), 1), id="count-negative"),
        pytest.param(GOOD.replace(struct.pack("<i", 10), struct.pack("<i", 2**31 - 1), 1), id="count-huge"),
        pytest.param(GOOD.replace(struct.pack("<i", 228), struct.pack("<i", 229), 1), id="length-too-large"),
        pytest.param(GOOD.replace(struct.pack("<i", 228), struct.pack("<i", 227), 1), id="length-too-small"),
        pytest.param(GOOD.replace(struct.pack("<i", 228), struct.pack("<i", -1), 1), id="length-absent"),
    ],
)
def test_a_lying_answer_is_refused_by_both(body: bytes) -> None:
    assert body != GOOD
    assert decode.publish_response(body) is None
    with pytest.raises(values.Malformed) as caught:
        values.publish_response(body)
    assert "\n" not in str(caught.value)


def test_a_read_answer_of_another_length_is_refused_by_both() -> None:
    assert decode.read_response(GOOD_READ, 10) is not None
    for count in (9, 11):
        assert decode.read_response(GOOD_READ, count) is None
        with pytest.raises(values.Malformed):
            values.read_response(GOOD_READ, count)


def test_an_array_that_claims_more_than_there_is_costs_nothing() -> None:
    for kind in (0x80, 0x80 | 11, 0x80 | 12, 0x80 | 24):
        bomb = b"\x01" + bytes([kind]) + struct.pack("<i", 2**31 - 1)
        body = GOOD_READ[: GOOD_READ.index(struct.pack("<i", 10))] + struct.pack("<i", 1) + bomb + struct.pack("<i", 0)
        assert decode.read_response(body, 1) is None
        with pytest.raises(values.Malformed):
            values.read_response(body, 1)


def test_variants_nested_without_end_are_refused() -> None:
    nest = b"\x01" + b"\x18" * 5000 + b"\x01\x01"
    body = GOOD_READ[: GOOD_READ.index(struct.pack("<i", 10))] + struct.pack("<i", 1) + nest + struct.pack("<i", 0)
    assert decode.read_response(body, 1) is None
    with pytest.raises(values.Malformed):
        values.read_response(body, 1)


def test_every_numeric_type_is_covered() -> None:
    assert len(SCALARS) == 12
    assert not ARRAY & max(ua.VariantType)
    assert len(Columns.blank(0)) == 0
