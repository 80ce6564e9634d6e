"""Every word of the report, in Chinese or English: one table (``texts.json``), and how numbers are written. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from agent.config.digest_tables import Texts
from agent.digest.windows import SECOND

Language = Literal["zh", "en"]
NONE = "–"
HOUR_US = 3.6e9


class Pattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence of a digest with numbers in it: ``zh`` uses the groups of ``pattern`` (a whole match) as ``\\1``."""

    pattern: str
    zh: str


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``texts``: words of the page by key. ``said``: sentences that digests say in English. ``evidence``: what the
    numbers are called that a finding rests on."""

    texts: dict[str, Texts]
    said: dict[str, str]
    patterns: tuple[Pattern, ...]
    evidence: dict[str, Texts]


@cache
def table() -> Table:
    """The table."""
    return msgspec.json.decode((files("agent.diagnosis") / "texts.json").read_bytes(), type=Table)


def language_of(environment: Mapping[str, str] = os.environ) -> Language:
    """English where the locale says so; else Chinese, which the report's readers read."""
    locale = next((found for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (found := environment.get(name))), "")
    return "en" if locale.lower().startswith("en") else "zh"


class Words:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language

    def __call__(self, key: str, **values: object) -> str:
        """A text of the table, with values in its braces."""
        text = self.pick(table().texts[key])
        return text.format(**values) if values else text

    def pick(self, texts: Texts) -> str:
        """Of a text in both languages this one."""
        return texts.zh if self.language == "zh" else texts.en

    def said(self, sentence: str) -> str:
        """What a digest says, which it does in English; as it stands where the table does not know it."""
        if self.language == "en":
            return sentence
        known = table().said.get(sentence)
        if known is not None:
            return known
        for each in table().patterns:
            if found := re.fullmatch(each.pattern, sentence):
                return re.sub(r"\\(\d)", lambda mark: self.said(found[int(mark[1])]), each.zh)
        return sentence

    def evidence(self, name: str) -> str:
        """What a number of a finding is called."""
        known = table().evidence.get(name)
        return self.pick(known) if known else name

    def known(self, key: str) -> bool:
        """Whether the table has this key."""
        return key in table().texts

    def of(self, kind: str, name: str) -> str:
        """The word for one of several things of a kind; its name where it has none."""
        return self(f"{kind}.{name}") if self.known(f"{kind}.{name}") else name

    # -- numbers and times ---------------------------------------------------------------------------

    @staticmethod
    def number(value: float | None, digits: int = 4) -> str:
        """With thousands apart, and no more digits than matter."""
        if value is None:
            return NONE
        if value == round(value) and abs(value) < 1e12:
            return f"{value:,.0f}"
        magnitude = len(f"{abs(value):.0f}") if abs(value) >= 1 else 1
        return f"{value:,.{max(digits - magnitude, 0)}f}"

    @staticmethod
    def percent(share: float | None) -> str:
        """One decimal."""
        return NONE if share is None else f"{100 * share:.1f} %"

    @staticmethod
    def hours(microseconds: float | None) -> str:
        """Hours; minutes or seconds where it is less than one."""
        if microseconds is None:
            return NONE
        if not microseconds:
            return "0 h"
        if abs(microseconds) < 6e7:
            return f"{microseconds / 1e6:.1f} s"
        if abs(microseconds) < HOUR_US:
            return f"{microseconds / 6e7:.1f} min"
        return f"{microseconds / HOUR_US:,.1f} h"

    @staticmethod
    def moment(time: int, zone: ZoneInfo, *, seconds: bool = False) -> str:
        """``2026-11-23 08:15``, by the plant's clock."""
        moment = datetime.fromtimestamp(time // SECOND, zone)
        return f"{moment:%Y-%m-%d %H:%M:%S}" if seconds else f"{moment:%Y-%m-%d %H:%M}"

    def date(self, time: int, zone: ZoneInfo) -> str:
        """Month, day and day of the week."""
        moment = datetime.fromtimestamp(time // SECOND, zone)
        return f"{moment:%m-%d} {self('weekdays').split()[moment.weekday()]}"
