"""What changes between two configurations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.config.canonical import device_form
from agent.config.model import Configuration, Device, Tag

LIVE = ("device", "equipment", "digest", "enterprise", "remote", "audience")
"""Sections that a running agent takes over; the others need a restart."""


@dataclass(frozen=True, slots=True)
class Difference:
    """``added``, ``removed`` and ``altered`` are names of devices; ``tags`` full names of the tags that are new
    or read differently; ``sections`` every section of the file that differs, devices apart."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    altered: tuple[str, ...]
    tags: tuple[str, ...]
    sections: tuple[str, ...]
    moves: bool = False
    """Whether digests, which went to a platform, go to it another way, or to another one."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered or self.sections)

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """Sections that differ and cannot be taken over by a running agent."""
        live = (*LIVE, "platform") if self.moves else LIVE
        return tuple(section for section in self.sections if section not in live)

    def lines(self) -> list[str]:
        """One line each, for people."""
        texts = [f"device {name}: added" for name in self.added]
        texts += [f"device {name}: removed" for name in self.removed]
        for name in self.altered:
            own = [tag for tag in self.tags if tag.startswith(f"{name}.")]
            shown = ", ".join(own[:5]) + (f" and {len(own) - 5} more" if len(own) > 5 else "")
            texts.append(f"device {name}: changed{f' ({shown})' if own else ''}")
        return texts + [f"[{section}]: changed" for section in self.sections]


def difference(old: Configuration, new: Configuration) -> Difference:
    """From ``old`` to ``new``."""
    before = {device.name: device for device in old.devices}
    after = {device.name: device for device in new.devices}
    altered = [name for name in after if name in before and device_form(before[name]) != device_form(after[name])]
    added = tuple(name for name in after if name not in before)
    tags: list[str] = []
    for name in (*added, *altered):
        tags += changed_tags(before.get(name), after[name])
    sections = tuple(
        field
        for field in old.file.__struct_fields__
        if field != "device" and getattr(old.file, field) != getattr(new.file, field)
    )
    return Difference(
        added=added,
        removed=tuple(name for name in before if name not in after),
        altered=tuple(altered),
        tags=tuple(tags),
        sections=sections,
        moves="platform" in sections and None not in (old.file.platform, new.file.platform),
    )


def difference_of_forms(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """The same of two canonical forms (:func:`agent.config.canonical.canonical`), decoded: also of a configuration
    whose file is not there any more. ``tags``: all that differ."""
    before, after = ({each["name"]: each for each in form["device"]} for form in (old, new))
    added = tuple(name for name in after if name not in before)
    altered = tuple(name for name in after if name in before and before[name] != after[name])
    was = {str(tag[0]): tag for name in altered for tag in before[name]["tags"]}
    tags = [tag[0] for name in (*added, *altered) for tag in after[name]["tags"] if was.get(tag[0]) != tag]
    sections = tuple(
        name for name in {**old, **new} if name not in ("version", "device") and old.get(name) != new.get(name)
    )
    return Difference(
        added=added,
        removed=tuple(name for name in before if name not in after),
        altered=altered,
        tags=tuple(tags),
        sections=sections,
        moves="platform" in sections and None not in (old.get("platform"), new.get("platform")),
    )


def changed_tags(old: Device | None, new: Device) -> list[str]:
    """The tags of ``new`` that ``old`` has not, or reads differently; all of them if the connection differs."""
    if not new.enabled:
        return []
    if old is None or not old.enabled or (old.driver, old.options) != (new.driver, new.options):
        return [tag.series for tag in new.tags]
    known = {tag.series: _reading(tag) for tag in old.tags}
    return [tag.series for tag in new.tags if known.get(tag.series) != _reading(tag)]


def _reading(tag: Tag) -> tuple[object, ...]:
    # As text, for NaN among the invalid values equals nothing, itself included.
    point = tag.point
    return tuple(repr(getattr(point, name)) for name in point.__slots__ if name != "index")
