"""How large anything may be that a platform says: the one gate for numbers, texts, lists and bodies from outside.

The contract's OpenAPI file states the same figures; a test holds the two against each other. A value outside of them
is no value: nothing of an answer that holds one is used.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MAX_SEQ = 999_999_999_999_999
"""Of a digest or a revision; fits every database and every float."""
MAX_JUMP = 1_000_000
"""How far a platform's head may be ahead of ours and still be followed without the engineer."""
MAX_TIME_US = 253_402_300_799_000_000
"""The end of the year 9999, UTC microseconds."""
MAX_BODY = 1_000_000
"""Bytes of any answer, after decompression."""
MAX_SMALL_BODY = 65_536
"""The same of an answer that is no bundle, list or trust list: a receipt, a head, a problem."""
MAX_SIGNATURE = 2048
MAX_ETAG = 256
MAX_HEADER = 256
"""Characters of a header that is looked at: ``Date``, ``Retry-After``."""
MAX_RETRY_AFTER_S = 86_400
MAX_ADMINS = 64
MAX_SIGNATURES = 32
MAX_PRESCRIPTIONS = 24
MAX_TEXT = 255
"""Of a name."""
MAX_DETAIL = 2000
"""Of what a problem says for a person."""

Seq = Annotated[int, Meta(ge=1, le=MAX_SEQ)]
SeqOrNone = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
"""0: nothing yet."""
Hash = Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hexadecimal digits; the lengths refuse the line feed that a pattern lets through."""
Signature = Annotated[str, Meta(max_length=MAX_SIGNATURE)]
GatewayId = Annotated[str, Meta(max_length=64, pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Name = Annotated[str, Meta(max_length=MAX_TEXT)]
Contract = Annotated[str, Meta(max_length=16)]
"""Version of the contract that a platform speaks; empty: 1.0."""


def tidy(text: str, limit: int) -> str:
    """One line of at most ``limit`` characters, free of control and direction characters: fit for a log, a terminal
    and a page, whoever wrote it."""
    shown = "".join(each if each.isprintable() else " " for each in text[: 4 * limit])
    return " ".join(shown.split())[:limit]
