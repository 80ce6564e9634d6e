"""What every point is now, and what each group has not been told yet. Pure.

Rows come in as they arrive; :meth:`Board.samples` hands a group what arrived since it was asked last
and, for points without news, their last value again, stamped with the latest answer: that answer vouches
that nothing has changed. Nothing is vouched for beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Point, PointGroup, Samples
from drivers.opcua.rows import Rows
from drivers.opcua.stamps import Stamps
from drivers.quality import Quality

MOST_ROWS = 200_000
"""Rows kept for a group that is not asked for; beyond it only the latest of each point stay."""
_CHARACTERS = 64
"""Of a text: so many weigh as much as a row."""
BAD = int(Quality.BAD)


@dataclass(slots=True)
class _Pending:
    """What a group has not been told yet."""

    members: NDArray[np.bool_]
    """By point."""
    index: NDArray[np.int32]
    blocks: list[tuple[Rows, int]] = field(default_factory=list)
    count: int = 0
    dropped: dict[int, int] = field(default_factory=dict)
    told: int = -1
    """The number of the answer that the group heard of last."""


class Board:
    """The points of one device, from one opening to the next."""

    def __init__(self, points: int) -> None:
        self.answers = 0
        """How many answers have come."""
        self.latest = 0
        """When the latest came: UTC microseconds."""
        self.overflows = 0
        """How many samples the device said it dropped."""
        self.value = np.full(points, np.nan)
        self.quality = np.full(points, int(Quality.DEVICE), np.uint8)
        self.source_time = np.zeros(points, np.int64)
        self.heard = np.zeros(points, np.int64)
        """When each point was last told of: UTC microseconds; 0: never."""
        self.text: dict[int, str] = {}
        self._pending: dict[PointGroup, _Pending] = {}
        self._all_in_one = False
        self._stamps = Stamps(points)

    def vouch(self, time: int) -> None:
        """An answer came at ``time``: what is known holds until then."""
        self.answers += 1
        self.latest = time

    def take(self, rows: Rows, time: int) -> None:
        """Rows that arrived at ``time``; call :meth:`vouch` for the answer that brought them."""
        index = rows.point
        self._stamps.judge(rows, time)
        self.value[index], self.quality[index] = rows.value, rows.quality
        self.source_time[index], self.heard[index] = rows.source_time, time
        if rows.text:
            self.text.update((int(index[row]), rows.text[row]) for row in sorted(rows.text))
        self.overflows += sum(rows.lost.values())
        for pending in self._pending.values():
            self._note(pending, rows, time)

    def _note(self, pending: _Pending, rows: Rows, time: int) -> None:
        if not self._all_in_one:
            mine = pending.members[rows.point]
            if not mine.any():
                return
            rows = rows if mine.all() else _where(rows, mine)
        pending.blocks.append((rows, time))
        pending.count += len(rows) + sum(map(len, rows.text.values())) // _CHARACTERS
        if pending.count > MOST_ROWS:
            self._thin(pending)

    def _thin(self, pending: _Pending) -> None:
        # Nobody asks for this group: its last values are on the board, the others are counted as lost.
        # They are told as values without news.
        for rows, _ in pending.blocks:
            found, counts = np.unique(rows.point, return_counts=True)
            for index, count in zip(found.tolist(), counts.tolist(), strict=True):
                pending.dropped[index] = pending.dropped.get(index, 0) + count
            for index, count in rows.lost.items():
                pending.dropped[index] = pending.dropped.get(index, 0) + count
        pending.blocks.clear()
        pending.count = 0

    def fail(self, points: Sequence[Point], quality: Quality, time: int) -> None:
        """Points that the server has no value for."""
        count = len(points)
        index = np.array([point.index for point in points], np.int32)
        bad = np.full(count, int(quality), np.uint8)
        self.take(Rows(index, np.full(count, np.nan), bad, np.zeros(count, np.int64)), time)

    def news(self, group: PointGroup) -> bool:
        """Whether an answer has come since the group was asked last."""
        return self._of(group).told < self.answers

    def samples(self, group: PointGroup) -> Samples:
        """At least one row a point, as the contract wants it."""
        pending = self._of(group)
        blocks, pending.blocks, pending.count = pending.blocks, [], 0
        dropped, pending.dropped, pending.told = pending.dropped, {}, self.answers
        lost = dict(dropped)
        for rows, _ in blocks:
            for index, count in rows.lost.items():
                lost[index] = lost.get(index, 0) + count
        silent = self._silent(pending, blocks)
        return self._joined(silent, blocks, lost)

    def _of(self, group: PointGroup) -> _Pending:
        pending = self._pending.get(group)
        if pending is None:
            index = np.array([point.index for point in group.points], np.int32)
            members = np.zeros(len(self.value), np.bool_)
            members[index] = True
            pending = self._pending[group] = _Pending(members, index)
            self._all_in_one = len(self._pending) == 1 and bool(members.all())
        return pending

    def _silent(self, pending: _Pending, blocks: list[tuple[Rows, int]]) -> NDArray[np.int32]:
        if not blocks:
            return pending.index
        told = np.zeros(len(self.value), np.bool_)
        for rows, _ in blocks:
            told[rows.point] = True
        return pending.index[~told[pending.index]]

    def _joined(self, silent: NDArray[np.int32], blocks: list[tuple[Rows, int]], lost: dict[int, int]) -> Samples:
        index = np.concatenate([silent, *(rows.point for rows, _ in blocks)])
        time = np.concatenate(
            [np.full(len(silent), self.latest, np.int64), *(np.full(len(rows), at, np.int64) for rows, at in blocks)]
        )
        source = np.concatenate([self.source_time[silent], *(rows.source_time for rows, _ in blocks)])
        text: dict[int, str] = {}
        if self.text:
            usable = self.quality[silent] < BAD
            text = {
                row: self.text[point]
                for row, point in enumerate(silent.tolist())
                if point in self.text and usable[row] and np.isnan(self.value[point])
            }
        start = len(silent)
        for rows, _ in blocks:
            text.update((start + row, said) for row, said in rows.text.items())
            start += len(rows)
        return Samples(
            index=index,
            time=time,
            value=np.concatenate([self.value[silent], *(rows.value for rows, _ in blocks)]),
            quality=np.concatenate([self.quality[silent], *(rows.quality for rows, _ in blocks)]),
            text=text,
            source_time=np.where(source == 0, time, source),
            lost=lost,
        )


def _where(rows: Rows, mask: NDArray[np.bool_]) -> Rows:
    position = np.cumsum(mask) - 1
    kept = set(rows.point[mask].tolist()) if rows.lost else set()
    return Rows(
        rows.point[mask],
        rows.value[mask],
        rows.quality[mask],
        rows.source_time[mask],
        {int(position[row]): text for row, text in rows.text.items() if mask[row]},
        {point: count for point, count in rows.lost.items() if point in kept},
    )
