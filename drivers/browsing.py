"""What browsing a device finds: a tree, as a list from the top down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Where to look, and how far."""

    start: str = ""
    """A place as the protocol names it (a node id, a browse path); empty: where devices begin."""
    depth: int = 8
    """Levels below the start."""
    most: int = 2000
    """Things to look at before giving up, so that a server without end costs no time without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing in a device: something that holds others, or a value."""

    depth: int
    """Levels below the start, which has 0."""
    name: str
    place: str
    """As the protocol names it now: can be browsed."""
    address: str = ""
    """What a tag's ``address`` would be, in the most lasting form; empty: nothing to be read."""
    type: str = ""
    """A tag's ``type`` if there is one for it, else what the device calls it; empty: it is no value."""
    kind: Literal["", "gauge", "counter", "state", "text"] = ""
    """A tag's ``kind``, as far as one can guess; empty: no tag can be made of it."""
    count: int = 1
    """Elements of an array."""
    access: str = ""
    """``r``, ``w``, ``rw``, or ``-`` for nothing; empty: it is no value."""
    value: str = ""
    """What it is now, for people."""
    unit: str = ""
    note: str = ""
    minor: bool = False
    """A detail of its parent, such as a serial number: nothing to record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFound:
    """A value that tells the state of a machine by a known standard."""

    machine: str
    """Name of the machine, as far as the device tells it."""
    address: str
    type: str
    preset: Literal["", "packml", "machinery"] = ""
    map: Mapping[str, str] | None = None
    """Value → state, where no preset fits its numbers."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What was found. ``notes``: why it is not all, as lines for the operator."""

    items: tuple[Item, ...]
    states: tuple[StateFound, ...] = ()
    notes: tuple[str, ...] = ()
