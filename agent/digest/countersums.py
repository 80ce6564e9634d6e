"""What the shared counters counted, all at once. Pure but for its state.

Counters that go on as usual are advanced together; one that does not is followed by itself (:mod:`.counters`), with
the same result, however the samples were cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.digest.columns import heads, shifted
from agent.digest.counters import MINUTE_US, Floats, Follower, Path, Rules, Times
from agent.digest.proposals import proposals

Positions = NDArray[np.intp]


class CounterSums:
    """One follower a counter, by position among the shared tags."""

    def __init__(self, rules: Mapping[int, Rules], count: int, paths: Mapping[int, Path]) -> None:
        """``rules``: of the tags that are counters. ``count``: of all tags. ``paths``: as the period before handed
        them on."""
        self._followers = {at: Follower(each, paths.get(at)) for at, each in rules.items()}
        self._carried = np.zeros(count, np.bool_)
        self._carried[list(paths)] = True
        self._interval = np.zeros(count, np.int64)
        self._interval[list(rules)] = [each.interval for each in rules.values()]
        self._fast = np.zeros(count, np.bool_)
        """Those that are advanced here; what is below is more recent than their follower's path."""
        self._value, self._usual, self._step, self._pace, self._window_value = np.zeros((5, count))
        self._time, self._seen, self._moved, self._window = np.zeros((4, count), np.int64)
        for at in rules:
            self._adopt(at)

    def add(self, tag: Positions, time: Times, value: Floats, seen: Times, inside: NDArray[np.bool_]) -> None:
        """Good finite samples of counters, those of a tag side by side; see :meth:`TagSums.add`. ``seen``: good us
        known of the period by then. A sample from before the period only says from where its counting starts, where
        that was not handed on."""
        if not inside.all():
            self._begin(tag[~inside], time[~inside], value[~inside])
            tag, time, value, seen = tag[inside], time[inside], value[inside], seen[inside]
        if not len(tag):
            return
        head = heads(tag)
        first = tag[head]
        step = value - shifted(value, head, self._value[first])
        gap = time - shifted(time, head, self._time[first]) - seen + shifted(seen, head, self._seen[first])
        limit = proposals().counter_usual * np.maximum(self._usual, self._step)
        usual = (step >= 0) & (step <= limit[tag]) & (gap <= self._interval[tag])
        fast = np.logical_and.reduceat(usual, head) & self._fast[first]
        bounds = np.append(head, len(tag))
        for number in np.flatnonzero(~fast).tolist():
            part = slice(bounds[number], bounds[number + 1])
            self._follow(int(first[number]), time[part], value[part], seen[part])
        rows = np.repeat(fast, np.diff(bounds))
        if rows.any():
            self._advance(tag[rows], time[rows], value[rows], seen[rows], step[rows])

    def _begin(self, tag: Positions, time: Times, value: Floats) -> None:
        tail = np.append(heads(tag)[1:], len(tag)) - 1
        for row in tail[~self._carried[tag[tail]]].tolist():
            at = int(tag[row])
            self._followers[at] = Follower(self._followers[at].rules, Path.at(float(value[row]), int(time[row])))
            self._adopt(at)

    def _advance(self, tag: Positions, time: Times, value: Floats, seen: Times, step: Floats) -> None:
        head = heads(tag)
        tail = np.append(head[1:], len(tag)) - 1
        each = tag[head]
        believed = step.copy()
        believed[tail] = 0.0  # the last one is believed with the next reading
        self._usual[each] = np.maximum(
            np.maximum(self._usual[each], self._step[each]), np.maximum.reduceat(believed, head)
        )
        self._step[each] = step[tail]
        rose = np.maximum.reduceat(np.where(step > 0, time, np.iinfo(np.int64).min), head)
        self._moved[each] = np.maximum(self._moved[each], rose)
        while True:
            over = np.flatnonzero(time >= self._window[tag] + MINUTE_US)
            if not len(over):
                break
            over = over[heads(tag[over])]
            own = tag[over]
            fastest = (value[over] - self._window_value[own]) / (time[over] - self._window[own])
            self._pace[own] = np.maximum(self._pace[own], fastest)
            self._window[own], self._window_value[own] = time[over], value[over]
        self._value[each], self._time[each], self._seen[each] = value[tail], time[tail], seen[tail]

    def _follow(self, at: int, time: Times, value: Floats, seen: Times) -> None:
        follower = self.of(at)
        follower.add(time, value, seen)
        self._adopt(at)

    def _adopt(self, at: int) -> None:
        path = self._followers[at].path
        self._fast[at] = path is not None and path.settled
        if path is not None:
            self._value[at], self._time[at], self._seen[at] = path.value, path.time, path.seen
            self._usual[at], self._step[at], self._pace[at], self._moved[at] = (
                path.usual, path.step, path.pace, path.moved,
            )  # fmt: skip
            self._window[at], self._window_value[at] = path.window, path.window_value

    def of(self, at: int) -> Follower:
        """The follower of a counter, with all that was added."""
        follower = self._followers[at]
        if self._fast[at] and follower.path is not None:
            follower.reached(
                msgspec.structs.replace(
                    follower.path, value=float(self._value[at]), time=int(self._time[at]), seen=int(self._seen[at]),
                    moved=int(self._moved[at]), usual=float(self._usual[at]), step=float(self._step[at]),
                    pace=float(self._pace[at]), window=int(self._window[at]),
                    window_value=float(self._window_value[at]), below=False,
                )
            )  # fmt: skip
        return follower

    def close(self, seen: Times) -> None:
        """The period has ended; ``seen``: good us known of each tag."""
        for at in self._followers:
            self.of(at).close(int(seen[at]))
            self._adopt(at)

    def handed_on(self, seen: Times, keys: Sequence[str]) -> dict[str, Path]:
        """The paths for the period that follows, by the keys of the tags."""
        paths = ((at, self.of(at).path) for at in self._followers)
        return {keys[at]: path.handed_on(int(seen[at])) for at, path in paths if path is not None}
