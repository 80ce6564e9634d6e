"""Which meter feeds which: ``sub_meters`` of ``[[equipment]]`` must be a tree of machines that have meters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.config.model import EquipmentSection
from agent.config.problems import Place, Problems, did_you_mean, show

METER_REMEDY = "name its energy or power tag"


def check_sub_meters(equipment: Sequence[EquipmentSection], root: Place, problems: Problems) -> None:
    """Note what is no sub-meter, or feeds itself."""
    named = {each.name: each for each in equipment}
    for position, main in enumerate(equipment):
        place: Place = (root, position)
        if main.sub_meters and not _has_meter(main):
            problems.add((place, "sub_meters"), f"{show(main.name)} has no meter itself", METER_REMEDY)
        if main.sub_meters_complete and not main.sub_meters:
            problems.add((place, "sub_meters_complete"), "is given without sub_meters", "name the sub-meters")
        for at, name in enumerate(main.sub_meters):
            here = ((place, "sub_meters"), at)
            if name not in named:
                remedy = did_you_mean(name, [each for each in named if each != main.name], "name another [[equipment]]")
                problems.add(here, f"there is no equipment {show(name)}", remedy, unresolved=True)
                continue
            fault = _fault(main, name, main.sub_meters[:at], named)
            if fault:
                problems.add(here, *fault)


def _fault(
    main: EquipmentSection, name: str, before: Sequence[str], named: Mapping[str, EquipmentSection]
) -> tuple[str, str] | None:
    if name in before:
        return f"{show(name)} is given twice", "remove one of them"
    if main.name in _below(name, named):
        return f"{show(name)} feeds {show(main.name)} in turn" if name != main.name else "feeds itself", "remove it"
    if not _has_meter(named[name]):
        return f"{show(name)} has no meter", METER_REMEDY
    return None


def _below(name: str, named: Mapping[str, EquipmentSection]) -> set[str]:
    """``name`` and all that it feeds, directly or not."""
    found: set[str] = set()
    left = [name]
    while left:
        each = left.pop()
        if each in named and each not in found:
            found.add(each)
            left += named[each].sub_meters
    return found


def _has_meter(equipment: EquipmentSection) -> bool:
    return bool(equipment.energy or equipment.power)
