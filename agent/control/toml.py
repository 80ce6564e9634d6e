"""Writing plain values as TOML, in the shape that people give a configuration. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def write_toml(tables: Mapping[str, Any]) -> str:
    """TOML text that ``tomllib`` reads as the same values. Comments and layout of an original are not kept."""
    return "\n".join(_table(tables, ())).strip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key, value in table.items():
        if not _is_section(value, path):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if _is_section(value, path):
            below = (*path, key)
            name = ".".join(map(_key, below))
            for each in value if isinstance(value, list) else [value]:
                yield ""
                yield f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
                yield from _table(each, below)


def _is_section(value: Any, path: tuple[str, ...]) -> bool:
    """Tables have lines of their own at the top, and lists of tables wherever such a list is open."""
    if isinstance(value, list):
        return len(path) < 2 and bool(value) and all(isinstance(each, Mapping) for each in value)
    return isinstance(value, Mapping) and not path


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(sign) or _plain(sign) for sign in text) + '"'


def _plain(sign: str) -> str:
    return sign if sign >= " " and sign != "\x7f" else f"\\u{ord(sign):04x}"
