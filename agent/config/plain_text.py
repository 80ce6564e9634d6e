"""Signs that a reader does not see, or that show other signs in another order: what is signed must be what is read."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
"""Letters and marks that are shown as nothing."""


def hidden(text: str, allowed: str = "") -> str:
    """The first sign of ``text`` that hides or turns what is read, as an escape; empty where there is none."""
    if text.isprintable() and text.isascii():
        return ""
    for sign in text if len(text) < 64 else set(text):
        if sign not in allowed and (unicodedata.category(sign) in _HIDDEN or sign in _BLANK):
            return sign.encode("unicode_escape", "surrogatepass").decode()
    return ""


def hidden_in(value: Any) -> str:
    """The same for every key and text of parsed TOML or JSON, whose texts may have lines."""
    level: list[Any] = [value]
    while level:
        below: list[Any] = []
        for each in level:
            if isinstance(each, Mapping):
                for key in each:
                    if found := hidden(key):
                        return found
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and (found := hidden(each, "\n\r\t")):
                return found
        level = below
    return ""
