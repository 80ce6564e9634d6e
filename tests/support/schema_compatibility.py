"""Whether readers of an old JSON Schema can read whatever a new one allows. Pure.

A reader relies on what its schema promised: that a member is there, of which type it is, which words it can hold.
So each document that keeps the new schema must keep the old one; members that the old one does not know are
ignored. Adding an optional member or promising more is no break; taking a promise back is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_WORDS = frozenset(("title", "description", "default", "examples", "deprecated", "$schema", "$id", "$defs", "$comment"))
_LOWER, _UPPER = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")
_KNOWN = _WORDS | {*_LOWER, *_UPPER} | frozenset(
    ("type", "enum", "const", "pattern", "anyOf", "$ref", "properties", "required", "additionalProperties", "items",
     "if", "then", "else")
)  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Break:
    """``path``: of the member, with ``[]`` for an item of a list and ``*`` for any name."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.what}"


def breaks(old: Schema, new: Schema) -> list[Break]:
    """What in ``new`` a reader of ``old`` does not expect; none: it can read everything.

    Raises ValueError for a keyword that is not understood here: better no answer than a wrong one.
    """
    return sorted({*_Comparison(old, new).of(old, new, "")})


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new
        self._open: set[tuple[str, str]] = set()

    def of(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        for schema in (old, new):
            if unknown := schema.keys() - _KNOWN:
                raise ValueError(f"{path}: the keyword {min(unknown)} is not understood here")
        if "$ref" in old and "$ref" in new:
            pair = (old["$ref"], new["$ref"])
            if pair in self._open:  # a type within itself
                return
            self._open.add(pair)
            yield from self._resolved(old, new, path)
            self._open.discard(pair)
        else:
            yield from self._resolved(old, new, path)

    def _resolved(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        expected, found = list(_choices(old, self._old)), list(_choices(new, self._new))
        for choice in found:
            problems = [[*self._one(each, choice, path)] for each in expected]
            if not all(problems):
                continue
            # Of several that do not fit, the one that fits best says what is wrong.
            same = [each for each, one in zip(problems, expected, strict=True) if _types(one) & _types(choice)]
            if same:
                yield from min(same, key=len)
            else:
                yield Break(path, f"may be {' or '.join(sorted(_types(choice)))} now")

    def _one(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        if not _types(new) <= _types(old):
            yield Break(path, f"may be {' or '.join(sorted(_types(new) - _types(old)))} now")
            return
        yield from _words(old, new, path)
        yield from _limits(old, new, path)
        yield from self._members(old, new, path)
        if "items" in old:
            yield from self.of(old["items"], new.get("items", {}), f"{path}[]")
        yield from self._cases(old, new, path)

    def _members(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        before, after = old.get("properties", {}), new.get("properties", {})
        always = frozenset(new.get("required", ()))
        for name in old.get("required", ()):
            if name in after and name not in always:
                yield Break(f"{path}/{name}", "may be left out now")
            elif name not in after and name not in before and name not in always:
                yield Break(f"{path}/{name}", "is not promised any more")
        for name, schema in before.items():
            if name in after:
                yield from self.of(schema, after[name], f"{path}/{name}")
            else:
                yield Break(f"{path}/{name}", "is gone")
        rest = old.get("additionalProperties", True)
        if isinstance(rest, Mapping):
            for name in after.keys() - before.keys():
                yield from self.of(rest, after[name], f"{path}/{name}")
            others = new.get("additionalProperties", {})
            yield from self.of(rest, others if isinstance(others, Mapping) else {}, f"{path}/*")
        elif rest is False:
            raise ValueError(f"{path}: a schema that forbids further members can never grow")

    def _cases(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        if "if" not in old:
            return
        if old["if"] != new.get("if"):
            yield Break(path, "promises something in another case than before")
            return
        for case in ("then", "else"):
            if case in old:
                yield from self.of(old[case], new.get(case, {}), path)


def _choices(schema: Schema, root: Schema) -> Iterator[Schema]:
    """Without references, and each of several alternatives by itself."""
    if "$ref" in schema:
        yield from _choices(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _choices(each, root)
    else:
        yield schema


_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_ALL = frozenset((*_NAMES.values(), "null"))


def _types(schema: Schema) -> frozenset[str]:
    words = _values(schema)
    if words is not None:
        return frozenset(_NAMES.get(type(each), "null") for each in words)
    stated = schema.get("type", _ALL)
    types = frozenset((stated,) if isinstance(stated, str) else stated)
    return types | {"integer"} if "number" in types else types


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _words(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    expected, found = _values(old), _values(new)
    if expected is not None:
        if found is None:
            yield Break(path, "may be any word now")
        else:
            yield from (Break(path, f"may be {each!r} now") for each in found if each not in expected)
    pattern = old.get("pattern")
    if pattern is None or new.get("pattern") == pattern:
        return
    if found is None or not all(isinstance(each, str) and re.search(pattern, each) for each in found):
        yield Break(path, f"need not match {pattern} any more")


def _limits(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    for names, sign in ((_LOWER, 1), (_UPPER, -1)):
        for name in names:
            if name in old and (name not in new or sign * new[name] < sign * old[name]):
                yield Break(path, f"{name} was {old[name]}, is {new.get(name, 'not limited')} now")
