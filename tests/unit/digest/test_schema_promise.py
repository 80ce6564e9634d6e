"""Readers can read what they were promised: the schema against its frozen copy, and the examples against both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.digest.report import SCHEMA, decode, encode, json_schema
from agent.uplink.contract import examples
from tests.support.contract_examples import COMMAND, EXAMPLES, FROZEN, MAKERS
from tests.support.schema_compatibility import Break, breaks

PROMISED: dict[str, Any] = json.loads(FROZEN.read_text(encoding="utf-8"))
FILES = sorted(EXAMPLES.glob("*.json"))


def test_no_promise_to_readers_is_taken_back() -> None:
    found = "\n".join(map(str, breaks(PROMISED, json_schema())))
    assert not found, f"this breaks readers of {SCHEMA}; keep it as it was, or make another version:\n{found}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_keeps_the_schema_and_the_promise(file: Path) -> None:
    example = json.loads(file.read_bytes())
    for schema in (PROMISED, json_schema()):
        Draft202012Validator(schema).validate(example)
    assert json.loads(encode(decode(file.read_bytes()))) == example


def test_every_example_is_made_and_still_keeps_the_promise() -> None:
    assert [file.stem for file in FILES] == sorted(MAKERS), f"write them: {COMMAND}"
    for name, maker in MAKERS.items():
        problems = [*Draft202012Validator(PROMISED).iter_errors(json.loads(encode(maker())))]
        assert not problems, name


def test_the_contract_names_every_example() -> None:
    assert sorted(examples()) == [f"examples/{file.name}" for file in FILES]


def test_every_promised_member_is_shown_in_an_example() -> None:
    shown = {member for file in FILES for member in _members(PROMISED, json.loads(file.read_bytes()))}
    types: Mapping[str, Any] = PROMISED["$defs"]
    assert {(name, member) for name, each in types.items() for member in each.get("properties", ())} <= shown


def _members(schema: Mapping[str, Any], value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(type, member) of all that is in a document."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _members(PROMISED["$defs"][name], value, name)
    for choice in schema.get("anyOf", ()):
        if Draft202012Validator({**choice, "$defs": PROMISED["$defs"]}).is_valid(value):
            yield from _members(choice, value, name)
    for each in value if isinstance(value, list) else ():
        yield from _members(schema.get("items", {}), each)
    for key, each in value.items() if isinstance(value, dict) else ():
        own = schema.get("properties", {}).get(key)
        if own is not None:
            yield name, key
        others = schema.get("additionalProperties")
        yield from _members(own or (others if isinstance(others, dict) else {}), each)


OBJECT = {
    "type": "object",
    "required": ["name", "count"],
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer", "minimum": 0},
        "share": {"type": "number"},
        "level": {"enum": ["warn", "void"]},
        "hash": {"type": "string", "pattern": "^[0-9a-f]{4}$"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
        "sums": {"type": "object", "additionalProperties": {"type": "integer"}},
        "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
}
PART = {"type": "object", "required": ["unit"], "properties": {"unit": {"type": "string"}}}
GOOD = {"name": "p", "count": 1, "level": "warn", "hash": "00ff", "parts": [{"unit": "kWh"}], "sums": {"a": 1}}


def changed(
    part: dict[str, Any] | None = None, *, required: tuple[str, ...] = ("name", "count"), **members: Any
) -> Any:
    """The schema with other members; None removes one."""
    properties = {**OBJECT["properties"], **members}  # type: ignore[dict-item]
    kept = {name: each for name, each in properties.items() if each is not None}
    return {"$ref": "#/$defs/Whole", "$defs": {"Whole": {**OBJECT, "required": list(required), "properties": kept},
                                                "Part": part or PART}}  # fmt: skip


OLD = changed()


@pytest.mark.parametrize(
    ("new", "path", "witness"),
    [
        (changed(required=("name",)), "/count", {"name": "p"}),
        (changed(count=None, required=("name",)), "/count", {"name": "p"}),
        (changed(share=None), "/share", {**GOOD, "share": "half"}),
        (changed(name={"type": ["string", "integer"]}), "/name", {**GOOD, "name": 1}),
        (changed(count={"type": "number", "minimum": 0}), "/count", {**GOOD, "count": 1.5}),
        (changed(count={"type": "integer"}), "/count", {**GOOD, "count": -1}),
        (changed(count={"type": "integer", "minimum": -5}), "/count", {**GOOD, "count": -1}),
        (changed(level={"enum": ["warn", "void", "data"]}), "/level", {**GOOD, "level": "data"}),
        (changed(level={"type": "string"}), "/level", {**GOOD, "level": "x"}),
        (changed(hash={"type": "string"}), "/hash", {**GOOD, "hash": "zz"}),
        (changed(hash={"type": "string", "pattern": "^[0-9a-f]{4,8}$"}), "/hash", {**GOOD, "hash": "00ff0"}),
        (changed(share={"anyOf": [{"type": "number"}, {"type": "null"}]}), "/share", {**GOOD, "share": None}),
        (changed(share={}), "/share", {**GOOD, "share": []}),
        (changed({**PART, "required": []}), "/parts[]/unit", {**GOOD, "parts": [{}]}),
        (changed(parts={"type": "array"}), "/parts[]", {**GOOD, "parts": [1]}),
        (changed(parts={"$ref": "#/$defs/Part"}), "/parts", {**GOOD, "parts": {"unit": "kWh"}}),
        (changed(sums={"type": "object", "additionalProperties": {"type": "number"}}),
         "/sums/*", {**GOOD, "sums": {"a": 0.5}}),
        (changed(sums={"type": "object"}), "/sums/*", {**GOOD, "sums": {"a": "x"}}),
        (changed(sums={**OBJECT["properties"]["sums"], "properties": {"b": {"type": "string"}}}),  # type: ignore[index]
         "/sums/b", {**GOOD, "sums": {"b": "x"}}),
    ],
)  # fmt: skip
def test_what_breaks_a_reader_is_caught(new: dict[str, Any], path: str, witness: dict[str, Any]) -> None:
    assert Draft202012Validator(new).is_valid(witness) and not Draft202012Validator(OLD).is_valid(witness)
    assert {each.path for each in breaks(OLD, new)} == {path}


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        changed(more={"type": "array", "items": {"type": "string"}}),
        changed(required=("name", "count", "share")),
        changed(name={"type": "string", "pattern": "^p"}, count={"type": "integer", "minimum": 1}),
        changed(share={"type": "integer"}, level={"enum": ["warn"]}, hash={"enum": ["00ff", "abcd"]}),
        changed(maybe={"type": "number"}, name={"type": "string", "description": "of the press"}),
        changed({**PART, "properties": {**PART["properties"], "value": {"type": "number"}}}),  # type: ignore[dict-item]
        changed(sums={**OBJECT["properties"]["sums"], "properties": {"b": {"type": "integer"}}}),  # type: ignore[index]
    ],
)
def test_what_a_reader_can_bear_is_no_break(new: dict[str, Any]) -> None:
    assert breaks(OLD, new) == []


def test_cases_are_promises_too() -> None:
    cases = {"if": {"required": ["share"]}, "then": {"required": ["level"]}, "else": {"required": ["hash"]}}
    old = {**OBJECT, "properties": {**OBJECT["properties"], "parts": {"type": "array"}}, **cases}  # type: ignore[dict-item]
    assert breaks(old, old) == []
    assert breaks(old, {**old, "else": {}}) == [Break("/hash", "is not promised any more")]
    assert [each.what for each in breaks(old, {**old, "if": {}})] == ["promises something in another case than before"]


def test_a_type_within_itself_is_compared_once() -> None:
    def tree(value: dict[str, Any]) -> dict[str, Any]:
        node = {"type": "object", "properties": {"below": {"$ref": "#/$defs/Node"}, "value": value}}
        return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}

    assert breaks(tree({"type": "integer"}), tree({"type": "integer"})) == []
    assert breaks(tree({"type": "integer"}), tree({"type": "string"})) == [Break("/value", "may be string now")]


def test_a_keyword_that_is_not_understood_is_no_yes() -> None:
    with pytest.raises(ValueError, match="oneOf"):
        breaks({"oneOf": []}, {})
