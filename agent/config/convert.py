"""From plain TOML values to typed ones, noting every fault and not the first only.

The types are those of msgspec structs, but msgspec itself stops at the first error. A converter is
compiled once a type; one that fails notes why and returns :data:`BAD`. Nothing is coerced silently:
``"1"`` is not 1, 1 is not true, and 1 is not a duration.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from agent.config.model import ByteSize, Seconds, Secret
from agent.config.problems import Place, Problems, did_you_mean, nearest, show, table_name
from agent.config.references import FORM, Resolver
from agent.config.units import DURATION_REMEDY, LARGEST, SIZE_REMEDY, parse_seconds, parse_size, show_size


class Bad:
    """What is returned for a value that was refused."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "BAD"


BAD = Bad()


@dataclass(slots=True)
class Context:
    """What a conversion notes problems in and resolves references with."""

    problems: Problems
    resolver: Resolver
    any_string: bool = False
    """Whether any text may be a reference, not only what is typed Secret (a device's connection)."""
    resolved: set[str] = field(default_factory=set)
    """Texts that came from references: not to be shown."""


Converter = Callable[[Any, Place, Context], Any]
S = TypeVar("S", bound=msgspec.Struct)

_INTEGERS = (-(2**63), 2**64 - 1)


def convert(value: Any, type_: Any, place: Place, context: Context) -> Any:
    """``value`` as ``type_``, or :data:`BAD` when nothing of that type can be made of it.

    A struct with a bad field that has a default is still made, with the default, so that what
    depends on the rest can be checked too; the problem is noted all the same.
    """
    return converter(type_)(value, place, context)


def convert_fields(value: Any, struct: type[msgspec.Struct], place: Place, context: Context) -> dict[str, Any] | Bad:
    """The fields that ``value`` (a table) gives, converted; bad ones are :data:`BAD`; none is required.

    A misspelt key counts as a bad field, so that it is not reported a second time as missing.
    """
    if not isinstance(value, Mapping):
        context.problems.add(place, f"must be a table, not {show(value)}", _table_remedy(value, place))
        return BAD
    known = _fields(struct)
    result: dict[str, Any] = {}
    misspelt: list[str] = []
    for key, raw in value.items():
        found = known.get(key)
        if found is None:
            misspelt.append(key)
        else:
            result[found.name] = found.convert(raw, (place, key), context)
    for key in misspelt:
        meant = nearest(key, known)
        context.problems.add((place, key), "unknown key", did_you_mean(key, known))
        if meant is not None:
            result.setdefault(known[meant].name, BAD)
    return result


def missing(struct: type[msgspec.Struct], given: Mapping[str, Any], place: Place, problems: Problems) -> bool:
    """Note required fields that are not given; returns whether any is missing or bad."""
    lacking = False
    for key, each in _fields(struct).items():
        if each.required and each.name not in given:
            problems.add((place, key), "missing key", each.example)
            lacking = True
        elif each.required and given[each.name] is BAD:
            lacking = True
    return lacking


def build(struct: type[S], given: Mapping[str, Any], place: Place, context: Context) -> S | Bad:
    """The struct, with defaults for what is bad or not given; BAD where a required field is lacking."""
    if missing(struct, given, place, context.problems):
        return BAD
    good = {name: value for name, value in given.items() if value is not BAD}
    try:
        return struct(**good)
    except (ValueError, TypeError) as error:  # from a __post_init__
        context.problems.add(place, str(error) or type(error).__name__)
        return BAD


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    convert: Converter
    required: bool
    example: str


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, _Field]:
    result = {}
    for info in msgspec.structs.fields(struct):
        if isinstance(info.type, type) and issubclass(info.type, msgspec.Struct):
            example = f"add a [{info.encode_name}] table"
        else:
            example = f"add {info.encode_name} = " + ("…" if info.type in (int, float) else '"…"')
        result[info.encode_name] = _Field(info.name, converter(info.type), info.required, example)
    return result


@cache
def converter(type_: Any) -> Converter:
    """The converter for a type; compiled when first asked for."""
    if type_ in _LEAVES:
        return _LEAVES[type_]
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _constrained(arguments[0], arguments[1:])
    if origin is Literal:
        return _one_of({value: value for value in arguments})
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin in (tuple, list, set, frozenset):
        return _sequence(origin, arguments)
    if origin is dict or type_ is dict:
        return _mapping(arguments)
    if isinstance(type_, type):
        if issubclass(type_, msgspec.Struct):
            return _struct(type_)
        if issubclass(type_, Enum):
            return _one_of({member.value: member for member in type_})
        if issubclass(type_, str):
            return _secret_as(type_)
    return _by_msgspec(type_)


def _boolean(value: Any, place: Place, context: Context) -> Any:
    if value is True or value is False:
        return value
    context.problems.add(place, f"must be true or false, not {show(value)}", "write true or false without quotes")
    return BAD


def _integer(value: Any, place: Place, context: Context) -> Any:
    if type(value) is int:
        if _INTEGERS[0] <= value <= _INTEGERS[1]:
            return value
        context.problems.add(place, "is too large a number", "write one of at most 64 bits")
        return BAD
    context.problems.add(place, f"must be a whole number, not {show(value)}", _number_remedy(value, int))
    return BAD


def _real(value: Any, place: Place, context: Context) -> Any:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and _INTEGERS[0] <= value <= _INTEGERS[1]:
        return float(value)
    context.problems.add(place, f"must be a number, not {show(value)}", _number_remedy(value, float))
    return BAD


def _text(value: Any, place: Place, context: Context) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        if context.any_string:
            return _resolved(value, place, context)
        context.problems.add(place, "must be text, not a table", "only secrets can come from env or file")
    elif isinstance(value, bool | int | float):
        short = f": {show(show(value))}" if not isinstance(value, int) or abs(value) < LARGEST else ""
        context.problems.add(place, f"must be text, not {show(value)}", f"put it in quotes{short}")
    else:
        context.problems.add(place, f"must be text, not {show(value)}", "put it in quotes")
    return BAD


def _resolved(value: Mapping[str, Any], place: Place, context: Context) -> Any:
    text = context.resolver.resolve(value, place, context.problems)
    if text is None:
        return BAD
    context.resolved.add(text)
    return text


def _secret_as(type_: type[str]) -> Converter:
    def secret(value: Any, place: Place, context: Context) -> Any:
        if isinstance(value, str):
            return type_(value)
        if isinstance(value, Mapping):
            text = _resolved(value, place, context)
            return BAD if text is BAD else type_(text)
        context.problems.add(place, "must be text", f"put it in quotes, or {FORM}")
        return BAD

    return secret


def _seconds(value: Any, place: Place, context: Context) -> Any:
    seconds = parse_seconds(value) if isinstance(value, str) else None
    if seconds is not None:
        return seconds
    remedy = DURATION_REMEDY
    if isinstance(value, int | float) and not isinstance(value, bool):
        remedy = f'say which unit: "{show(value)}s", "{show(value)}ms" or "{show(value)}m"'
    context.problems.add(place, f"is no duration: {show(value)}", remedy)
    return BAD


def _size(value: Any, place: Place, context: Context) -> Any:
    size = parse_size(value) if isinstance(value, str) else None
    if size is not None:
        return size
    remedy = SIZE_REMEDY
    if isinstance(value, int) and not isinstance(value, bool):
        remedy = f'say which unit: "{show_size(value)}" if bytes are meant' if 0 < value < LARGEST else SIZE_REMEDY
    context.problems.add(place, f"is no size: {show(value)}", remedy)
    return BAD


def _anything(value: Any, _place: Place, _context: Context) -> Any:
    return value


def _nothing(value: Any, place: Place, context: Context) -> Any:
    if value is None:
        return None
    context.problems.add(place, f"must be left out, not {show(value)}")
    return BAD


_LEAVES: dict[Any, Converter] = {
    bool: _boolean,
    int: _integer,
    float: _real,
    str: _text,
    Seconds: _seconds,
    ByteSize: _size,
    Secret: _secret_as(Secret),
    Any: _anything,
    type(None): _nothing,
}


def _struct(struct: type[msgspec.Struct]) -> Converter:
    def table(value: Any, place: Place, context: Context) -> Any:
        given = convert_fields(value, struct, place, context)
        return BAD if isinstance(given, Bad) else build(struct, given, place, context)

    return table


def _one_of(members: dict[Any, Any]) -> Converter:
    texts = [value for value in members if isinstance(value, str) and value]
    choice = ", ".join(show(value) for value in members if value != "")

    def member(value: Any, place: Place, context: Context) -> Any:
        if isinstance(value, Mapping) and context.any_string and texts:
            value = _resolved(value, place, context)
            if value is BAD or value in members:
                return members.get(value, BAD)
            context.problems.add(place, "what it names is not one of the values possible here", f"one of {choice}")
            return BAD
        for known, result in members.items():
            if type(known) is type(value) and known == value:
                return result
        near = nearest(value, texts) if isinstance(value, str) and texts else None
        remedy = f'did you mean "{near}"?' if near else f"one of {choice}"
        context.problems.add(place, f"cannot be {show(value)}", remedy)
        return BAD

    return member


def _sequence(origin: Any, arguments: tuple[Any, ...]) -> Converter:
    kinds = arguments or (Any, ...)
    fixed = origin is tuple and not (len(kinds) == 2 and kinds[1] is ...)
    inner = [converter(kind) for kind in kinds if kind is not ...]
    of_tables = isinstance(kinds[0], type) and issubclass(kinds[0], msgspec.Struct)

    def sequence(value: Any, place: Place, context: Context) -> Any:
        if not isinstance(value, list | tuple):
            remedy = (
                f"write [[{table_name(place)}]] with two brackets"
                if of_tables
                else f"put it in brackets: {_listed(value)}"
            )
            wanted = "a list of tables" if of_tables else "a list"
            context.problems.add(place, f"must be {wanted}, not {show(value)}", remedy)
            return BAD
        if fixed and len(value) != len(inner):
            context.problems.add(place, f"must be a list of {len(inner)}, not of {len(value)}")
            return BAD
        items = [inner[at if fixed else 0](each, (place, at), context) for at, each in enumerate(value)]
        if fixed and BAD in items:
            return BAD
        return origin(each for each in items if each is not BAD)

    return sequence


def _mapping(arguments: tuple[Any, ...]) -> Converter:
    inner = converter(arguments[1]) if arguments else _anything

    def mapping(value: Any, place: Place, context: Context) -> Any:
        if not isinstance(value, Mapping):
            context.problems.add(place, f"must be a table, not {show(value)}", _table_remedy(value, place))
            return BAD
        items = {key: inner(each, (place, key), context) for key, each in value.items()}
        return {key: each for key, each in items.items() if each is not BAD}

    return mapping


def _union(arguments: tuple[Any, ...]) -> Converter:
    members = [each for each in arguments if each is not type(None)]
    converters = [converter(each) for each in members]
    optional = len(members) < len(arguments)
    if len(members) == 1:
        only = converters[0]
        return lambda value, place, context: None if value is None else only(value, place, context)
    plain_float = float in members and int not in members

    def union(value: Any, place: Place, context: Context) -> Any:
        if value is None and optional:
            return None
        if plain_float and type(value) in (int, float):
            # Kept as written: 0xFFFFFFFFFFFFFFFF is not the same number as a float, and nan may be meant.
            return _integer(value, place, context) if type(value) is int else value
        shaped = next((at for at, each in enumerate(members) if _suits(value, each, context)), None)
        if shaped is not None:
            return converters[shaped](value, place, context)
        wanted = " or ".join(dict.fromkeys(_describe(each) for each in members))
        context.problems.add(place, f"must be {wanted}, not {show(value)}")
        return BAD

    return union


def _suits(value: Any, type_: Any, context: Context) -> bool:
    """Whether ``value`` is shaped like ``type_``, so that its converter's complaint is the right one."""
    scratch = Context(Problems(), context.resolver, context.any_string, context.resolved)
    if converter(type_)(value, "", scratch) is not BAD and not len(scratch.problems):
        return True
    origin = get_origin(type_) or type_
    if isinstance(value, Mapping):
        is_text = isinstance(origin, type) and issubclass(origin, str)
        is_table = isinstance(origin, type) and issubclass(origin, msgspec.Struct | dict)
        return is_table or (is_text and (context.any_string or origin is not str))
    return isinstance(value, list) and origin in (tuple, list, set, frozenset)


def _constrained(type_: Any, metas: tuple[Any, ...]) -> Converter:
    inner = converter(type_)
    limits = [meta for meta in metas if isinstance(meta, msgspec.Meta)]

    def constrained(value: Any, place: Place, context: Context) -> Any:
        result = inner(value, place, context)
        if result is BAD:
            return BAD
        for meta in limits:
            fault = _breach(result, meta)
            if fault:
                hidden = isinstance(value, Mapping) or (isinstance(result, str) and type(result) is not str)
                shown = "" if hidden else f", not {show(value)}"
                context.problems.add(place, f"must be {fault}{shown}")
                return BAD
        return result

    return constrained


def _breach(value: Any, meta: msgspec.Meta) -> str:
    """What ``value`` should be and is not, or nothing."""
    import re

    checks: list[tuple[Any, Callable[[Any], bool], str]] = [
        (meta.ge, lambda limit: value >= limit, "at least {}"),
        (meta.gt, lambda limit: value > limit, "more than {}"),
        (meta.le, lambda limit: value <= limit, "at most {}"),
        (meta.lt, lambda limit: value < limit, "less than {}"),
        (meta.multiple_of, lambda limit: value % limit == 0, "a multiple of {}"),
        (meta.min_length, lambda limit: len(value) >= limit, "at least {} long"),
        (meta.max_length, lambda limit: len(value) <= limit, "at most {} long"),
        (meta.pattern, lambda limit: re.search(limit, value) is not None, "of the form {}"),
    ]
    for limit, holds, text in checks:
        if limit is not None and not holds(limit):
            return text.format(limit)
    return ""


def _by_msgspec(type_: Any) -> Converter:
    """For types that only a third party's driver uses: its one message instead of ours."""

    def other(value: Any, place: Place, context: Context) -> Any:
        try:
            return msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            context.problems.add(place, str(error))
        except TypeError:
            context.problems.add(place, "is of a type that the driver declares and msgspec does not know")
        return BAD

    return other


def _describe(type_: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Seconds: "a duration"}
    if type_ in names:
        return names[type_]
    if get_origin(type_) is Literal:
        return " or ".join(show(each) for each in get_args(type_))
    if get_origin(type_) is Annotated:
        return _describe(get_args(type_)[0])
    return "text" if isinstance(type_, type) and issubclass(type_, str) else "a table or list"


def _number_remedy(value: Any, kind: type) -> str:
    if isinstance(value, str):
        try:
            kind(value)
        except ValueError:
            return ""
        return f"write {value.strip()} without quotes" if len(value) < 30 else "write it without quotes"
    return ""


def _table_remedy(value: Any, place: Place) -> str:
    if isinstance(value, list) and isinstance(place, tuple) and not isinstance(place[0], tuple):
        return f"write [{place[1]}] with one bracket"
    return ""


def _listed(value: Any) -> str:
    return f"[{show(value)}]" if isinstance(value, str | int | float) else "[…]"
