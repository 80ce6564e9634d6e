"""The tables that indicators and findings follow: data, never code. What the agent brings with it may be
replaced as a whole by the configuration.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Window = Literal["period", "day", "week", "month"]
Level = Literal["improve", "warn", "void", "data"]
Scope = Literal["gateway", "device", "machine"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a table."""


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """The same in English and Chinese."""

    en: str
    zh: str


class BaselineRule(_Part, frozen=True):
    """When days make an energy baseline. ``least_points``: days; ``least_coverage``: share of a day that must be known;
    ``least_spread``: (most − fewest pieces) ÷ most pieces, below which a slope would be noise."""

    least_points: int
    least_coverage: float
    least_spread: float


class Row(_Part, frozen=True):
    """One indicator: a ``kpi`` over all machines, ``numerator`` ÷ ``denominator`` of what is known of the plant, or
    the ``baseline`` of each machine.

    ``edges``: upper ends of its bins but the last, ascending. ``known_by``: what its coverage is told from.
    """

    code: str
    basis: Literal["measured", "declared", "mixed"]
    standard: str
    kpi: str = ""
    numerator: str = ""
    denominator: str = ""
    baseline: BaselineRule | None = None
    edges: tuple[float, ...] = ()
    known_by: Literal["states", "energy"] = "states"


class IndicatorTable(_Part, frozen=True):
    """``links``: business links and the inputs of a machine that show that a link is collected automatically.
    ``protocols``: drivers that speak a mainstream protocol over a standard interface."""

    name: str
    protocols: tuple[str, ...]
    links: dict[str, tuple[str, ...]]
    rows: tuple[Row, ...]


class Limit(_Part, frozen=True):
    """A finding when ``measure`` is above or below. ``action``: instead of the rule's."""

    measure: str
    level: Level
    above: float | None = None
    below: float | None = None
    action: Texts | None = None

    def passed(self, value: float) -> bool:
        """Whether there is a finding; a value at the limit is none."""
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)


class Rule(_Part, frozen=True):
    """``limits``: the first that is passed counts. ``coverage``: what must be known (empty: the rule speaks in any
    case). ``least``: numbers below which the rule has nothing to say; ``least_recorded_h``: hours of records
    below which what it says is not to be relied on. ``measured_by``: what it measures, where that is not its id."""

    id: str
    number: int
    version: int
    scope: Scope
    window: Window
    limits: tuple[Limit, ...]
    title: Texts
    action: Texts
    coverage: Literal["", "planned", "energy"] = ""
    least: dict[str, float] = {}
    least_recorded_h: float = 0.0
    measured_by: str = ""

    @property
    def subject(self) -> str:
        """What it measures."""
        return self.measured_by or self.id


class FindingTable(_Part, frozen=True):
    """``least_coverage``: share of what a rule looks at that must be known."""

    name: str
    least_coverage: float
    rules: tuple[Rule, ...]
