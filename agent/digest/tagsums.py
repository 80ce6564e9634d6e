"""Sums over the shared tags, all at once. Pure but for its state.

A *stretch* is the time between two samples of a tag for which scans vouched; its value is the first
sample's. Every mean, deviation and quantile is weighted with the stretches' lengths, so a value that
was recorded twice counts no more than one that was held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.digest.columns import heads, shifted
from agent.digest.counters import Path
from agent.digest.countersums import CounterSums
from agent.digest.quantiles import Instants
from agent.digest.scans import Positions, Times
from agent.digest.spec import DigestSpec
from agent.digest.states import StateSeconds
from agent.digest.windows import Period
from drivers.quality import Quality

Floats = NDArray[np.float64]


class TagSums:
    """Arrays aligned with ``spec.shared``.

    ``good`` and ``bad``: scans. ``weight``: us for which a good value was known. ``first`` is also the
    value from which ``moment1`` and ``moment2`` (sums of seconds × deviation and × its square) are
    taken: near the data, so that a small ripple on a large value is not rounded away.
    """

    def __init__(self, spec: DigestSpec, period: Period, paths: Mapping[str, Path]) -> None:
        """``paths``: of counters, as the period before handed them on."""
        count = len(spec.shared)
        self.good = np.zeros(count, np.int64)
        self.bad = np.zeros(count, np.int64)
        self.weight = np.zeros(count, np.int64)
        self.first: Floats = np.full(count, np.nan)
        self.last: Floats = np.full(count, np.nan)
        self.moment1: Floats = np.zeros(count)
        self.moment2: Floats = np.zeros(count)
        self.low: Floats = np.full(count, np.inf)
        self.high: Floats = np.full(count, -np.inf)
        kinds = np.array([tag.kind for tag in spec.shared])
        rules = {at: each.rules for at, each in enumerate(spec.shared) if each.rules is not None}
        handed_on = {at: paths[spec.shared[at].key] for at in rules if spec.shared[at].key in paths}
        self.counters = CounterSums(rules, count, handed_on)
        self.states = StateSeconds(count)
        self._is_counter = kinds == "counter"
        self._is_state = kinds == "state"
        self._is_gauge = kinds == "gauge"
        self.instants = Instants(self._is_gauge, period)
        # What the last sample of each tag said; nothing yet is a bad value that stands for no scan.
        self._value: Floats = np.full(count, np.nan)
        self._quality = np.full(count, int(Quality.BAD), np.uint8)
        self._nothing = np.ones(count, np.bool_)
        self._known = np.zeros(count, np.int64)
        self._scan = np.ones(count, np.int64)

    def add(
        self,
        tag: Positions,
        time: Times,
        value: Floats,
        quality: NDArray[np.uint8],
        known: Times,
        scan: Times,
        inside: NDArray[np.bool_],
    ) -> None:
        """Samples, those of a tag side by side. ``known`` and ``scan``: the group's counts at the sample;
        ``inside``: it is not from before the period."""
        head = heads(tag)
        tail = np.append(head[1:], len(tag)) - 1
        first, last = tag[head], tag[tail]
        nothing = np.zeros(len(tag), np.bool_)
        nothing[head] = self._nothing[first]
        old, was = shifted(value, head, self._value[first]), shifted(quality, head, self._quality[first])
        begin = shifted(known, head, self._known[first])
        counting = self._is_counter[tag]
        if counting.any():
            usable = counting & (quality < Quality.BAD) & np.isfinite(value)
            stretch = np.where((was < Quality.BAD) & np.isfinite(old), np.maximum(known - begin, 0), 0)
            seen = np.cumsum(stretch)
            offset = self.weight[first] - seen[head] + stretch[head]
            seen += np.repeat(offset, np.diff(np.append(head, len(tag))))
            self.counters.add(*(column[usable] for column in (tag, time, value, seen, inside)))
        self._spend(tag, old, was, nothing, (begin, known), scan - shifted(scan, head, self._scan[first]))
        self._value[last], self._quality[last] = value[tail], quality[tail]
        self._known[last], self._scan[last] = known[tail], scan[tail]
        self._nothing[last] = False

    def close(self, known: Times, scan: Times) -> None:
        """The period has ended; ``known`` and ``scan`` as they are then, one a shared tag."""
        self._spend(
            np.arange(len(self._value)),
            self._value,
            self._quality,
            self._nothing,
            (self._known, known),
            scan - self._scan,
        )
        self.counters.close(self.weight)

    def _spend(
        self,
        tag: Positions,
        value: Floats,
        quality: NDArray[np.uint8],
        nothing: NDArray[np.bool_],
        span: tuple[Times, Times],
        scans: Times,
    ) -> None:
        # What a sample stood for is known now that its successor is here.
        if not len(tag):
            return
        good = quality < Quality.BAD
        scans = np.maximum(scans, 0)
        head = heads(tag)
        self.good[tag[head]] += np.add.reduceat(np.where(good, scans, 0), head)
        if not good.all():
            self.bad[tag[head]] += np.add.reduceat(np.where(good | nothing, 0, scans), head)
        begin, end = span
        usable = good & np.isfinite(value) & (end > begin)
        if not usable.all():
            tag, value, begin, end = tag[usable], value[usable], begin[usable], end[usable]
        if not len(tag):
            return
        self._measure(tag, value, end - begin)
        gauge = self._is_gauge[tag]
        if gauge.all():
            self.instants.add(tag, value, begin, end)
        elif gauge.any():
            self.instants.add(tag[gauge], value[gauge], begin[gauge], end[gauge])
        state = self._is_state[tag]
        if state.any():
            self.states.add(tag[state], value[state], (end - begin)[state])

    def _measure(self, tag: Positions, value: Floats, weight: Times) -> None:
        head = heads(tag)
        each = tag[head]
        new = np.isnan(self.first[each])
        self.first[each[new]] = value[head[new]]
        self.last[each] = value[np.append(head[1:], len(tag)) - 1]
        self.low[each] = np.minimum(self.low[each], np.minimum.reduceat(value, head))
        self.high[each] = np.maximum(self.high[each], np.maximum.reduceat(value, head))
        self.weight[each] += np.add.reduceat(weight, head)
        # Sums of floats are taken one by one: a sum of sums would depend on how the batches were cut.
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float64: said as null in the report
            deviation = value - self.first[tag]
            weighted = deviation * (weight * 1e-6)
            np.add.at(self.moment1, tag, weighted)
            np.add.at(self.moment2, tag, weighted * deviation)

    def paths(self, keys: Sequence[str]) -> dict[str, Path]:
        """Of the counters, for the period that follows, by the shared tags' keys; only when closed."""
        return self.counters.handed_on(self.weight, keys)

    def mean_and_deviation(self) -> tuple[Floats, Floats]:
        """Time-weighted mean and standard deviation, NaN where no good value was known."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            seconds = self.weight * 1e-6
            shift = self.moment1 / seconds
            mean = np.clip(self.first + shift, self.low, self.high)
            variance = np.maximum(self.moment2 / seconds - shift * shift, 0.0)
        return mean, np.sqrt(variance)
