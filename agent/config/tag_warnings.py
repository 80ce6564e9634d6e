"""What is valid in a device's tags and probably not meant: two at one place, addresses with two meanings."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any

from agent.config.model import Tag
from agent.config.problems import Place, Problems, show_place
from agent.config.tags import Merged, TagList
from drivers.contract import DriverType, Explanation

BROKEN = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, NotImplementedError)
"""What the pure functions of a third party's driver may raise."""
_SHOWN = 4
_CUT_BIT = re.compile(r".*\d\.1")
"""What a spreadsheet makes of ``40001.10``: it takes it for a number, and drops the last zero."""


def warn_of_tags(driver: DriverType, options: Any, tags: TagList, place: Place, problems: Problems) -> None:
    """Note what the driver's own reading of the addresses makes doubtful. Only for tags without a fault."""
    explained = explanations(driver, options, tags.tags)
    if not explained:
        return
    _same_place(explained, tags, problems)
    _doubts(explained, tags, place, problems)


def explanations(driver: DriverType, options: Any, tags: Sequence[Tag]) -> Sequence[Explanation]:
    """How each tag's address was read; empty where the driver does not say."""
    try:
        explained = driver.explain(options, [tag.point for tag in tags])
    except BROKEN:
        return ()
    return explained if len(explained) == len(tags) else ()


def _same_place(explained: Sequence[Explanation], tags: TagList, problems: Problems) -> None:
    at: dict[Hashable, int] = {}
    for position, explanation in enumerate(explained):
        first = at.setdefault(explanation.place, position)
        if first == position or tags.origin[first] is tags.origin[position]:
            continue
        one, other = tags.tags[first], tags.tags[position]
        message = f'"{other.point.name}" reads the same as "{one.point.name}" ({_where(tags.origin[first])})'
        remedy = f"{explanation.text}; remove one of them, or correct an address"
        if any(_CUT_BIT.fullmatch(tag.point.address.strip()) for tag in (one, other)):
            remedy += "; a spreadsheet turns 40001.10 into 40001.1: format the column as text"
        problems.warn((tags.origin[position].place, "address"), message, remedy)


def _where(origin: Merged) -> str:
    return show_place(origin.place)


def _doubts(explained: Sequence[Explanation], tags: TagList, place: Place, problems: Problems) -> None:
    doubtful = [at for at, explanation in enumerate(explained) if explanation.doubt and not tags.tags[at].point.element]
    if not doubtful:
        return
    shown = [f'"{tags.tags[at].point.name}" = {explained[at].text}' for at in doubtful[:_SHOWN]]
    more = f" and {len(doubtful) - _SHOWN} more" if len(doubtful) > _SHOWN else ""
    count = "one tag has a bare number" if len(doubtful) == 1 else f"{len(doubtful)} tags have bare numbers"
    message = f"{count} as address, taken as in manuals that count from 1: {', '.join(shown)}{more}"
    problems.warn((place, "tag"), message, explained[doubtful[0]].doubt)
