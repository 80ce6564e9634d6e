"""Ratios of current and voltage transformers: settings of a device, applied to the tags that say so.

A meter behind a transformer may send the values of the secondary side: a power 33 times too small looks as good as a
right one. Its tags say which ratio they lack (``ratio = "ct*vt"``), and the device says what it is: a number, or the
register in which the meter keeps it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.config.problems import Place, Problems, show
from agent.config.tags import TagList
from drivers.contract import Point

KEYS = {"ct": "ct_ratio", "vt": "vt_ratio"}
"""What a tag's ``ratio`` may hold, and the device's key for it."""
_SCALED = re.compile(r"(.+?)\s*\*\s*([0-9]*\.?[0-9]+)")
_REMEDY = 'write a number such as 33 (1: no transformer), or the register that has it: "holding:0x0006"'


@dataclass(frozen=True, slots=True)
class Ratio:
    """A factor, and where the device has one more to multiply it by; ``address`` is empty where it has none."""

    factor: float = 1.0
    address: str = ""


def parse_ratio(value: float | str, place: Place, problems: Problems) -> Ratio:
    """``33``, ``"holding:0x0006"`` or ``"holding:0x0007*0.1"``; what is wrong is noted and stands for 1."""
    if not isinstance(value, str):
        if 0 < value < math.inf:
            return Ratio(float(value))
        problems.add(place, f"{show(value)} is no ratio", _REMEDY)
        return Ratio()
    found = _SCALED.fullmatch(value.strip())
    factor = float(found[2]) if found else 1.0
    if not value.strip() or factor <= 0:
        problems.add(place, f"{show(value)} is no ratio", _REMEDY)
        return Ratio()
    return Ratio(factor, found[1] if found else value.strip())


def apply_ratios(given: Mapping[str, Any], tags: TagList, place: Place, problems: Problems) -> set[str]:
    """Multiply the tags by what the device gives; returns the keys that tags need and the device does not have."""
    ratios = {
        word: parse_ratio(given[key], (place, key), problems)
        for word, key in KEYS.items()
        if given.get(key) is not None and isinstance(given[key], int | float | str)
    }
    lacking: set[str] = set()
    for at, origin in enumerate(tags.origin):
        words = [word for word in str(origin.values.get("ratio", "")).split("*") if word]
        lacking.update(KEYS[word] for word in words if word in KEYS and word not in ratios)
        for word in words:
            if word in ratios:
                tag = tags.tags[at]
                tags.tags[at] = replace(tag, point=_times(tag.point, ratios[word]))
    return lacking


def _times(point: Point, ratio: Ratio) -> Point:
    return replace(
        point,
        scale=point.scale * ratio.factor,
        offset=point.offset * ratio.factor,
        factors=(*point.factors, ratio.address) if ratio.address else point.factors,
    )
