"""What is wrong with some items, kept as it changes and told by cause. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from drivers.contract import DriverError, FailureKind, PointGroup
from drivers.opcua.columns import Columns
from drivers.opcua.items import Item
from drivers.opcua.remedies import remedy
from drivers.opcua.rows import Rows
from drivers.opcua.status import quality
from drivers.quality import Quality

BAD = np.uint32(0x80000000)
_SHOWN = 5
"""Tags that a message names."""


class Refusal(NamedTuple):
    """Why an item has no value."""

    quality: Quality
    reason: str
    remedy: str


class Faults:
    """The faults of these items; ``name`` gives a status code's name."""

    def __init__(self, items: Sequence[Item], name: Callable[[int], str]) -> None:
        self._items = items
        self._name = name
        self._known: dict[int, Refusal] = {}
        self.refused: dict[int, Refusal] = {}
        """Client handle → why it has no value."""
        self._wrong: dict[int, tuple[str, str]] = {}
        self._told: dict[PointGroup, tuple[DriverError, ...]] = {}

    def of_status(self, status: int) -> Refusal:
        """What a bad status code means."""
        if status not in self._known:
            self._known[status] = Refusal(quality(status), self._name(status), remedy(status))
        return self._known[status]

    def refuse(self, handle: int, refusal: Refusal) -> None:
        """Note that an item has no value."""
        self.refused[handle] = refusal
        self._told.clear()

    def forgive(self, handle: int) -> None:
        """Note that an item may have a value again."""
        if self.refused.pop(handle, None) is not None:
            self._told.clear()

    def note(self, columns: Columns, rows: Rows) -> None:
        """Learn from values, and from the rows made of them."""
        bad = columns.status & BAD != 0
        if self.refused or bad.any():
            self._learn(columns, bad.tolist())
        if self._wrong or rows.wrong:
            self._mistyped(rows.wrong, rows)

    def _learn(self, columns: Columns, bad: list[bool]) -> None:
        for row, handle in enumerate(columns.handle.tolist()):
            if bad[row]:
                refusal = self.of_status(int(columns.status[row]))
                if self.refused.get(handle) != refusal:
                    self.refuse(handle, refusal)
            elif self.refused.pop(handle, None):
                self._told.clear()

    def _mistyped(self, wrong: Mapping[int, tuple[str, str]], rows: Rows) -> None:
        before = dict(self._wrong)
        for point in rows.point.tolist():
            if point in wrong:
                self._wrong[point] = wrong[point]
            else:
                self._wrong.pop(point, None)
        if before != self._wrong:
            self._told.clear()

    def errors(self, group: PointGroup) -> tuple[DriverError, ...]:
        """One error a cause, about the points of a group; the same faults make the same words."""
        if not self.refused and not self._wrong:
            return ()
        if group not in self._told:
            self._told[group] = self._tell(group)
        return self._told[group]

    def _tell(self, group: PointGroup) -> tuple[DriverError, ...]:
        names = {point.index: point.name for point in group.points}
        causes: dict[Refusal, list[int]] = {}
        for handle in sorted(self.refused):
            for point in self._items[handle].points:
                if point.index in names:
                    causes.setdefault(self.refused[handle], []).append(point.index)
        for index in sorted(self._wrong):
            if index in names:
                causes.setdefault(Refusal(Quality.DECODE, *self._wrong[index]), []).append(index)
        return tuple(
            DriverError(
                f"{_listed([names[index] for index in indexes])}: {cause.reason}",
                kind=FailureKind.PARTIAL,
                quality=cause.quality,
                remedy=cause.remedy,
                points=tuple(indexes),
            )
            for cause, indexes in causes.items()
        )

    def summary(self, most: int = 20) -> dict[str, str]:
        """Tags without a value and why, at most so many."""
        found = {}
        for handle in sorted(self.refused)[:most]:
            found[self._items[handle].name] = self.refused[handle].reason
        return found


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"
