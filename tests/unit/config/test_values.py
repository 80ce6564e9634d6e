"""Units, the credit code, and conversion of single values."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from agent.config.convert import BAD, Context, convert
from agent.config.creditcode import ALPHABET, check_character, fault
from agent.config.model import ByteSize, Seconds, Secret
from agent.config.problems import Problems
from agent.config.references import Resolver
from agent.config.relations import is_span
from agent.config.units import parse_seconds, parse_size, show_seconds, show_size
from tests.support.config_driver import CONFIG


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("20ms", 0.02),
        ("1s", 1),
        ("4.2s", 4.2),
        ("15m", 900),
        ("8h", 28800),
        ("30d", 2592000),
        ("5us", 5e-6),
        ("2 min", 120),
    ],
)
def test_durations(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1 fortnight", "1e3s", "1S", "nans", "99999999d", "٣s"])
def test_what_is_no_duration(text):
    assert parse_seconds(text) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50MB", 50_000_000),
        ("500kB", 500_000),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("1.5GB", 1_500_000_000),
        ("7B", 7),
        ("2 GiB", 2**31),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "50", "MB", "-1MB", "5iB", "5Mb/s", "9999999TB"])
def test_what_is_no_size(text):
    assert parse_size(text) is None


@pytest.mark.parametrize("text", ["250ms", "1s", "15m", "8h", "30d", "90s", "1.5s"])
def test_durations_are_shown_as_they_are_written(text):
    assert show_seconds(parse_seconds(text) or 0) == text


@pytest.mark.parametrize("text", ["500kB", "50MB", "1.5GB", "7B"])
def test_sizes_are_shown_as_they_are_written(text):
    assert show_size(parse_size(text) or 0) == text


def test_credit_code_golden():
    assert fault("91350100M000100Y43") is None
    assert check_character("91350100M000100Y4") == "3"


def test_credit_code_of_which_the_sum_is_a_multiple_of_31_ends_in_0():
    bodies = (f"91350100M000100{first}{second}" for first in ALPHABET for second in ALPHABET)
    sums = {
        body: sum(ALPHABET.index(sign) * pow(3, place, 31) for place, sign in enumerate(body)) % 31 for body in bodies
    }
    assert {check_character(body) for body, rest in sums.items() if rest == 0} == {"0"}


def test_every_slip_in_one_character_of_a_credit_code_is_found():
    code = "91350100M000100Y43"
    for place, sign in enumerate(code):
        for other in ALPHABET:
            assert (fault(code[:place] + other + code[place + 1 :]) is None) == (other == sign)


@pytest.mark.parametrize(
    "code", ["", "91350100m000100y43", "91350100M000100Y4", "９1350100M000100Y43", "O1350100M000100Y43"]
)
def test_malformed_credit_codes(code):
    assert fault(code) is not None


@pytest.mark.parametrize(
    ("span", "usable"),
    [("08:00-16:00", True), ("16:00-24:00", True), ("22:00-06:00", True), ("00:00-24:00", True)]
    + [
        (text, False)
        for text in ("8:00-16:00", "08:00-08:00", "24:00-06:00", "08:60-16:00", "08:00-24:30", "08:00", "")
    ],
)
def test_spans(span, usable):
    assert is_span(span) is usable


class Inner(msgspec.Struct):
    a: int
    b: str = "x"


def _convert(value: Any, type_: Any, any_string: bool = False) -> tuple[Any, tuple[str, ...]]:
    context = Context(Problems(), Resolver({"NAME": "text"}, CONFIG.parent), any_string)
    return convert(value, type_, "f", context), context.problems.lines


@pytest.mark.parametrize(
    ("value", "type_", "result"),
    [
        (1, int, 1),
        (1, float, 1.0),
        (2**64 - 1, int, 2**64 - 1),
        ("x", str, "x"),
        (True, bool, True),
        ("1s", Seconds | None, 1.0),
        ("2MB", ByteSize, 2_000_000),
        (["1s"], tuple[Seconds, ...], (1.0,)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1, 2], list[int], [1, 2]),
        ({"a": 1}, dict[str, int], {"a": 1}),
        ({"a": 1}, Inner, Inner(a=1)),
        (5, int | str, 5),
        ("/dev/ttyUSB0", int | str, "/dev/ttyUSB0"),
        ({"a": 2}, Inner | None, Inner(a=2)),
        (0xFFFF_FFFF_FFFF_FFFF, float | str, 0xFFFF_FFFF_FFFF_FFFF),
    ],
)
def test_conversion(value, type_, result):
    made, problems = _convert(value, type_)
    assert made == result
    assert type(made) is type(result) or isinstance(made, float | int)
    assert problems == ()


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (True, int),
        (1, bool),
        (1.0, int),
        ("1", int),
        (1, str),
        (float("nan"), float),
        (float("inf"), float),
        (2**64, int),
        (2**80, float),
        (1, Seconds),
        (True, Seconds),
        (1, ByteSize),
        ("a", tuple[str, ...]),
        ([1], tuple[int, str]),
        ([], dict[str, int]),
        (None, int),
        (True, float | str),
        ({}, str),
        ([1], Inner),
        ([[]], tuple[int, ...]),
        ("text", int | None),
    ],
)
def test_nothing_is_coerced(value, type_):
    made, problems = _convert(value, type_)
    assert made is BAD or not made
    assert len(problems) == 1


def test_any_string_of_a_connection_may_be_a_reference():
    assert _convert({"env": "NAME"}, int | str, any_string=True) == ("text", ())
    assert _convert({"env": "NAME"}, str | None, any_string=True) == ("text", ())
    assert type(_convert({"env": "NAME"}, str, any_string=True)[0]) is str


def test_elsewhere_only_a_secret_may_be_a_reference():
    assert _convert({"env": "NAME"}, str)[0] is BAD
    made, problems = _convert({"env": "NAME"}, Secret)
    assert made.plain == "text"
    assert type(made) is Secret
    assert problems == ()


def test_a_drivers_own_secret_type_is_kept_and_not_shown():
    class Password(str):
        __slots__ = ()

    constrained = Annotated[Password, msgspec.Meta(min_length=8)]
    assert type(_convert("long enough", constrained)[0]) is Password
    assert _convert("hunter2", constrained)[1] == ("f: must be at least 8 long",)


def test_a_number_too_long_to_be_shown_is_told():
    assert _convert(16**6000, int) == (BAD, ("f: is too large a number; write one of at most 64 bits",))
    assert _convert(16**6000, str)[1] == ("f: must be text, not a number that large; put it in quotes",)
