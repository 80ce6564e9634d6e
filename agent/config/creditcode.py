"""Unified social credit codes (GB 32100-2015)."""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The value of a character is its position; I, O, S, V and Z are not used."""


def fault(code: str) -> tuple[str, str] | None:
    """What is wrong with a code, and the remedy; None when its check character is right."""
    if len(code) != 18:
        return f"has {len(code)} characters and not 18", "copy it from the business licence"
    strange = [sign for sign in code if sign not in ALPHABET]
    if strange:
        remedy = "write it in capitals" if code.upper() != code else "the letters I, O, S, V and Z do not occur in it"
        return f'cannot hold "{strange[0]}"', remedy
    expected = check_character(code[:17])
    if code[17] != expected:
        return f'the check character is "{code[17]}" and would have to be "{expected}"', "look for a slip in the others"
    return None


def check_character(body: str) -> str:
    """The last character of a code, from its first 17."""
    total = sum(ALPHABET.index(sign) * pow(3, place, 31) for place, sign in enumerate(body))
    return ALPHABET[-total % 31]
