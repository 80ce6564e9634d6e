"""What people and devices write: times, tags and texts, each answered in one clear line or written harmlessly."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.export import harmless
from agent.cli.read import shown
from agent.cli.times import nearest, parse_time
from agent.errors import GongfuError
from drivers.contract import Point

NOW = 1_790_000_100_000_000
SHANGHAI = "Asia/Shanghai"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("today", "2026-09-21T00:00+08:00"),
        ("06:48", "2026-09-21T06:48+08:00"),
        ("2026-09-21", "2026-09-21T00:00+08:00"),
        ("2026-09-21T06:48Z", "2026-09-21T06:48Z"),
    ],
)
def test_n14_n16_times_are_by_the_plants_clock(text: str, moment: str) -> None:
    assert parse_time(text, SHANGHAI, NOW) == datetime.fromisoformat(moment).timestamp() * 1e6


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "25:00", "0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "9" * 400 + "d",
     "1e999", "99999999d", "²h"],
)  # fmt: skip
def test_c_an_extreme_time_is_one_clear_line(text: str) -> None:
    with pytest.raises(GongfuError, match="cannot read the time"):
        parse_time(text, SHANGHAI, NOW)


@given(st.text(max_size=12))
def test_c_text_of_a_device_is_no_formula_and_comes_back(text: str) -> None:
    written = harmless(text)
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert (written[1:] if written.startswith("'") else written) == text
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([written])
    if not {"\r", "\0"} & {*text}:
        assert next(csv.reader(io.StringIO(line.getvalue(), newline=""))) == [written] or not text


def point(kind: str) -> Point:
    return Point(index=0, name="a", address="holding:0", type=kind)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_n15_the_shortest_text_that_is_the_same_float32(value: float) -> None:
    text = shown(value, point("float32"))
    assert float(np.float32(text)) == value and "e+0" not in text[:9]
    assert len(text) <= len(repr(value))


def test_n15_what_is_scaled_and_what_is_a_date() -> None:
    assert shown(float(np.float32(2.1)), point("float32")) == "2.1"
    assert shown(float(np.float32(21.3)) * 0.1, point("float32")) == "2.13"
    assert shown(3 * 0.1, point("uint16")) == "0.3"
    assert shown(1796078820.0, point("uint32")) == "1796078820"
    moment = datetime(2026, 11, 30, 6, 47, tzinfo=UTC).timestamp()
    assert shown(moment, point("datetime")) == "2026-11-30 06:47:00.000Z"
    assert shown(1e300, point("datetime")) == "1e+300"


def test_n14_a_name_that_is_none_gets_the_nearest() -> None:
    assert nearest("press-1.oil_tmp", ["press-1.oil_temp", "a.b"]) == "did you mean 'press-1.oil_temp'?"
    assert nearest("x", []) == "there is none"
