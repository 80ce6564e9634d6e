"""What the platform lays over the local file: a whole of its own, in the same schema, but with less freedom.

An overlay holds only sections that may be changed from outside. Its devices and equipment replace the
local ones of the same name as a whole and add to the others; ``[digest]`` and ``[platform]`` replace key by key. It
never names a file or a variable of the gateway: a secret comes encrypted to the gateway, as
``{ jwe = "…" }``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config.problems import Place, Problems
from agent.config.references import Resolver

SECTIONS = ("device", "equipment", "digest", "platform")
"""What an overlay can hold; the local ``[remote] allow`` chooses among them."""
_BY_NAME = ("device", "equipment")

Decrypt = Callable[[str], str]
"""A compact JWE → its text. Raises ValueError, whose text never holds any of it."""


def no_key(_jwe: str) -> str:
    """The :data:`Decrypt` of whoever has no key."""
    raise ValueError("cannot be decrypted here")


@dataclass(frozen=True, slots=True)
class Overlay:
    """TOML text and what it is called in messages, such as ``revision 12``."""

    text: str
    name: str
    decrypt: Decrypt = no_key


class RemoteResolver(Resolver):
    """Resolves references of an overlay: encrypted secrets, and nothing of this machine."""

    def __init__(self, decrypt: Decrypt) -> None:
        super().__init__({}, Path(), decrypt)

    def resolve(self, reference: Mapping[str, Any], place: Place, problems: Problems) -> str | None:
        """As :meth:`Resolver.resolve`; a file or variable is a problem."""
        if reference.keys() & {"env", "file"}:
            problems.add(place, "names a file or variable of the gateway", 'encrypt the secret: { jwe = "…" }')
            return None
        return super().resolve(reference, place, problems)


def lay_over(local: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The local file's tables with the overlay's in their place; neither is changed."""
    merged = dict(local)
    for section, value in over.items():
        below = local.get(section)
        if section in _BY_NAME and isinstance(value, list):
            merged[section] = _by_name(below if isinstance(below, list) else [], value)
        elif isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[section] = {**below, **value}
        else:
            merged[section] = value
    return merged


def _by_name(below: Sequence[Any], above: Sequence[Any]) -> list[Any]:
    named = {_name(table): table for table in above}
    rest = [table for table in above if _name(table) not in {_name(each) for each in below}]
    return [named.get(_name(table), table) for table in below] + rest


def _name(table: Any) -> Any:
    return table.get("name") if isinstance(table, Mapping) else None


def origins(local: Mapping[str, Any], over: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any, str]]:
    """(path, value, where it comes from) of every value in force: ``file``, or the overlay's ``name``."""
    merged = lay_over(local, over)
    for section, value in merged.items():
        above = over.get(section)
        if section in _BY_NAME and isinstance(value, list):
            theirs = {_name(table) for table in above or ()}
            for table in value:
                source = name if _name(table) in theirs else "file"
                for path, leaf in _leaves(table, f"{section}.{_name(table)}"):
                    yield path, leaf, source
        else:
            for path, leaf in _leaves(value, section):
                key = path.split(".")[1] if "." in path else path
                yield path, leaf, name if isinstance(above, Mapping) and key in above else "file"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value and not value.keys() <= {"env", "file", "jwe"}:
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}")
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for position, each in enumerate(value):
            label = _name(each)
            yield from _leaves(each, f"{path}.{label}" if label else f"{path}[{position}]")
    else:
        yield path, value
