"""What refers to tags: ``[digest] share`` and ``[[equipment]]``."""

from __future__ import annotations

import re
from functools import cached_property

from agent.config.devices import Devices
from agent.config.metering import check_sub_meters
from agent.config.model import CalendarSection, EquipmentSection, FileSection, StateSection, Tag
from agent.config.problems import Place, Problems, did_you_mean, show
from agent.config.tightening import never_shared

STATES = ("executing", "standby", "setup", "maintenance", "fault", "off", "unknown")

_SPAN = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00))")


class TagNames:
    """All tags by their full names, and arrays by theirs; gathered only if something refers to a tag."""

    def __init__(self, devices: Devices) -> None:
        self._devices = {device.name for device in devices.built}
        self._unsound = devices.unsound
        self._unnamed = devices.unnamed
        self._built = devices.built

    @cached_property
    def tags(self) -> dict[str, Tag]:
        """By full name."""
        return {tag.series: tag for device in self._built for tag in device.tags}

    @cached_property
    def arrays(self) -> dict[str, Tag]:
        """The first element of each array, by the array's name."""
        arrays: dict[str, Tag] = {}
        for name, tag in self.tags.items():
            if name.endswith("]"):
                arrays.setdefault(name.partition("[")[0], tag)
        return arrays

    def find(self, name: str, place: Place, problems: Problems, *, arrays: bool = False) -> Tag | None:
        """The tag of that full name; None after a problem was noted, or where none can be told.

        ``arrays``: an array's name stands for its elements, and gives the first.
        """
        found = self.tags.get(name) or (self.arrays.get(name) if arrays else None)
        if found is not None:
            return found
        device, dot, _ = name.partition(".")
        if device in self._unsound or (self._unnamed and device not in self._devices):
            return None  # its own problems are told; this one may be a consequence
        if name in self.arrays:
            problems.add(place, f"{show(name)} is an array", f'name an element, such as "{name}[0]"')
            return None
        if not dot:
            remedy = "write device.tag" if device in self._devices or not self.tags else ""
            problems.add(place, f"{show(name)} is not the full name of a tag", remedy or self._near(name, arrays))
        elif device not in self._devices:
            remedy = did_you_mean(device, sorted(self._devices))
            problems.add(place, f"there is no device {show(device)}", remedy, unresolved=True)
        else:
            problems.add(place, f"there is no tag {show(name)}", self._near(name, arrays), unresolved=True)
        return None

    def _near(self, name: str, arrays: bool) -> str:
        device = name.partition(".")[0]
        known = [*self.tags, *(self.arrays if arrays else ())]
        own = [each for each in known if each.partition(".")[0] == device]
        return did_you_mean(name, own or known, "gongfu-edge check lists the tags of a sound file")


def check_relations(file: FileSection, names: TagNames, root: Place, problems: Problems) -> None:
    """Note every reference that leads nowhere, or to a tag that must not be used so."""
    _check_share(file, names, ((root, "digest"), "share"), problems)
    seen: dict[str, int] = {}
    for position, equipment in enumerate(file.equipment):
        place = ((root, "equipment"), position)
        if not equipment.name.strip():
            problems.add((place, "name"), "is empty", "name the machine")
        elif equipment.name in seen:
            message = f"{show(equipment.name)} is also the name of equipment[{seen[equipment.name]}]"
            problems.add((place, "name"), message, "rename one of them")
        seen.setdefault(equipment.name, position)
        _check_equipment(equipment, names, place, problems)
    check_sub_meters(file.equipment, (root, "equipment"), problems)


def _check_share(file: FileSection, names: TagNames, place: Place, problems: Problems) -> None:
    authorised = file.enterprise.enterprise_authorised
    for position, name in enumerate(file.digest.share):
        here = (place, position)
        tag = names.find(name, here, problems, arrays=True)
        if tag is None:
            continue
        if tag.kind == "text":
            problems.add(here, f"{show(name)} is text, which never leaves the plant", "remove it from share")
        if never_shared(tag.series, file.digest.never_share):
            problems.add(here, f"{show(name)} is in never_share", "remove it from share")
        elif tag.sensitivity == 3:
            problems.add(here, f"{show(name)} has sensitivity 3 and never leaves the plant", "remove it from share")
        elif tag.sensitivity == 2 and not authorised:
            remedy = "remove it, or set enterprise_authorised = true in [enterprise] if the enterprise agrees"
            problems.add(here, f"{show(name)} has sensitivity 2 and needs the enterprise's authorisation", remedy)


def _check_equipment(equipment: EquipmentSection, names: TagNames, place: Place, problems: Problems) -> None:
    for key in ("produced", "good", "scrap", "rework", "power", "energy"):
        name = getattr(equipment, key)
        tag = names.find(name, (place, key), problems) if name else None
        if tag is not None and tag.kind == "text":
            problems.add((place, key), f"{show(name)} is text and no number", "name a numeric tag")
    if equipment.ideal_cycle is not None and equipment.ideal_cycle <= 0:
        problems.add((place, "ideal_cycle"), "must be more than 0", 'the time for one piece, such as "4.2s"')
    if equipment.contract_kw is not None and equipment.contract_kw <= 0:
        problems.add((place, "contract_kw"), "must be more than 0", "the power in kW that the contract allows")
    if equipment.micro_stop <= 0:
        problems.add((place, "micro_stop"), "must be more than 0", '"5m" is usual')
    if equipment.state is not None:
        _check_state(equipment.state, names, (place, "state"), problems)
    if equipment.calendar is not None:
        _check_calendar(equipment.calendar, (place, "calendar"), problems)


def _check_state(state: StateSection, names: TagNames, place: Place, problems: Problems) -> None:
    sources = [key for key in ("tag", "bits", "power") if getattr(state, key)]
    if not sources:
        problems.add((place, "tag"), "missing key", "name the tag that tells the state, or remove state")
    elif len(sources) > 1:
        problems.add((place, sources[1]), f"is given beside {sources[0]}", "keep one of them")
    if state.tag:
        _check_state_word(state, names, place, problems)
    for name, tag in state.bits.items():
        here: Place = ((place, "bits"), name)
        if name not in STATES or name == "unknown":
            problems.add(here, "is no state", did_you_mean(name, STATES))
        names.find(tag, here, problems)
    if state.power:
        names.find(state.power, (place, "power"), problems)
        if not state.executing_above > state.standby_above >= 0:
            message = "must be more than standby_above"
            problems.add((place, "executing_above"), message, "the power in kW above which the machine produces")
    if not 0 <= state.hysteresis < 1:
        problems.add((place, "hysteresis"), "is out of range", "0.1 stands for 10 %")


def _check_state_word(state: StateSection, names: TagNames, place: Place, problems: Problems) -> None:
    tag = names.find(state.tag, (place, "tag"), problems)
    text = tag is not None and tag.kind == "text"
    if text and state.preset:
        problems.add((place, "preset"), f"is of numbers, and {show(state.tag)} is text", "write the words in map")
    if not state.map and not state.preset:
        problems.add(place, "has neither map nor preset", 'add map = { 0 = "off", 1 = "executing" }, or a preset')
    for key, value in state.map.items():
        if value not in STATES:
            problems.add(((place, "map"), key), f"{show(value)} is no state", did_you_mean(value, STATES))
        if tag is not None and not text and not _is_number(key):
            remedy = 'write the number that the tag has in this state; for words the tag needs kind = "text"'
            problems.add(((place, "map"), key), "is no whole number", remedy)


def _is_number(key: str) -> bool:
    digits = key.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 20


def _check_calendar(calendar: CalendarSection, place: Place, problems: Problems) -> None:
    for key in ("shifts", "breaks"):
        for position, span in enumerate(getattr(calendar, key)):
            if not is_span(span):
                remedy = 'write "HH:MM-HH:MM", such as "08:00-16:00" or "16:00-24:00"'
                problems.add(((place, key), position), f"{show(span)} is no span of time", remedy)
    if calendar.shifts and not calendar.days:
        problems.add((place, "days"), "missing key", 'add the days with shifts, such as days = ["mon", "tue"]')
    elif (calendar.days or calendar.breaks) and not calendar.shifts:
        problems.add((place, "shifts"), "missing key", 'add shifts = ["08:00-16:00"]')


def is_span(text: str) -> bool:
    """Whether ``text`` is ``HH:MM-HH:MM``; one that ends before it begins passes midnight."""
    return _SPAN.fullmatch(text) is not None and text[:5] != text[6:]
