"""Reading ``config.toml``: either a whole valid configuration, or every problem at once."""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agent.config.audiences import check_audiences
from agent.config.bounds import OF_FILE, OF_OVERLAY, Limits, TooMuch, check_text, check_values
from agent.config.canonical import configuration_hash
from agent.config.checks import check_sections
from agent.config.convert import BAD, Context, build, convert_fields
from agent.config.devices import Devices, build_devices
from agent.config.holidays import with_calendars
from agent.config.model import Configuration, DigestSection, FileSection, GatewaySection
from agent.config.overlay import SECTIONS, Overlay, RemoteResolver, lay_over
from agent.config.problems import Place, Problems
from agent.config.references import Absent, Resolver, Unreadable, read_file
from agent.config.relations import TagNames, check_relations
from agent.config.replaced import TYPES, check_table, with_tables
from agent.config.tags import MOST_TAGS_OUTSIDE
from agent.config.tightening import check_grants, keep_secret, tighten
from agent.errors import ConfigurationInvalid
from agent.table import one_line

LARGEST_FILE = 64 * 1024 * 1024

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path, environ: Mapping[str, str] = os.environ, overlay: Overlay | None = None) -> Configuration:
    """Read a configuration file; raises :class:`ConfigurationInvalid` with every problem in it.

    ``environ``: where ``{ env = "NAME" }`` is looked up. Tables and secrets with a relative path are
    looked for beside the file. ``overlay``: what the platform lays over it.
    """
    return loads(read_text(path), path, environ, overlay)


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises :class:`ConfigurationInvalid`."""
    try:
        data = read_file(path, LARGEST_FILE)
    except Unreadable as error:
        remedy = error.remedy
        if isinstance(error, Absent):
            remedy = "copy config.example.toml there, or name another with --config"
        raise _invalid(f"{error}; {remedy}") from None
    return _decode(data, path.name)


def loads(
    text: str, path: Path, environ: Mapping[str, str] = os.environ, overlay: Overlay | None = None
) -> Configuration:
    """The same for text that need not be in a file; ``path``: what it is called, and where it would be."""
    raw = tables(text, path.name)
    if overlay is None:
        return _make(raw, path.name, path, Resolver(environ, path.parent))
    over = check_overlay(overlay)
    local = _make(raw, path.name, path, Resolver(environ, path.parent))
    resolver = Resolver(environ, path.parent, overlay.decrypt)
    return _make(lay_over(raw, over), f"{path.name} with {overlay.name}", path, resolver, _Outside(local, over))


@dataclass(frozen=True, slots=True)
class _Outside:
    """What is laid over a local file, and what that file says alone."""

    local: Configuration
    over: Mapping[str, Any]

    @property
    def devices(self) -> frozenset[str]:
        """Names of the devices that it defines."""
        tables = self.over.get("device")
        return frozenset(str(each.get("name")) for each in tables) if isinstance(tables, list) else frozenset()


def tables(text: str, name: str, limits: Limits = OF_FILE) -> dict[str, Any]:
    """The tables of TOML text called ``name``. Raises :class:`ConfigurationInvalid`."""
    try:
        check_text(text, limits)
        raw = _parse(text.removeprefix("\ufeff"), name)
        check_values(raw, limits)
    except TooMuch as error:
        raise _invalid(f"{name}: {error}; {error.remedy}") from None
    return raw


def check_overlay(overlay: Overlay) -> dict[str, Any]:
    """The tables of an overlay, if all that it holds is sound in itself; else :class:`ConfigurationInvalid`.

    Whether its tags and equipment fit the local file is only known when both are laid together.
    """
    raw = tables(overlay.text, overlay.name, OF_OVERLAY)
    problems = Problems()
    root: Place = overlay.name
    for section in raw:
        if section not in SECTIONS:
            problems.add((root, section), "cannot be changed from outside", f"an overlay holds {', '.join(SECTIONS)}")
    context = Context(problems, RemoteResolver(overlay.decrypt))
    made = convert_fields({key: raw[key] for key in ("digest", "equipment") if key in raw}, FileSection, root, context)
    _check_digest(made.get("digest") if isinstance(made, dict) else None, (root, "digest"), problems)
    if isinstance(digest := raw.get("digest"), Mapping) and "never_share" in digest:
        place = ((root, "digest"), "never_share")
        problems.add(place, "cannot be changed from outside", "only the local file says what is never shared")
    _refuse_holidays(raw.get("equipment"), (root, "equipment"), problems)
    if "device" in raw:
        devices = raw["device"]
        _refuse_files(devices, (root, "device"), problems)
        build_devices(devices, (root, "device"), Path(), context, MOST_TAGS_OUTSIDE)
    if problems:
        raise ConfigurationInvalid(problems.lines, problems.unresolved, problems.places)
    return raw


def _check_digest(digest: Any, place: Place, problems: Problems) -> None:
    for name in TYPES if isinstance(digest, DigestSection) else ():
        if getattr(digest, f"{name}_file"):
            problems.add((place, f"{name}_file"), "names a file of the gateway", f"write the table as [digest.{name}]")
        if table := getattr(digest, name):
            check_table(table, (place, name), problems)


def _refuse_files(devices: Any, place: Place, problems: Problems) -> None:
    for position, table in enumerate(devices if isinstance(devices, list) else ()):
        if isinstance(table, Mapping) and table.get("tags_file"):
            here = ((place, position), "tags_file")
            problems.add(here, "names a file of the gateway", "write the tags as [[device.tag]], or name a template")


def _refuse_holidays(equipment: Any, place: Place, problems: Problems) -> None:
    for position, table in enumerate(equipment if isinstance(equipment, list) else ()):
        calendar = table.get("calendar") if isinstance(table, Mapping) else None
        if isinstance(calendar, Mapping) and calendar.get("holidays_file"):
            here = (((place, position), "calendar"), "holidays_file")
            problems.add(here, "names a file of the gateway", "write its dates as holidays and working_days")


def _make(
    raw: Mapping[str, Any], name: str, path: Path, resolver: Resolver, outside: _Outside | None = None
) -> Configuration:
    problems = Problems()
    root: Place = name
    folder = path.parent
    context = Context(problems, resolver)
    file = _file_section({key: value for key, value in raw.items() if key != "device"}, root, context)
    file = with_calendars(file, folder, root, problems)
    file = msgspec.structs.replace(file, digest=with_tables(file.digest, folder, (root, "digest"), context))
    devices = build_devices(raw["device"], (root, "device"), folder, context) if "device" in raw else Devices()
    check_sections(file, root, problems)
    if outside is not None:
        tightened = tighten(outside.local, devices.built, outside.devices)
        devices.built = tightened.devices
        check_grants(outside.local, file, outside.over, tightened.same, root, problems)
    devices.built = keep_secret(devices.built, file.digest.never_share)
    names = TagNames(devices)
    check_relations(file, names, root, problems)
    check_audiences(file, names, root, problems)
    if problems:
        raise ConfigurationInvalid(problems.lines, problems.unresolved, problems.places)
    file = msgspec.structs.replace(file, device=tuple(devices.sections))
    return Configuration(
        file=file,
        path=path,
        devices=tuple(devices.built),
        hash=configuration_hash(file, devices.built),
        warnings=problems.warnings,
    )


def _file_section(raw: Mapping[str, Any], root: Place, context: Context) -> FileSection:
    """Everything but devices. What is missing or beyond repair is replaced by a default, for the checks that follow."""
    given = convert_fields(raw, FileSection, root, context)
    assert isinstance(given, dict)  # the whole of a TOML document is a table
    file = build(FileSection, given, root, context)
    if isinstance(file, FileSection):
        return file
    rest = {key: value for key, value in given.items() if value is not BAD}
    return FileSection(**{**rest, "gateway": GatewaySection(name="gateway")})


def _decode(data: bytes, name: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _invalid(f"{name}: is UTF-16 and not UTF-8; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid(f"{name}:{line}: is not UTF-8; save the file as UTF-8") from None


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _invalid(f"{name}: is nested too deeply; write fewer brackets within one another") from None
    except ValueError as error:  # TOMLDecodeError, and numbers that Python refuses to read
        message = str(error)
    found = _POSITION.search(message)
    if found is None:
        raise _invalid(f"{name}: {message}; correct the TOML")
    line, column = found[1], found[2]
    if line is None:
        lines = text.split("\n")
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    raise _invalid(f"{name}:{line}:{column}: {message[: found.start()]}{_hint(message)}")


def _hint(message: str) -> str:
    """The remedy for what people who do not know TOML run into."""
    if "Unescaped" in message or "escape" in message:
        return "; write \\ twice, or put the text in 'single quotes'"
    if "Invalid value" in message:
        return "; put text in quotes"
    if "Cannot overwrite" in message or "Cannot declare" in message or "twice" in message:
        return "; it is given twice: remove one, or write [[…]] for a list of tables"
    return ""


def _invalid(line: str) -> ConfigurationInvalid:
    return ConfigurationInvalid((one_line(line),))
