"""Addresses and options: what is understood, and what is said of what is not."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from drivers.contract import Point, Problem
from drivers.durations import seconds
from drivers.modbus import DRIVER, Options
from drivers.modbus.address import place
from drivers.modbus.options import Link
from tests.support.modbus_devices import points

GOOD = Options(host="192.168.1.10")


def problems(*addresses: str | dict[str, Any], **options: Any) -> list[Problem]:
    return list(DRIVER.check(Options(**({"host": "plc"} | options)), points(*addresses)))


@pytest.mark.parametrize(
    ("address", "function", "start", "bit"),
    [
        ("holding:100", 3, 100, None),
        ("Holding: 100", 3, 100, None),
        ("holding:0x64", 3, 100, None),
        ("input:0XFFFF", 4, 65535, None),
        ("coil:7", 1, 7, None),
        ("coils:7", 1, 7, None),
        ("discrete:0", 2, 0, None),
        ("holding:100.3", 3, 100, 3),
        ("40101", 3, 100, None),
        ("400101", 3, 100, None),
        ("465536", 3, 65535, None),
        ("30001", 4, 0, None),
        ("10001", 2, 0, None),
        ("00001", 1, 0, None),
        ("40101.15", 3, 100, 15),
    ],
)
def test_address_notations(address: str, function: int, start: int, bit: int | None) -> None:
    found = place(Point(index=0, name="p", address=address))
    assert (found.function, found.address, found.bit) == (function, start, bit)


@pytest.mark.parametrize(
    ("address", "kind", "count"),
    [("holding:0", "uint16", 1), ("coil:0", "bool", 1), ("input:0.4", "bool", 1)],
)
def test_default_types(address: str, kind: str, count: int) -> None:
    found = place(Point(index=0, name="p", address=address))
    assert (found.type, found.count) == (kind, count)


@pytest.mark.parametrize(
    ("point", "field"),
    [
        ("", "address"),
        ("DB1.0", "address"),
        ("holding", "address"),
        ("holding:-1", "address"),
        ("holding:65536", "address"),
        ("holding:1e3", "address"),
        ("register:5", "address"),
        ("40000", "address"),
        ("465537", "address"),
        ("50001", "address"),
        ("101", "address"),
        ("holding:5.16", "address"),
        ("coil:5.1", "address"),
        ("holding:100\n", None),
        ({"address": "holding:65535", "type": "float32"}, "address"),
        ({"address": "holding:65530", "type": "uint16", "element": 6}, "address"),
        ({"address": "coil:1", "type": "uint16"}, "type"),
        ({"address": "holding:1", "type": "real"}, "type"),
        ({"address": "holding:1.2", "type": "int16"}, "type"),
        ({"address": "holding:1", "type": "string"}, "length"),
        ({"address": "holding:1", "type": "uint16", "length": 4}, "length"),
        ({"address": "holding:1", "type": "string", "length": 251}, "length"),
        ({"address": "holding:1", "order": "ABDC"}, "order"),
        ({"address": "holding:1", "type": "int16", "invalid": (65536.0,)}, "invalid"),
        ({"address": "holding:1", "type": "int16", "invalid": (32768.0, float("nan"))}, None),
        ({"address": "holding:1", "type": "uint16", "invalid": (-1.0,)}, "invalid"),
        ({"address": "holding:1", "type": "string", "length": 4, "invalid": (0.0,)}, "invalid"),
    ],
    ids=str,
)
def test_a_bad_point_is_one_problem_with_a_remedy(point: Any, field: str | None) -> None:
    found = problems("holding:0", point)
    assert [(problem.field, problem.point) for problem in found] == ([(field, 1)] if field else [])
    assert all(problem.message and problem.remedy for problem in found)


def test_a_bad_array_is_said_once() -> None:
    array = [{"address": "holding:65500", "type": "float32", "element": n} for n in range(100)]
    assert [(problem.field, problem.point) for problem in problems(*array)] == [("address", 18)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"host": ""}, "host"),
        ({"host": "tcp://plc"}, "host"),
        ({"host": "plc:502"}, "host"),
        ({"port": "502"}, "port"),
        ({"port": 70000}, "port"),
        ({"unit": 256}, "unit"),
        ({"unit": 0}, None),
        ({"host": "fe80::1"}, None),
        ({"transport": "rtu-over-tcp", "unit": 0}, "unit"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "2m"}, "timeout"),
        ({"request_gap": "-5ms"}, "request_gap"),
        ({"unit_gap": float("nan")}, "unit_gap"),
        ({"max_registers": 0}, "max_registers"),
        ({"max_registers": 126}, "max_registers"),
        ({"max_bits": 2001}, "max_bits"),
        ({"max_gap": -1}, "max_gap"),
        ({"ca_file": "/ca.pem"}, "ca_file"),
        ({"transport": "tls", "cert_file": "/c.pem"}, "cert_file"),
        ({"transport": "rtu", "host": ""}, "port"),
        ({"transport": "rtu", "host": "plc", "port": "/dev/ttyUSB0"}, "host"),
        ({"transport": "rtu", "host": "", "port": "/dev/ttyUSB0"}, None),
        ({"transport": "rtu", "host": "", "port": "/dev/ttyUSB0", "baudrate": 7}, "baudrate"),
        ({"transport": "rtu", "host": "", "port": "/dev/ttyUSB0", "bytesize": 7}, "bytesize"),
        ({"transport": "ascii", "host": "", "port": "/dev/ttyUSB0", "bytesize": 7, "parity": "E"}, None),
    ],
    ids=str,
)
def test_a_bad_option_is_one_problem_with_a_remedy(options: dict[str, Any], field: str | None) -> None:
    found = problems(**options)
    assert [problem.field for problem in found] == ([f"connection.{field}"] if field else [])
    assert all(problem.message and problem.remedy for problem in found)


def test_all_problems_are_told_at_once() -> None:
    assert len(problems("x", "coil:1.1", host="", unit=999, timeout="x")) == 5


@pytest.mark.parametrize(
    ("text", "value"), [("1s", 1.0), ("500ms", 0.5), (0.25, 0.25), (2, 2.0), ("1.5 s", 1.5), ("1m", 60.0)]
)
def test_durations(text: float | str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"host": "plc", "prot": 502}, Options)


def test_options_are_converted_from_what_a_file_holds() -> None:
    table = {"transport": "rtu", "port": "/dev/ttyUSB0", "baudrate": 19200, "parity": "E", "timeout": "300ms"}
    options = msgspec.convert(table, Options)
    assert options.timeout_s == pytest.approx(0.3)
    assert options.link().char_s == pytest.approx(11 / 19200)


@pytest.mark.parametrize(("baudrate", "silence_s"), [(9600, 0.003646), (19200, 0.001823), (115_200, 0.00175)])
def test_L22_silence_between_frames(baudrate: int, silence_s: float) -> None:
    assert Link("rtu", "/dev/ttyUSB0", 0, baudrate).silence_s == pytest.approx(silence_s, rel=1e-3)


def test_L18_checking_a_configuration_does_not_import_pymodbus() -> None:
    code = (
        "import sys; from drivers.modbus import DRIVER, Options; from drivers.contract import Point; "
        "assert not DRIVER.check(Options(host='plc'), [Point(index=0, name='p', address='40001')]); "
        "print('pymodbus' in sys.modules, 'serial' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
