"""What the Modbus driver can ask a device for, read from its source and tried."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pymodbus
import pytest

import agent
import drivers.modbus
from drivers.modbus import client
from drivers.modbus.identify import Identification

FOLDER = Path(drivers.modbus.__file__).parent
SOURCES = {path.name: ast.parse(path.read_text("utf-8")) for path in FOLDER.glob("*.py")}


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_L18_pymodbus_is_imported_in_one_place() -> None:
    users = {
        f"{root.name}/{path.relative_to(root)}"
        for root in (FOLDER.parent, Path(agent.__file__).parent)
        for path in root.rglob("*.py")
        if any(each.startswith("pymodbus") for each in imports(ast.parse(path.read_text("utf-8"))))
    }
    assert users == {"drivers/modbus/client.py"}


def test_L18_the_minor_release_of_pymodbus_is_pinned() -> None:
    """The imported one is within the bounds that the package declares, and those allow no other minor."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    [bounds] = [each for each in project["dependencies"] if each.startswith("pymodbus")]
    low, high = re.fullmatch(r"pymodbus>=3\.(\d+),<3\.(\d+)", bounds).groups()  # type: ignore[union-attr]
    assert int(high) == int(low) + 1
    assert pymodbus.__version__.split(".")[:2] == ["3", low]


def test_only_requests_that_read_are_imported() -> None:
    requests = {each.rpartition(".")[2] for each in imports(SOURCES["client.py"]) if each.endswith("Request")}
    assert requests == {
        "ReadCoilsRequest",
        "ReadDiscreteInputsRequest",
        "ReadHoldingRegistersRequest",
        "ReadInputRegistersRequest",
        "ReadDeviceInformationRequest",
    }


def test_pymodbus_is_never_asked_to_write() -> None:
    for name, tree in SOURCES.items():
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not {each for each in called if each.startswith(("write_", "mask_write", "readwrite", "diag_"))}, name


def test_function_codes_are_one_to_four_and_device_identification() -> None:
    assert {function: client.READS[function].function_code for function in client.READS} == {1: 1, 2: 2, 3: 3, 4: 4}
    assert client.identify_request(1, 1, 0).encode() == b"\x0e\x01\x00"
    assert client.identify_request(1, 1, 0).function_code == 0x2B


@pytest.mark.parametrize("function", [5, 6, 8, 15, 16, 17, 22, 23])
def test_no_other_function_can_be_asked_for(function: int) -> None:
    with pytest.raises(KeyError):
        client.read_request(1, function, 0, 1)


def test_identification_in_several_answers() -> None:
    found = Identification()
    found.add(b"\x2b\x0e\x01\x01\xff\x01\x01\x00\x04Acme")
    assert found.next_object == 1
    found.add(b"\x2b\x0e\x01\x01\x00\x00\x02\x01\x02X1\x80\x01z")
    assert found.next_object is None
    assert found.objects == {"vendor": "Acme", "product_code": "X1", "object_128": "z"}


@pytest.mark.parametrize(
    "pdu", [b"\x2b\x0e", b"\x2b\x0d\x01\x01\x00\x00\x00", b"\x2b\x0e\x01\x01\x00\x00\x01\x00\x09Acme"]
)
def test_a_spoilt_identification_is_found(pdu: bytes) -> None:
    with pytest.raises(ValueError, match="identification"):
        Identification().add(pdu)


def test_an_identification_that_goes_round_in_circles_ends() -> None:
    found = Identification()
    for _ in range(3):
        if found.next_object is None:
            break
        found.add(b"\x2b\x0e\x01\x01\xff\x01\x01\x01\x01x")
    assert found.next_object is None
