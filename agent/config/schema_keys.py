"""The keys that the schema of ``config.toml`` has, at whatever depth: words of ours, which say nothing of a plant."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec

from agent.config.model import FileSection


@cache
def schema_keys() -> frozenset[str]:
    """All of them; keys below ``connection`` are a driver's own and not among them."""
    found: set[str] = set()
    _gather(FileSection, found)
    return frozenset(found)


def _gather(type_: Any, found: set[str]) -> None:
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        for info in msgspec.structs.fields(type_):
            found.add(info.encode_name)
            _gather(info.type, found)
    for each in get_args(type_):
        _gather(each, found)
