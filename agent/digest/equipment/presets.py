"""Ready-made meanings of state words, as data: the numbers are the standards', the words are ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec


class Preset(msgspec.Struct, frozen=True):
    """``source``: where the numbers are from. ``map``: value → state."""

    source: str
    map: dict[int, str]


@cache
def presets() -> dict[str, Preset]:
    """All of them, by name (``presets.json``)."""
    data = (files("agent.digest.equipment") / "presets.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, Preset])


def preset(name: str) -> Mapping[int, str]:
    """Value → state. Raises KeyError for a name that is none."""
    return presets()[name].map
