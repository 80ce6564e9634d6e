"""What a counter counted, by the path that its readings follow. Pure but for its state.

A path is a value, how fast it usually grows, and so where the next reading may lie. A reading elsewhere begins an
*excursion*, which counts nothing until what follows has decided it:

- the readings come back to the path: a dip or a spike, whatever was read meanwhile; it has not counted;
- they count on from where they are (:data:`RISES` times), or stay for :attr:`Rules.patience`: a rollover or a reset,
  where that explains them at a usual speed; a correction downwards, or a replaced meter, which counts on from its own
  reading; and where a step may or may not have been counted, what was counted is not known, and said so.

An excursion that is decided was perhaps a long dip after all: the path before it is remembered, and what was counted
since is taken off when the readings come back to it. Nothing here looks at the borders of periods: a :class:`Path` is
handed on, and each step is counted once, in the period in which it was decided. What was counted is never negative.

Tolerances (``proposals.json``): a reading is on the path when it is at most ``usual`` × the largest step of one look,
and ``sustained`` × the fastest minute × the time in which nobody looked, above it, or slightly below. A step of more
than ``beyond`` times that was not counted; between the two nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.config.model import Tag
from agent.digest.proposals import proposals

Times = NDArray[np.int64]
Floats = NDArray[np.float64]

MINUTE_US = 60_000_000
PATIENCE_US = 10_000_000
PATIENCE_LOOKS = 10
RISES = 2
"""After so many steps of its own an excursion is a path."""
FIRST_RISES = 3
"""A counter's first step is believed, and judged after so many more."""
FORGET_US = 7 * 86_400_000_000
"""A path that was left is come back to within this, or not at all."""
MOST_EVENTS = 1_000
"""In one period; what turns more often is no counter."""
NOISE = 2.0**-21
"""Relative: the last bits of a float32."""
RIPPLE = 2.0**-11
"""Relative: so far a counter may go back whose steps are not known yet."""
KINDS = ("resets", "rollovers", "decrements", "dips", "spikes", "replaced", "unexplained")
"""Of what is told of a counter; ``unexplained``: a step of which nobody knows whether it was counted."""

_NO, _LOOSE, _TIGHT = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``interval``: us between looks. ``tops``: engineering values at which it starts again from 0, ascending;
    ``declared``, or guessed."""

    interval: int
    tops: tuple[float, ...] = ()
    declared: bool = False

    @property
    def patience(self) -> int:
        """Known us after which an excursion is decided."""
        return max(PATIENCE_LOOKS * self.interval, PATIENCE_US)


class Excursion(msgspec.Struct, array_like=True):
    """``first``: its first reading, at ``begun``; ``gap``: us before it in which the path was not seen, ``idle``: since
    that moved. ``seen``, ``since``: good us known at its last and first reading; ``left``: at the first one off the
    path, of this excursion or of others just before."""

    first: float
    begun: int
    gap: int
    idle: int
    left: int
    since: int
    value: float
    time: int
    seen: int
    rises: int = 0
    usual: float = 0.0


class Left(msgspec.Struct, array_like=True):
    """A path that was left: where it stood, and that ``credit`` and what grew from ``since`` was counted instead."""

    value: float
    time: int
    credit: float
    since: float


class Path(msgspec.Struct, array_like=True):
    """``value``: the highest reading; ``time``: of the last one; ``seen``: good us known then, from the period's start
    on; ``moved``: when it grew. ``usual``: the largest step of one look, ``step``: the last one, which is believed with
    the next reading; ``pace``: units a us of the fastest minute. ``window``, ``window_value``: where the minute began.
    ``first``: the first step of all, after ``first_idle`` us, while it is not believed yet."""

    value: float
    time: int
    seen: int = 0
    moved: int = 0
    usual: float = 0.0
    step: float = 0.0
    pace: float = 0.0
    window: int = 0
    window_value: float = 0.0
    first: float = 0.0
    first_idle: int = 0
    rises: int = 0
    below: bool = False
    away: Excursion | None = None
    left: Left | None = None

    @classmethod
    def at(cls, value: float, time: int, seen: int = 0) -> Path:
        """A counter of which one reading is known."""
        return cls(value, time, seen, time, window=time, window_value=value)

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be decided, and its speed is known."""
        return self.away is None and not self.first and max(self.usual, self.step) > 0

    def handed_on(self, seen: int) -> Path:
        """For the period that begins where ``seen`` good us were known of this one."""
        away = self.away and msgspec.structs.replace(
            self.away, left=self.away.left - seen, since=self.away.since - seen, seen=self.away.seen - seen
        )
        return msgspec.structs.replace(self, seen=self.seen - seen, away=away)


class Follower:
    """One counter over one period. ``told``: how often, by kind."""

    def __init__(self, rules: Rules, path: Path | None = None) -> None:
        """``path``: as it was handed on, or of the last reading before the period."""
        self.rules = rules
        self.path = path and path.handed_on(0)
        self.told = dict.fromkeys(KINDS, 0)
        self._gained = 0.0
        self._base = path.value if path else 0.0
        self._largest = abs(self._base)
        self._events = 0
        self._counts: Floats = np.empty(0)
        self._row = 0
        self._rows: list[tuple[int, float]] = []

    @property
    def count(self) -> float:
        """What was counted, with no more digits than the readings have."""
        total = self._gained + (self.path.value - self._base if self.path else 0.0)
        return float(_rounded(np.array([total]), self._largest)[0])

    @property
    def undecided(self) -> bool:
        """Whether an excursion has not been decided."""
        return self.path is not None and self.path.away is not None

    @property
    def stuck(self) -> bool:
        """Whether it did not move at all."""
        return not self.count and not self.undecided and not any(self.told.values())

    @property
    def known(self) -> bool:
        """Whether all that was counted is."""
        return not self.told["unexplained"]

    def add(self, time: Times, value: Floats, seen: Times) -> Floats:
        """Finite good readings in the order of time, each with the good us known by then. Returns what had been
        counted by each, as far as is known after the last of them."""
        self._counts, self._rows, self._row = np.zeros(len(value)), [], 0
        while self._row < len(value):
            if self.path is not None and self.path.settled:
                self._row += self._fast(time[self._row :], value[self._row :], seen[self._row :])
            if self._row < len(value):
                at = self._row
                self._take(int(time[at]), float(value[at]), int(seen[at]))
                self._counts[at] = self._total()
                self._row += 1
        if len(value):
            self._largest = max(self._largest, float(np.abs(value).max()))
        return _rounded(self._counts, self._largest)

    def reached(self, path: Path) -> None:
        """The path went on as usual up to here."""
        self.path, self._largest = path, max(self._largest, abs(path.value))

    def close(self, seen: int) -> None:
        """The period has ended with so many good us known: what has waited long enough is decided."""
        away = self.path and self.path.away
        if away and seen - away.since >= self.rules.patience:
            self._settle()

    def _total(self) -> float:
        return self._gained + (self.path.value - self._base if self.path else 0.0)

    def _fast(self, time: Times, value: Floats, seen: Times) -> int:
        """How many of the readings go on as usual; they are taken."""
        path, some = self.path, 256
        assert path is not None
        time, value, seen = time[:some], value[:some], seen[:some]
        step = np.diff(value, prepend=path.value)
        gap = np.diff(time, prepend=path.time) - np.diff(seen, prepend=path.seen) - self.rules.interval
        usual = (step >= 0) & (step <= proposals().counter_usual * max(path.usual, path.step)) & (gap <= 0)
        count = len(value) if usual.all() else int(np.argmin(usual))
        if not count:
            return 0
        step, time, value = step[:count], time[:count], value[:count]
        path.usual = max(path.usual, path.step, float(step[:-1].max(initial=0.0)))
        path.step = float(step[-1])
        rose = np.flatnonzero(step)
        if len(rose):
            path.moved = int(time[rose[-1]])
        at = 0
        while (at := int(np.searchsorted(time, path.window + MINUTE_US))) < count:
            self._window(int(time[at]), float(value[at]))
        self._counts[self._row : self._row + count] = self._gained + (value - self._base)
        path.value, path.time, path.seen, path.below = float(value[-1]), int(time[-1]), int(seen[count - 1]), False
        return count

    def _take(self, time: int, value: float, seen: int) -> None:
        path = self.path
        if path is None:
            self.path, self._base = Path.at(value, time, seen), value
            return
        if path.away is not None and seen - path.away.since >= self.rules.patience:
            self._settle()
        if self._events > MOST_EVENTS:
            self._give_up(time, value, seen)
        elif path.away is not None:
            self._wander(path, path.away, time, value, seen)
        else:
            self._go_on(path, time, value, seen)

    def _fit(self, base: float, value: float, usual: float, gap: int, idle: int = 0) -> int:
        step, noise = value - base, NOISE * max(abs(base), abs(value))
        most = proposals()
        if step < -noise:
            least = most.counter_usual * usual or RIPPLE * base
            return _LOOSE if step >= -least and value > base / 2 else _NO
        if step <= noise:
            return _TIGHT
        if not usual:  # it has never moved: whatever is not absurd may be its first step
            longest = most.counter_first * max(abs(base), 1.0) * max(idle / MINUTE_US, 1.0)
            return _LOOSE if step <= longest else _NO
        unseen = self._pace(usual) * gap
        if step <= usual + unseen + noise:
            return _TIGHT
        return _LOOSE if step <= self._allowed(usual, gap) + noise else _NO

    def _pace(self, usual: float) -> float:
        return (self.path.pace if self.path else 0.0) or usual / self.rules.interval

    def _allowed(self, usual: float, gap: int) -> float:
        most = proposals()
        return most.counter_usual * usual + most.counter_sustained * self._pace(usual) * max(gap, 0)

    def _gap(self, time: int, seen: int, from_time: int, from_seen: int) -> int:
        return max(time - from_time - (seen - from_seen) - self.rules.interval, 0)

    def _go_on(self, path: Path, time: int, value: float, seen: int) -> None:
        usual, gap = max(path.usual, path.step, path.first), self._gap(time, seen, path.time, path.seen)
        # A fall back after a large step says that the step was none: it is not what is usual.
        believed = usual if value >= path.value else path.usual
        if self._fit(path.value, value, believed, gap, time - path.moved):
            self._accept(path, time, value, seen, gap)
            return
        self._events += 1
        left = path.left
        since = time - left.time - self.rules.interval if left else 0
        if left and since <= FORGET_US and self._fit(left.value, value, usual, max(since, 0)):
            self._come_back(path, left, time, value, seen)
            return
        turned = self._turned(path.value, value) if self.rules.declared else None
        if turned is not None and usual and turned <= self._allowed(usual, gap):
            self._switch(path, turned, "rollovers", value, value, time, seen)
            return
        path.step = 0.0
        path.away = Excursion(value, time, gap, time - path.moved, seen, seen, value, time, seen)
        self._rows = [(self._row, value)]

    def _accept(self, path: Path, time: int, value: float, seen: int, gap: int) -> None:
        step = value - path.value
        path.time, path.seen = time, seen
        if step < 0:
            lower = step < -NOISE * max(abs(path.value), abs(value))
            self.told["decrements"] += lower and not path.below
            path.below, path.step = path.below or lower, 0.0
            return
        path.usual, path.step, path.below = max(path.usual, path.step), 0.0, False
        if step > 0:
            first = not path.usual and not path.first
            if first:
                path.first, path.first_idle, path.rises = step, time - path.moved, 0
            elif not gap:
                path.step = step
            path.value, path.moved = value, time
            if path.first and not first:
                self._judge_first(path)
        if time >= path.window + MINUTE_US:
            self._window(time, value)

    def _judge_first(self, path: Path) -> None:
        path.rises += 1
        usual = max(path.usual, path.step)
        if path.rises <= FIRST_RISES or not usual:
            return
        if path.first > self._allowed(usual, path.first_idle):
            self.told["unexplained"] += 1
        elif path.first <= proposals().counter_usual * usual:
            path.usual = max(path.usual, path.first)
        path.first = 0.0

    def _window(self, time: int, value: float) -> None:
        path = self.path
        assert path is not None
        path.pace = max(path.pace, (value - path.window_value) / (time - path.window))
        path.window, path.window_value = time, value

    def _wander(self, path: Path, away: Excursion, time: int, value: float, seen: int) -> None:
        self._events += 1
        usual = max(path.usual, path.step, path.first)
        own, gap = max(usual, away.usual), self._gap(time, seen, away.time, away.seen)
        if value > away.value:  # it may have become faster all at once
            own = max(own, min(away.first - path.value, proposals().counter_beyond * usual))
        back = self._fit(path.value, value, usual, away.gap + time - away.begun)
        on = self._fit(away.value, value, own, gap)
        nearer = on == _LOOSE and proposals().counter_usual * (value - path.value) <= value - away.value
        # Where it did nothing but catch up it has counted the same either way.
        tie = back == on and not nearer
        if back and (back > on or nearer or (tie and not away.rises and self._explained(path.value, away, own)[0])):
            self.told["unexplained"] += tie
            self.told["dips" if away.first < path.value else "spikes"] += 1
            path.away, path.time, path.seen, path.below = None, time, seen, value < path.value
            if value > path.value:
                path.value, path.moved = value, time
            return
        if not on and seen - away.left >= self.rules.patience:
            self._give_up(time, value, seen)
            return
        if not on:
            self.told["dips" if away.first < path.value else "spikes"] += 1
            gap = away.gap + time - away.begun
            idle = away.idle + time - away.begun
            path.away = Excursion(value, time, gap, idle, away.left, seen, value, time, seen)
            self._rows = [(self._row, value)]
            return
        step = value - away.value
        if step > 0:
            away.rises, away.value = away.rises + 1, value
            away.usual = away.usual if gap else max(away.usual, step)
        away.time, away.seen = time, seen
        self._rows.append((self._row, away.value))
        if away.rises >= RISES:
            self._settle()

    def _settle(self) -> None:
        """An excursion has become the path."""
        path = self.path
        assert path is not None and path.away is not None
        away, path.away = path.away, None
        usual = max(path.usual, path.step, path.first, away.usual)
        kind, credit = self._explained(path.value, away, usual)
        before = self._total()
        path.usual = max(path.usual, away.usual)
        self._switch(path, credit, kind, away.first, away.value, away.time, away.seen)
        for row, value in self._rows:
            self._counts[row] = before + credit + (value - away.first)
        self._rows = []

    def _explained(self, old: float, away: Excursion, usual: float) -> tuple[str, float]:
        """What an excursion was that began at a reading and lasts, and what was counted by then."""
        step, most = away.first - old, proposals()
        if step > 0:
            if usual and step <= (allowed := self._allowed(usual, max(away.gap, away.idle - self.rules.interval))):
                return "", step
            return ("replaced" if usual and step > most.counter_beyond * allowed else "unexplained"), 0.0
        turned = self._turned(old, away.first)
        if not usual:
            if turned is not None and self.rules.declared and turned < self.rules.tops[0] / 2:
                return "rollovers", turned
            kind = "decrements" if away.first > old / 2 >= 0 else "resets" if away.first == 0 else "unexplained"
            return kind, 0.0
        allowed = self._allowed(usual, away.gap)
        if turned is not None and turned <= allowed:
            return "rollovers", turned
        if 0 <= away.first <= allowed:
            return "resets", away.first
        if away.first > old / 2 >= 0:
            return "decrements", 0.0
        return ("unexplained" if 0 < away.first <= most.counter_beyond * allowed else "replaced"), 0.0

    def _turned(self, old: float, new: float) -> float | None:
        """What was counted if it has started again from 0 at one of its tops."""
        near = proposals().counter_near
        for top in self.rules.tops:
            if (
                old <= top
                and 0 <= new < old
                and (self.rules.declared or (old >= (1 - near) * top and new <= near * top))
            ):
                return top - old + new
        return None

    def _switch(self, path: Path, credit: float, kind: str, first: float, value: float, time: int, seen: int) -> None:
        """The path goes on elsewhere: ``credit`` was counted up to the reading ``first`` there."""
        if kind:
            self.told[kind] += 1
        self._gained, self._base = self._total() + credit, first
        # A meter that stood at nothing was perhaps not awake; there is nothing to come back to.
        path.left = Left(path.value, path.time, credit, first) if kind and path.value > 0 else None
        path.value, path.time, path.seen, path.moved, path.below = value, time, seen, time, False
        path.window, path.window_value, path.step = time, value, 0.0

    def _come_back(self, path: Path, left: Left, time: int, value: float, seen: int) -> None:
        """The readings are where they were before an excursion that was believed: what it counted is taken off."""
        new = value - left.value - (left.credit + (path.value - left.since))
        self.told["dips" if left.since < left.value else "spikes"] += 1
        # What counted on meanwhile was perhaps no excursion, and this another meter that stands where the old one did;
        # and what was told may be more than was counted.
        if path.value > left.since or new < -NOISE * max(abs(value), abs(left.value)):
            self.told["unexplained"] += 1
        self._switch(path, max(new, 0.0), "", value, value, time, seen)

    def _give_up(self, time: int, value: float, seen: int) -> None:
        """It follows no path: what it counts is learned anew."""
        self.told["unexplained"] += 1
        self._gained, self._base = self._total(), value
        self.path = Path.at(value, time, seen)


def _rounded(total: Floats, largest: float) -> Floats:
    """Without the digits that a difference of readings of this size does not have."""
    if not np.isfinite(largest) or largest == 0:
        return total
    digits = 14 - int(np.floor(np.log10(largest)))
    return np.round(total, digits) if -300 < digits < 300 else total


def counter_of(tag: Tag) -> tuple[str, Rules]:
    """The rules of a counter, and a key: the tag, and how it is read. With another key a counter is another one, whose
    value says nothing of this one."""
    point = tag.point
    tops: tuple[float, ...] = ()
    if tag.rollover:
        tops = (float(tag.rollover),)
    elif point.offset == 0 and point.scale > 0:
        tops = tuple(sorted(top * point.scale for top in proposals().counter_tops))
    rules = Rules(interval=max(round(point.interval * 1e6), 1), tops=tops, declared=bool(tag.rollover))
    return f"{tag.series} {point.address} {point.type} {point.order} {point.scale!r} {point.offset!r}", rules
