"""From ``[[device]]`` tables to devices ready to be driven; every driver checks its own part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.config import templates
from agent.config.convert import BAD, Bad, Context, build, convert_fields, missing
from agent.config.model import Device, DeviceSection, Tag, TagSection
from agent.config.problems import Place, did_you_mean, show
from agent.config.ratios import apply_ratios
from agent.config.references import Unreadable, read_file
from agent.config.tables import Row, read_table
from agent.config.tag_warnings import BROKEN, warn_of_tags
from agent.config.tags import (
    LONGEST_INTERVAL,
    MOST_TAGS,
    NAME,
    SHORTEST_INTERVAL,
    Merged,
    TagList,
    default_kind,
    make_tags,
    merge,
)
from agent.config.units import show_seconds
from drivers import registry
from drivers.contract import DriverType, Problem

TAG_DEFAULTS = ("type", "order", "invalid")
"""Keys of a device that hold for those of its tags that do not say."""
MOST_DEVICES = 5_000
_LARGEST_TABLE = 64 * 1024 * 1024


@dataclass(slots=True)
class Devices:
    """All that could be made of the device tables."""

    sections: list[DeviceSection] = field(default_factory=list)
    built: list[Device] = field(default_factory=list)
    unsound: set[str] = field(default_factory=set)
    """Devices whose list of tags is not complete, because something is wrong with it."""
    unnamed: bool = False
    """Whether there is a device whose name is not known."""
    tags: int = 0
    """How many tags were made, also of devices that are not sound."""


def build_devices(raw: Any, place: Place, folder: Path, context: Context, most: int = MOST_TAGS) -> Devices:
    """``raw``: the value of ``device`` in the file. ``folder``: where the path of a table starts. ``most``: tags."""
    result = Devices()
    if not isinstance(raw, list):
        remedy = "write [[device]] with two brackets" if isinstance(raw, Mapping) else ""
        context.problems.add(place, f"must be a list of tables, not {show(raw)}", remedy)
        result.unnamed = True
        return result
    if len(raw) > MOST_DEVICES:
        context.problems.add(place, f"are more than {MOST_DEVICES} devices", "use several gateways")
        result.unnamed = True
        return result
    seen: dict[str, int] = {}
    for position, table in enumerate(raw):
        here = (place, position)
        one = _OneDevice(here, folder, context, most)
        if not one.build(table, result):
            result.unnamed = True
            break
        if one.name is None:
            result.unnamed = True
        elif one.name in seen:
            message = f"{show(one.name)} is also the name of device[{seen[one.name]}]"
            context.problems.add((here, "name"), message, "rename one of them")
        else:
            seen[one.name] = position
    return result


class _OneDevice:
    def __init__(self, place: Place, folder: Path, context: Context, most: int) -> None:
        self._place = place
        self._folder = folder
        self._context = context
        self._problems = context.problems
        self._most = most
        self.name: str | None = None

    def build(self, table: Any, result: Devices) -> bool:
        """Add what can be made of the table to ``result``; False where there is no room for its tags."""
        inline = table.get("tag", []) if isinstance(table, Mapping) else []
        if isinstance(table, Mapping):
            table = {key: value for key, value in table.items() if key != "tag"}
        given = convert_fields(table, DeviceSection, self._place, self._context)
        if isinstance(given, Bad):
            return True
        missing(DeviceSection, given, self._place, self._problems)
        name = given.get("name", BAD)
        if name is not BAD and self._check_name(name):
            self.name = name
            self._problems.call(self._place, name)
        interval = self._interval(given)
        driver = self._driver(given.get("driver", BAD))
        before = len(self._problems)
        layers = [
            self._template(_text(given, "template"), _text(given, "driver")),
            self._table(_text(given, "tags_file")),
            self._inline(inline),
        ]
        defaults = {key: given[key] for key in TAG_DEFAULTS if given.get(key) is not None}
        merged = merge(layers, self._problems, (self._place, defaults) if defaults else None)
        tags = make_tags(self.name or "", interval, merged, self._problems, self._most - result.tags, self._most)
        if tags.full:
            return False
        lacking = apply_ratios(given, tags, self._place, self._problems)
        if lacking and driver is not None:
            self._warn_of_ratios(lacking, _text(given, "template"))
        result.tags += len(tags.tags)
        if len(self._problems) > before and self.name is not None:
            result.unsound.add(self.name)
        options = self._options(driver, given.get("connection", {}), tags) if driver else BAD
        if driver is None or self.name is None or options is BAD or BAD in given.values():
            if self.name is not None:
                result.unsound.add(self.name)
            return True
        warn_of_tags(driver, options, tags, self._place, self._problems)
        result.sections.append(DeviceSection(**{**given, "tag": tuple(tags.inline)}))
        result.built.append(
            Device(
                name=self.name,
                driver=driver.name,
                interval=interval,
                type=driver,
                options=options,
                tags=tuple(tags.tags),
                enabled=bool(given.get("enabled", True)),
            )
        )
        return True

    def _warn_of_ratios(self, lacking: set[str], template: str) -> None:
        message = "has values of the secondary side of a transformer: they are too small by its ratio"
        hints = templates.hints(template) if template else {}
        wanted = [f'{key} = "{hints[key]}"' if key in hints else f"{key} = 1" for key in sorted(lacking)]
        held = "as this meter holds them" if hints else "1: no transformer"
        self._problems.warn(self._place, message, f"add {' and '.join(wanted)} ({held}), or the numbers of its label")

    def _check_name(self, name: str) -> bool:
        if NAME.fullmatch(name) and "." not in name:
            return True
        remedy = 'use letters (also Chinese), digits, "_" and "-"'
        self._problems.add((self._place, "name"), f"{show(name)} cannot be a device's name", remedy)
        return False

    def _interval(self, given: Mapping[str, Any]) -> float:
        interval = given.get("interval", BAD)
        if interval is BAD:
            return 1.0
        if not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
            message = f"{show_seconds(interval)} is out of range"
            self._problems.add((self._place, "interval"), message, "from 10ms to 1d")
        return float(interval)

    def _driver(self, name: Any) -> DriverType | None:
        if name is BAD:
            return None
        try:
            return registry.load(name)
        except (registry.UnknownDriver, registry.DriverBroken) as error:
            self._problems.add((self._place, "driver"), str(error), error.remedy, unresolved=True)
            return None

    def _template(self, name: str, driver: str) -> Sequence[Row]:
        if not name:
            return ()
        place = (self._place, "template")
        template = templates.load(name, self._problems)
        if template is None:
            remedy = did_you_mean(name, templates.names())
            self._problems.add(place, f"unknown template {show(name)}", remedy, unresolved=True)
            return ()
        if driver and template.driver != driver:
            message = f"{show(name)} is for driver {show(template.driver)}"
            self._problems.add(place, message, "remove it, or change the driver")
            return ()
        return template.rows

    def _table(self, name: str) -> Sequence[Row]:
        if not name:
            return ()
        try:
            data = read_file(self._folder / name, _LARGEST_TABLE)
        except Unreadable as error:
            self._problems.add((self._place, "tags_file"), str(error), error.remedy)
            return ()
        return read_table(data, name, self._problems)

    def _inline(self, raw: Any) -> Sequence[Row]:
        place = (self._place, "tag")
        if not isinstance(raw, list):
            remedy = "write [[device.tag]] with two brackets"
            self._problems.add(place, f"must be a list of tables, not {show(raw)}", remedy)
            return ()
        rows: list[Row] = []
        for position, table in enumerate(raw):
            here = (place, position)
            values = convert_fields(table, TagSection, here, self._context)
            if not isinstance(values, Bad):
                rows.append((here, values))
        return rows

    def _options(self, driver: DriverType, connection: Any, tags: TagList) -> Any:
        """The driver's options, or BAD; the driver's own check is made in either case if it can be."""
        if connection is BAD:
            return BAD
        place = (self._place, "connection")
        inner = Context(self._problems, self._context.resolver, any_string=True)
        before = len(self._problems)
        given = convert_fields(connection, driver.options, place, inner)
        options = BAD if isinstance(given, Bad) else build(driver.options, given, place, inner)
        sound = len(self._problems) == before
        if options is BAD:
            return BAD
        try:
            found = driver.check(options, [tag.point for tag in tags.tags])
            if misfits := self._misfits(found, tags):
                # A device's type is for its numbers; a bit among them keeps the driver's own.
                for at in misfits:
                    tags.tags[at] = _typeless(tags.tags[at], tags.origin[at].values)
                found = driver.check(options, [tag.point for tag in tags.tags])
        except BROKEN as error:
            message = f"the check of driver {show(driver.name)} failed: {type(error).__name__}"
            self._problems.add((self._place, "driver"), message, "tell its author")
            return BAD
        for problem in found:
            # With options that were replaced by defaults, only what is said of the tags means anything.
            if sound or problem.point is not None:
                self._note(problem, tags.origin, inner.resolved)
        return options if sound else BAD

    def _misfits(self, found: Sequence[Problem], tags: TagList) -> set[int]:
        """Points that the type of the device does not fit."""
        own = (self._place, "type")
        return {
            each.point
            for each in found
            if each.field == "type" and each.point is not None and tags.origin[each.point].place_of("type") == own
        }

    def _note(self, problem: Problem, origin: Sequence[Merged], secrets: set[str]) -> None:
        message, remedy = (_without(secrets, text) for text in (problem.message, problem.remedy))
        if problem.point is not None and 0 <= problem.point < len(origin) and "." not in problem.field:
            tag = origin[problem.point]
            place: Place = tag.place_of(problem.field)
            if not isinstance(tag.place, tuple) and tag.place.startswith("template "):
                place = ((self._place, "template"), str(tag.values["name"]))
        else:
            place = self._place
            for key in problem.field.split(".") if problem.field else ():
                place = (place, key)
        self._problems.add(place, message, remedy)


def _typeless(tag: Tag, given: Mapping[str, Any]) -> Tag:
    return replace(tag, point=replace(tag.point, type=""), kind=given.get("kind") or default_kind(""))


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key, "")
    return value if isinstance(value, str) else ""


def _without(secrets: set[str], text: str) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "…")
    return text
