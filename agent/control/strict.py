"""Reading what was signed so that nobody can read it in another way. Pure."""

from __future__ import annotations

import json
import re
from binascii import Error, a2b_base64, b2a_base64
from typing import Any, NoReturn

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def read_json(data: bytes | str) -> Any:
    """JSON in UTF-8 without NaN, doubled members or lone surrogates. Raises ValueError with the reason."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_members)
        if "\\u" in text:  # nothing else brings a lone surrogate in
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise ValueError("is not UTF-8") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    return value


def read_base64url(text: Any) -> bytes:
    """Base64url in its one canonical form (RFC 7515: no padding). Raises ValueError."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise ValueError("is not base64url")
    try:
        data = a2b_base64(text.translate(_TO_PLAIN) + "=" * (-len(text) % 4))
    except Error:
        raise ValueError("is not base64url") from None
    if write_base64url(data) != text:
        raise ValueError("is not canonical base64url")
    return data


def write_base64url(data: bytes) -> str:
    """Base64url without padding."""
    return b2a_base64(data, newline=False).decode("ascii").rstrip("=").translate(_TO_URL)


_TO_PLAIN = str.maketrans("-_", "+/")
_TO_URL = str.maketrans("+/", "-_")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which JSON does not have")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("holds a member twice")
    return members
