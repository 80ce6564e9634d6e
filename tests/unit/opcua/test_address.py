"""Addresses: what is understood, and what is said of what is not."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Point, Problem
from drivers.opcua.address import AddressError, BrowsePathAddress, NodeAddress, PathElement, check_points, parse

GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"


def problems(*points: str | dict[str, Any]) -> list[Problem]:
    keys = [{"address": point} if isinstance(point, str) else point for point in points]
    return list(check_points([Point(index=n, name=f"p{n}", **key) for n, key in enumerate(keys)]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i=2258", NodeAddress(0, 2258)),
        ("ns=0;i=4294967295", NodeAddress(0, 2**32 - 1)),
        ("ns=2;s=Spindle.Load", NodeAddress(2, "Spindle.Load")),
        (" ns = 2; s=Spindle.Load ", NodeAddress(2, "Spindle.Load")),
        ('ns=3;s="DB 1"."arr"[3];x=1', NodeAddress(3, '"DB 1"."arr"[3];x=1')),
        ("ns=2;s=ns=3;i=5", NodeAddress(2, "ns=3;i=5")),
        ("ns=2;s=/Objects/主轴", NodeAddress(2, "/Objects/主轴")),
        (f"ns=65535;g={GUID.upper()}", NodeAddress(65535, UUID(GUID))),
        ("ns=1;b=M/RbKBsRVkePCePcx24oRA==", NodeAddress(1, bytes.fromhex("33f45b281b1156478f09e3dcc76e2844"))),
        ("nsu=urn:maker:cnc;s=Load", NodeAddress("urn:maker:cnc", "Load")),
        ("nsu=http://maker.example/a=b;i=7", NodeAddress("http://maker.example/a=b", 7)),
        ("nsu=urn:a%3Bb%25c%20d;i=7", NodeAddress("urn:a;b%c%20d", 7)),
        ("index=3;ns=2;s=Temps", NodeAddress(2, "Temps", 3)),
        ("ns=2;index=3;s=Temps", NodeAddress(2, "Temps", 3)),
    ],
)
def test_node_ids(text: str, expected: NodeAddress) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("/Objects/2:CNC/2:Load", [(0, "Objects"), (2, "CNC"), (2, "Load")]),
        ("/0:Objects/2:Spindle.Load", [(0, "Objects"), (2, "Spindle.Load")]),
        ("/Root/Objects/2:CNC", [(0, "Objects"), (2, "CNC")]),
        ("/Objects/nsu=http://a.example/x;CNC/3:B", [(0, "Objects"), ("http://a.example/x", "CNC"), (3, "B")]),
        ("/Objects/2:A&/B&:C&&D&.E&<F", [(0, "Objects"), (2, "A/B:C&D.E<F")]),
        ("/Objects/2:Axis[1] 主轴", [(0, "Objects"), (2, "Axis[1] 主轴")]),
        ("/Objects/2:7", [(0, "Objects"), (2, "7")]),
    ],
)
def test_browse_paths(text: str, elements: list[tuple[int | str, str]]) -> None:
    assert parse(text) == BrowsePathAddress(tuple(PathElement(*element) for element in elements))
    assert parse(f"index=2; {text}") == BrowsePathAddress(tuple(PathElement(*element) for element in elements), 2)


@given(st.lists(st.tuples(st.integers(0, 65535), st.text(min_size=1)), min_size=1))
def test_any_browse_name_can_be_written(elements: list[tuple[int, str]]) -> None:
    escaped = ["".join(f"&{char}" if char in "/.<>:#!&" else char for char in name) for _, name in elements]
    text = "".join(f"/{index}:{name}" for (index, _), name in zip(elements, escaped, strict=True))
    if text == text.strip() and elements[0] != (0, "Root"):
        assert parse(text) == BrowsePathAddress(tuple(PathElement(*element) for element in elements))


@given(st.text())
def test_any_text_is_an_address_or_an_error_with_a_remedy(text: str) -> None:
    try:
        parse(text)
    except AddressError as error:
        assert str(error) and error.remedy and error.field == "address"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "Spindle.Load",
        "ns=2",
        "ns=2;",
        "ns=2;Load",
        "ns=2;s=",
        "ns=-1;i=5",
        "ns=65536;i=5",
        "ns=two;i=5",
        "ns=2;i=-5",
        "ns=2;i=4294967296",
        "ns=2;i=0x10",
        "ns=2;i=",
        "ns=2;g=09087e75",
        "ns=2;g={09087e75-8e5e-499b-954f-f2a9603db28a}",
        "ns=2;b=M/RbKBsRVkePCePcx24oRA=",
        "ns=2;b=***",
        "ns=2;nsu=urn:a;i=5",
        "ns=2;ns=3;i=5",
        "nsu=;i=5",
        "svr=1;ns=2;i=5",
        "index=x;ns=2;i=5",
        "index=-1;ns=2;i=5",
        "/",
        "/Root",
        "//2:CNC",
        "/Objects/",
        "/Objects/2:",
        "/Objects/70000:CNC",
        "/Objects/2:CNC.2:Load",
        "/Objects/<HasComponent>2:Load",
        "/Objects/2:A&B",
        "/Objects/2:A&",
        "/Objects/nsu=;CNC",
        "ns=2;/Objects/2:CNC",
        "Objects/2:CNC",
        "0:Objects/2:CNC",
        "holding:100",
    ],
)
def test_a_bad_address_is_one_problem_with_a_remedy(address: str) -> None:
    found = problems("i=2258", address)
    assert [(problem.field, problem.point) for problem in found] == [("address", 1)]
    assert found[0].message and found[0].remedy and "\n" not in found[0].message


def test_a_path_without_its_first_slash_is_shown_with_it() -> None:
    assert problems("Objects/2:CNC/2:Load")[0].remedy.endswith('write "/Objects/2:CNC/2:Load"')


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"type": "float32"}, None),
        ({"type": "datetime"}, None),
        ({"type": "string"}, None),
        ({"type": "bcd16"}, "type"),
        ({"type": "real"}, "type"),
        ({"order": "CDAB"}, "order"),
        ({"type": "string", "length": 16}, "length"),
        ({"type": "int16", "invalid": (32768.0, float("nan"))}, None),
        ({"type": "int16", "invalid": (65536.0,)}, "invalid"),
        ({"type": "string", "invalid": (0.0,)}, "invalid"),
        ({"invalid": (65536.0,)}, None),
    ],
    ids=str,
)
def test_a_bad_key_is_one_problem_with_a_remedy(keys: dict[str, Any], field: str | None) -> None:
    found = problems("i=1", {"address": "ns=2;i=5"} | keys)
    assert [(problem.field, problem.point) for problem in found] == ([(field, 1)] if field else [])
    assert all(problem.message and problem.remedy for problem in found)


def test_a_bad_array_is_said_once() -> None:
    array = [{"address": "ns=2;x", "type": "bcd16", "element": n} for n in range(100)]
    assert [(problem.field, problem.point) for problem in problems(*array)] == [("address", 0), ("type", 0)]


def test_checking_addresses_does_not_import_asyncua() -> None:
    code = (
        "import sys; from drivers.opcua.address import check_points; from drivers.contract import Point; "
        "assert not list(check_points([Point(index=0, name='p', address='ns=2;s=a')])); "
        "print('asyncua' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False"]
