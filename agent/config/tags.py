"""The tags of one device: template, table and inline tags laid over one another, then made points.

A later layer overrides an earlier one key by key where the names are the same: the template first,
then ``tags_file``, then the tags in the file itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import nan
from typing import Any

import msgspec

from agent.config.convert import BAD, missing
from agent.config.model import Tag, TagKind, TagSection
from agent.config.problems import Place, Problems, show
from agent.config.tables import Row, invalid_value
from agent.config.units import show_seconds
from drivers.contract import Point

MOST_ELEMENTS = 65_536
MOST_TAGS = 500_000
"""In one gateway: a slip in ``count`` must not take all of its memory."""
MOST_TAGS_OUTSIDE = 20_000
"""That come from outside: there it need not be a slip."""
SHORTEST_INTERVAL = 0.01
LONGEST_INTERVAL = 86_400.0

NAME = re.compile(r"\w[\w.\-]{0,127}")
NAME_REMEDY = 'use letters (also Chinese), digits, "_", "-" and "."'


@dataclass(slots=True)
class Merged:
    """A tag as its layers make it."""

    layers: list[Row]
    """Lowest first; at least one."""

    @property
    def place(self) -> Place:
        """Where the uppermost layer is."""
        return self.layers[-1][0]

    @property
    def values(self) -> dict[str, Any]:
        """All keys that are given."""
        if len(self.layers) == 1:
            return self.layers[0][1]
        return {key: value for _, values in self.layers for key, value in values.items()}

    def place_of(self, key: str) -> Place:
        """Where a key is given, or would be added."""
        for place, values in reversed(self.layers):
            if key in values:
                return (place, key)
        return (self.place, key)


@dataclass(slots=True)
class TagList:
    """What is made of a device's tags; ``origin[i]`` tells where ``tags[i]`` comes from."""

    tags: list[Tag] = field(default_factory=list)
    origin: list[Merged] = field(default_factory=list)
    inline: list[TagSection] = field(default_factory=list)
    """The tags that the configuration file itself names, completed by the layers below."""
    full: bool = False
    """Whether there was no room for all of them."""


def merge(layers: Iterable[Sequence[Row]], problems: Problems, defaults: Row | None = None) -> list[Merged]:
    """Lay lists of tags over one another; a name that one list holds twice is a problem.

    ``defaults``: a layer that lies below each of them.
    """
    merged: dict[Any, Merged] = {}
    for rows in layers:
        seen: dict[Any, Place] = {}
        for row in rows:
            place, values = row
            name = values.get("name")
            if isinstance(name, str):
                problems.call(place, name)
            if name is None or name is BAD:
                missing(TagSection, {"address": "", **values}, place, problems)
                continue
            if name in seen:
                problems.add((place, "name"), f"{show(name)} is given twice", "rename or remove one of them")
                continue
            seen[name] = place
            below = merged.get(name)
            if below is None:
                merged[name] = Merged([row] if defaults is None else [defaults, row])
            else:
                below.layers.append(row)
    return list(merged.values())


def make_tags(
    device: str, interval: float, merged: Sequence[Merged], problems: Problems, room: int, most: int
) -> TagList:
    """Points and tags of a device. ``interval``: seconds, for tags without their own. ``room``: most tags, of the
    ``most`` that there may be."""
    result = TagList()
    addresses = {each.values.get("name"): each.values.get("address") for each in merged}
    for each in merged:
        section = _section(each, problems)
        if section is None:
            continue
        if section.scale_tag:
            section = _with_scale(section, addresses.get(section.scale_tag), each, problems)
        if isinstance(each.place, tuple):  # a table's rows have a line and no path
            result.inline.append(section)
        if len(result.tags) + section.count > room:
            message, remedy = f"is more than the {most} tags a gateway can have", "use several gateways"
            if most < MOST_TAGS:
                message, remedy = (
                    f"is more than the {most} tags that may come from outside",
                    "name a table on the gateway",
                )
            problems.add(each.place, message, remedy)
            result.full = True
            break
        _expand(device, interval, section, each, result)
    return result


def _with_scale(tag: TagSection, address: Any, merged: Merged, problems: Problems) -> TagSection:
    """The tag with the register in the place of the tag that holds its scale."""
    if tag.scale_register:
        problems.add(merged.place_of("scale_tag"), "goes without scale_register", "remove one of them")
    elif not isinstance(address, str):
        problems.add(
            merged.place_of("scale_tag"), f"the device has no tag {show(tag.scale_tag)}", "name a tag of the device"
        )
    else:
        return msgspec.structs.replace(tag, scale_register=address)
    return tag


def _section(merged: Merged, problems: Problems) -> TagSection | None:
    values = merged.values
    lacking = False
    if BAD in values.values() or "address" not in values:
        lacking = missing(TagSection, values, merged.place, problems)
        # The rest is checked all the same, with an address that stands for the lacking one.
        values = {"address": "?"} | {key: value for key, value in values.items() if value is not BAD}
    section = TagSection(**values)
    return section if _check(section, merged, problems) and not lacking else None


def _check(tag: TagSection, merged: Merged, problems: Problems) -> bool:
    """Note what no driver needs to be asked for."""
    before = len(problems)

    def note(key: str, message: str, remedy: str = "") -> None:
        problems.add(merged.place_of(key), message, remedy)

    if not NAME.fullmatch(tag.name):
        note("name", f"{show(tag.name)} cannot be a tag's name", NAME_REMEDY)
    if not tag.address:
        note("address", "is empty", "name what to read")
    if tag.scale == 0:
        note("scale", "must not be 0", "leave it out for 1")
    if tag.deadband < 0:
        note("deadband", "must not be negative", "leave it out to record every change")
    if tag.interval is not None and not SHORTEST_INTERVAL <= tag.interval <= LONGEST_INTERVAL:
        note("interval", f"{show_seconds(tag.interval)} is out of range", "from 10ms to 1d")
    if tag.rollover is not None:
        if tag.kind != "counter":
            note("rollover", "is for counters only", 'add kind = "counter", or remove it')
        if tag.rollover <= 0:
            note("rollover", "must be more than 0", "write the value at which the counter starts again from 0")
    if tag.length < 0:
        note("length", "must not be negative")
    if not 1 <= tag.count <= MOST_ELEMENTS:
        note("count", f"must be from 1 to {MOST_ELEMENTS}")
    for each in tag.invalid:
        if isinstance(each, str):
            try:
                invalid_value(each)
            except ValueError as error:
                note("invalid", *error.args[:2])
    return len(problems) == before


def _expand(device: str, interval: float, tag: TagSection, merged: Merged, result: TagList) -> None:
    kind = tag.kind or default_kind(tag.type)
    pause = interval if tag.interval is None else float(tag.interval)
    invalid = raw_values(tag.invalid) if tag.invalid else ()
    for element in range(tag.count):
        name = tag.name if tag.count == 1 else f"{tag.name}[{element}]"
        point = Point(
            index=len(result.tags),
            name=name,
            address=tag.address,
            type=tag.type,
            element=element,
            order=tag.order,
            length=tag.length,
            scale_register=tag.scale_register,
            block=tag.block,
            scale=tag.scale,
            offset=tag.offset,
            invalid=invalid,
            interval=pause,
            deadband=tag.deadband,
        )
        made = Tag(
            series=f"{device}.{name}",
            point=point,
            unit=tag.unit,
            kind=kind,
            rollover=tag.rollover,
            sensitivity=tag.sensitivity,
        )
        result.tags.append(made)
        result.origin.append(merged)


def default_kind(type_: str) -> TagKind:
    """How a tag of a data type is summarised unless it says."""
    return {"string": "text", "bool": "state"}.get(type_, "gauge")  # type: ignore[return-value]


@lru_cache(256)  # the tags of a table mostly share them
def raw_values(invalid: tuple[float | str, ...]) -> tuple[float, ...]:
    """``["nan", "0x8000", 7]`` → (nan, 32768, 7)."""
    values = (invalid_value(each) if isinstance(each, str) else each for each in invalid)
    return tuple(nan if isinstance(each, str) else each for each in values)
