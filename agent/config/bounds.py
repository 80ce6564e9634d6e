"""What TOML may hold at most, told before anything is built of it. Pure.

A few hundred bytes can stand for half a million tags, or nest deeper than a parser goes: text is counted before it is
parsed, and what was parsed before anybody walks through it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 24
"""Tables and lists within one another; the schema needs six."""
LONGEST_KEY = 256

_TOKEN = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}.=,\n\"']",
    re.DOTALL,
)


class TooMuch(ValueError):
    """``str(error)``: what it has too much of; ``remedy``: what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Limits:
    """``characters`` of the text, ``values`` in it, and characters of the ``longest`` text among them."""

    characters: int
    values: int
    longest: int


OF_FILE = Limits(16_000_000, 2_000_000, 1_000_000)
"""Of a file of this gateway."""
OF_OVERLAY = Limits(1_000_000, 100_000, 262_144)
"""Of what comes from outside; the longest are secrets that are sealed for many gateways."""


def check_text(text: str, limits: Limits = OF_FILE) -> None:
    """Raise :class:`TooMuch` for text that should not even be parsed; takes time in proportion to its length."""
    if len(text) > limits.characters:
        raise TooMuch(f"has more than {limits.characters} characters", "put tags into tables, or use several gateways")
    depth = dots = values = 0
    for found in _TOKEN.finditer(text):
        sign = found[0]
        if sign in ('"', "'"):
            return  # a text that does not end: the parser says where
        if sign == ".":
            dots += 1
        elif sign in "[{":
            depth, dots = depth + 1, 0
        elif sign in "]}":
            depth, dots = max(0, depth - 1), 0
        elif sign in "=,\n":
            values += sign != "\n"
            dots = 0
        if depth > DEEPEST or dots > DEEPEST:
            raise TooMuch("is nested too deeply", "write fewer brackets within one another")
        if values > limits.values:
            raise TooMuch(f"has more than {limits.values} values", "put tags into tables, or use several gateways")


def check_values(raw: Mapping[str, Any], limits: Limits = OF_FILE) -> None:
    """Raise :class:`TooMuch` for parsed TOML that should not be walked through. Does not recurse itself."""
    level: list[Any] = [raw]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                for key in value:
                    if len(key) > LONGEST_KEY:
                        raise TooMuch(f"has a key of more than {LONGEST_KEY} characters", "shorten it")
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and len(value) > limits.longest:
                raise TooMuch(f"has a text of more than {limits.longest} characters", "shorten it")
        if not below:
            return
        level = below
    raise TooMuch("is nested too deeply", "write fewer brackets within one another")
