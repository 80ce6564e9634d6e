"""In which encoding a text file was saved, decided on what its characters would be. Pure.

A byte that is no ASCII means something in almost every encoding, so that decoding alone proves nothing. A candidate
counts when what comes out is what people write: common Chinese characters, or accents within Latin words.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ENOUGH = 0.65
"""Mean plausibility (0 to 1) that the characters beyond ASCII must have."""
_NEAR = 0.1
"""A reading this much less plausible than the one taken is worth a word."""
_RARE = 0.6
"""Of a character that is written now and then, such as those of names and tools; all of a text never are."""
LATIN = "Windows-1252"
_PAIR = re.compile(rb"[\x80-\xff]{2}")
_NO_LIGATURE = re.compile("[œŒ](?![uU])")
"""What Polish and Czech texts of Windows-1250 would be; in French a u follows."""
_LATIN_SIGNS = frozenset("°µ²³±·×÷€Øø½¼¾§–’…®")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the encoding it was taken for, and others that are as plausible.

    ``encoding``: ``UTF-8`` and ``UTF-16`` are certain; everything else is a judgement.
    """

    text: str
    encoding: str
    others: tuple[str, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether the file itself says how it is to be read."""
        return self.encoding.startswith("UTF")


def decode(data: bytes) -> Decoded | None:
    """The text of a file, or None where it is plausible in no encoding that we know."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    text = _strictly(data, encoding)
    if text is not None:
        return Decoded(text, "UTF-16" if wide else "UTF-8")
    if wide:
        return None
    # Where no two bytes beyond ASCII stand together, accents are likelier than Chinese; else simplified Chinese is,
    # which is hardly ever plausible where another encoding was meant.
    latin_first = _PAIR.search(data) is None
    found = sorted(_candidates(data), key=lambda each: (each[1] == LATIN) != latin_first)
    if not found:
        return None
    (score, best, text), *rest = found
    others = tuple(name for share, name, other in rest if other != text and share > score - _NEAR)
    return Decoded(text, best, others)


def _candidates(data: bytes) -> Iterator[tuple[float, str, str]]:
    judges: tuple[tuple[str, str, Callable[[str], float]], ...] = (
        ("gb18030", "GB18030", lambda text: _mean(text, _in_gb)),
        ("cp950", "Big5", lambda text: _mean(text, _in_big5)),
        ("cp1252", LATIN, _latin),
    )
    for codec, name, judge in judges:
        text = _strictly(data, codec)
        if text is not None and (score := judge(text)) >= ENOUGH:
            yield score, name, text


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _mean(text: str, plausibility: Callable[[str], float]) -> float:
    beyond = [sign for sign in text if not sign.isascii()]
    return sum(map(plausibility, beyond)) / len(beyond) if beyond else 0.0


def _in_gb(sign: str) -> float:
    # Rows 1 to 9 of GB 2312 are signs, 16 to 55 the 3,755 most frequent characters.
    try:
        row = sign.encode("gb2312")[0] - 0xA0
    except UnicodeEncodeError:
        return 0.0
    return 1.0 if row <= 9 or 16 <= row <= 55 else _RARE


def _in_big5(sign: str) -> float:
    try:
        lead = sign.encode("cp950")[0]
    except UnicodeEncodeError:
        return 0.0
    return 1.0 if 0xA1 <= lead <= 0xC6 else _RARE


def _latin(text: str) -> float:
    beyond = sum(not sign.isascii() for sign in text)
    good = sum(sign in _LATIN_SIGNS for sign in text)
    for found in _WORD.finditer(text):
        word = found[0]
        accents = sum(not sign.isascii() and sign not in _LATIN_SIGNS for sign in word)
        accents -= len(_NO_LIGATURE.findall(word))
        around = text[max(found.start() - 1, 0) : found.start()] + text[found.end() : found.end() + 1]
        # A word of accents only is another alphabet, or Chinese; one letter may stand alone, as in French.
        if accents * 2 <= len(word) or (len(word) == 1 and around.isascii()):
            good += accents
    return good / beyond if beyond else 0.0
