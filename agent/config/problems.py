"""Where something is in the configuration, and the list of what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from agent.config.schema_keys import schema_keys
from agent.errors import ConfigurationInvalid
from agent.table import one_line

Place: TypeAlias = str | tuple["Place", "str | int"]
"""A source (``config.toml``, or ``press-1.csv:12``), or a place and a key below it.

Linked pairs, because one is made for each value that is read and hardly any is ever shown.
"""

MOST = 1_000
"""Nobody reads more, and finding the word that was meant takes time for each."""
_LONGEST = 60
_GREATEST = 2**64


class Problems:
    """Problem lines in the order of their discovery, those of a table by its lines; each once."""

    def __init__(self) -> None:
        self._noted: dict[tuple[Place, str, str], tuple[int, int]] = {}
        self._tables: dict[str, int] = {}
        self._unresolved: set[tuple[Place, str, str]] = set()
        self._warned: dict[tuple[Place, str, str], None] = {}
        self._names: dict[Place, str] = {}

    def call(self, place: Place, name: str) -> None:
        """What is at a place has a name, which people know better than a number in a list."""
        self._names[place] = name

    def warn(self, place: Place, message: str, remedy: str = "") -> None:
        """Note what is valid and probably not meant: where, what, and what to write where it is not."""
        self._warned.setdefault((place, message, remedy))

    def add(self, place: Place, message: str, remedy: str = "", *, unresolved: bool = False) -> None:
        """Note a problem: where, what, and what to write instead.

        ``unresolved``: what is written may be right, but names a driver, template or tag that is not there.
        Raises :class:`ConfigurationInvalid` with the first :data:`MOST` instead of noting more.
        """
        if len(self._noted) >= MOST:
            raise ConfigurationInvalid((*self.lines, f"and more: these are the first {MOST}"), places=self.places)
        problem = (place, message, remedy)
        self._noted.setdefault(problem, self._rank(place))
        if unresolved:
            self._unresolved.add(problem)

    def _rank(self, place: Place) -> tuple[int, int]:
        while isinstance(place, tuple):
            place = place[0]
        table, _, line = place.rpartition(":")
        position = len(self._noted)
        if not (table and line.isdigit()):
            return position, 0
        return self._tables.setdefault(table, position), int(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """All problems, one line each."""
        noted = sorted(self._noted, key=self._noted.__getitem__)
        return tuple(dict.fromkeys(self._line(*each) for each in noted))

    @property
    def unresolved(self) -> tuple[str, ...]:
        """Those among them that only name what is not there."""
        lines = {self._line(*each) for each in self._unresolved}
        return tuple(line for line in self.lines if line in lines)

    @property
    def places(self) -> tuple[str, ...]:
        """Where the problems are, in the schema's own words."""
        found = dict.fromkeys(_schema_path(place) for place, _, _ in self._noted)
        return tuple(each for each in found if each)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is valid all the same, one line each."""
        return tuple(dict.fromkeys(self._line(*each) for each in self._warned))

    def __len__(self) -> int:
        return len(self._noted)

    def _line(self, place: Place, message: str, remedy: str) -> str:
        named = self._name(place)
        # A message that says the name already does not need it twice.
        of = f" ({named})" if named and f'"{named}"' not in message else ""
        return one_line(f"{show_place(place)}: {message}" + (f"; {remedy}" if remedy else "") + of)

    def _name(self, place: Place) -> str:
        while place not in self._names:
            if not isinstance(place, tuple):
                return ""
            place = place[0]
        return self._names[place]


def show_place(place: Place) -> str:
    """``config.toml: device[2].tag[7].tpye``, ``press-1.csv:12: address``, or the source alone."""
    source, keys = _unlinked(place)
    path = ""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        else:
            path += ("." if path else "") + (key if _is_bare(key) else f'"{key}"')
    return f"{source}: {path}" if path else source


def _unlinked(place: Place) -> tuple[str, list[str | int]]:
    """A place's source, and the keys that lead from there to it."""
    keys: list[str | int] = []
    while isinstance(place, tuple):
        place, key = place
        keys.append(key)
    return place, keys[::-1]


def _schema_path(place: Place) -> str:
    """``device[2].tag[7].address``: as far as the keys are the schema's own, and without the source's name."""
    text = ""
    for key in _unlinked(place)[1]:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key in schema_keys():
            text += f".{key}" if text else key
        else:
            break
    return text


def table_name(place: Place) -> str:
    """How a place is called in TOML's brackets: ``device.tag``."""
    keys: list[str] = []
    while isinstance(place, tuple):
        place, key = place
        if isinstance(key, str):
            keys.append(key)
    return ".".join(reversed(keys))


def show(value: Any) -> str:
    """A value as the operator wrote it, short."""
    if isinstance(value, str):
        return f'"{value if len(value) <= _LONGEST else value[:_LONGEST] + "…"}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) <= _GREATEST else "a number that large"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return "a date or time"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be."""
    from difflib import get_close_matches  # only a configuration with a mistake pays for it

    folded = {each.casefold(): each for each in known}
    wanted = word[:_LONGEST].casefold()
    if wanted in folded:
        return folded[wanted]
    found = get_close_matches(wanted, folded, 1, 0.6)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A remedy: the nearest known word, else ``otherwise``, else all of them where they are few."""
    words = list(known)
    near = nearest(word, words)
    if near is not None:
        return f'did you mean "{near}"?'
    if otherwise or not words:
        return otherwise
    return f"one of: {', '.join(words)}" if len(words) <= 40 else ""


def _is_bare(key: str) -> bool:
    return bool(key) and key.isprintable() and not any(sign in ' ."[]:' for sign in key)
