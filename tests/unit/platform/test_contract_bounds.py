"""Whatever a platform may answer is bounded: by the published contract, and by the types that the agent reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agent.core import bounds
from agent.uplink.messages import MAX_BYTES, Enrolled, HeadAnswer, Receipt
from tests.support.platform_contract import CONTRACT, errors, operations, resolve

HASH = "ab" * 32
BASE: dict[type[msgspec.Struct], dict[str, Any]] = {
    Receipt: {"seq": 1, "hash": HASH},
    HeadAnswer: {"seq": 1, "hash": HASH, "signature": "a..b", "contract": "1.1"},
    Enrolled: {"gateway_id": "gw-1", "admins": {"keys": [], "threshold": 1}, "enterprise": "", "contract": "1.1"},
}
NAMES = {Receipt: "Receipt", HeadAnswer: "Head", Enrolled: "Enrolled"}
EDGES: dict[type[msgspec.Struct], dict[str, list[Any]]] = {
    Receipt: {
        "seq": [0, 1, bounds.MAX_SEQ, bounds.MAX_SEQ + 1, 2**63 - 1, -1, "1", None, 1.5],
        "hash": [HASH, HASH.upper(), HASH + "a", HASH + "\n", HASH[1:], "", None, 7],
    },
    HeadAnswer: {
        "seq": [1, bounds.MAX_SEQ, bounds.MAX_SEQ + 1, 2**63 - 2, -1, "1", 1.5],
        "hash": [HASH, HASH.upper(), HASH + "a", HASH + "\n", 7],
        "signature": ["x" * bounds.MAX_SIGNATURE, "x" * (bounds.MAX_SIGNATURE + 1), None, []],
        "contract": ["1" * 16, "1" * 17, None, 1.1],
    },
    Enrolled: {
        "gateway_id": ["a" * 64, "a" * 65, "", "../x", None, 7],
        "admins": [{"keys": [{"kty": "OKP"}] * 64}, {"keys": [{"kty": "OKP"}] * 65}, {"keys": []}, {}, [], None,
                   {"keys": [], "threshold": 0}, {"keys": [], "threshold": 65}, {"keys": [], "threshold": 2**63}],
        "enterprise": ["x" * 255, "x" * 256, None],
        "contract": ["1" * 16, "1" * 17],
    },
}  # fmt: skip


@pytest.mark.parametrize("message", NAMES)
def test_a1_the_types_take_and_refuse_what_the_contract_does(message: type[msgspec.Struct]) -> None:
    schema = {"$ref": f"#/components/schemas/{NAMES[message]}"}
    for member, values in EDGES[message].items():
        for value in values:
            body = {**BASE[message], member: value}
            allowed = not errors(schema, body)
            try:
                msgspec.json.decode(json.dumps(body), type=message)
                taken = True
            except msgspec.ValidationError:
                taken = False
            assert taken == allowed, (member, value)


def _answers() -> Iterator[tuple[str, dict[str, Any]]]:
    for method, path, operation in operations():
        for status, response in operation["responses"].items():
            yield f"{method} {path} {status}", resolve(response)


def _unbounded(node: dict[str, Any], where: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    reference = node.get("$ref", "")
    if reference in seen:
        return
    if reference:
        yield from _unbounded(resolve(node), f"{where} → {reference}", seen | {reference})
        return
    kinds = node.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "string" in kinds and "maxLength" not in node:
        yield f"{where}: a string without maxLength"
    if {"integer", "number"} & {*kinds} and not ({"minimum", "maximum"} <= node.keys()):
        yield f"{where}: a number without a largest or a smallest value"
    if "array" in kinds and "maxItems" not in node:
        yield f"{where}: a list without maxItems"
    for name, child in node.get("properties", {}).items():
        yield from _unbounded(child, f"{where}.{name}", seen) if isinstance(child, dict) else ()
    for child in [*node.get("oneOf", []), *node.get("allOf", []), *node.get("anyOf", [])]:
        yield from _unbounded(child, where, seen)
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from _unbounded(node[name], f"{where}[]", seen)


def test_a1_everything_in_every_answer_has_a_largest_size() -> None:
    found = []
    for where, response in _answers():
        for name, header in response.get("headers", {}).items():
            found += _unbounded(header["schema"], f"{where} {name}")
        for content in response.get("content", {}).values():
            if not 0 < content.get("x-max-bytes", 0) <= bounds.MAX_BODY:
                found.append(f"{where}: a body without x-max-bytes")
            found += _unbounded(content["schema"], where)
    assert found == []


def test_a1_the_contract_and_the_module_of_bounds_name_the_same_figures() -> None:
    text = json.dumps(CONTRACT)
    assert {int(each) for each in re.findall(r'"x-max-bytes": (\d+)', text)} == {*MAX_BYTES.values()}
    schemas = CONTRACT["components"]["schemas"]
    assert CONTRACT["components"]["parameters"]["Seq"]["schema"]["maximum"] == bounds.MAX_SEQ
    assert schemas["ConfigurationBundle"]["properties"]["revision"]["maximum"] == bounds.MAX_SEQ
    assert schemas["Problem"]["properties"]["detail"]["maxLength"] == bounds.MAX_DETAIL
    assert schemas["Prescriptions"]["properties"]["prescriptions"]["maxItems"] == bounds.MAX_PRESCRIPTIONS
    assert schemas["SignedBundle"]["properties"]["signatures"]["maxItems"] == bounds.MAX_SIGNATURES
    assert schemas["AdminKeys"]["properties"]["keys"]["maxItems"] == bounds.MAX_ADMINS
    busy = CONTRACT["components"]["responses"]["Busy"]["headers"]["Retry-After"]["schema"]
    assert busy["maximum"] == bounds.MAX_RETRY_AFTER_S
    assert f"{bounds.MAX_JUMP:,}" in schemas["Head"]["description"]
