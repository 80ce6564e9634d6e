"""The fold over a period's batches: constant memory a tag, whatever the number of samples. Pure.

A series keeps a sample's value and quality until its next sample. What the sample stands for is known
when the next one comes (or the period ends): as many microseconds as the group's *known* grew by
meanwhile (see :mod:`agent.digest.scans`), and as many scans. The result does not depend on how the
samples were cut into batches, to the last bit: every sum is taken in the order of the samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.digest.columns import heads, shifted
from agent.digest.counters import Path
from agent.digest.equipment.states import code_of
from agent.digest.equipment.tracks import Tracks
from agent.digest.scans import Knots, Positions, ScanTimeline, Times
from agent.digest.spec import DigestSpec
from agent.digest.tagsums import TagSums
from agent.digest.windows import Period
from drivers.quality import Quality

_NOTHING = 255
"""Stands for the quality of a series of which nothing has been recorded; no real code."""


@dataclass(slots=True, eq=False)
class Rows:
    """Samples, those of a tag side by side in the order of time. ``tag`` is the position in ``DigestSpec.series``."""

    tag: Positions
    time: Times
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.tag)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Those rows; the same object when that is all."""
        if mask.all():
            return self
        return Rows(self.tag[mask], self.time[mask], self.value[mask], self.quality[mask])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """What was seen in a period. Aligned with the spec's groups: ``scans``, ``late``, ``longest_gap``
    (us). ``qualities``: int64 [device, quality code], scans × points. ``silences``: stretches without
    any scan, (from, to) in us. ``tags``: sums of the shared tags. ``tracks``: what machines are measured by."""

    scans: Times
    late: Times
    longest_gap: Times
    qualities: NDArray[np.int64]
    silences: tuple[tuple[int, int], ...]
    tags: TagSums
    tracks: Tracks


class Accumulator:
    """Folds batches into :class:`Observations`. Feed batches in the order of the store, then ``result``.

    Batches may reach back before the period (``spec.lookback_us``): what is found there only says
    which values hold when the period starts.
    """

    def __init__(self, spec: DigestSpec, period: Period, paths: Mapping[str, Path] | None = None) -> None:
        """``paths``: of shared counters, as the period before handed them on."""
        self._spec = spec
        self._period = period
        self._scans = ScanTimeline(spec.groups, period, spec.lookback_us)
        self._tags = TagSums(spec, period, paths or {})
        self._row_of_series = _dense(spec.series)
        self._shared_of_row = np.full(len(spec.series), -1, np.intp)
        self._shared_of_row[[each.row for each in spec.shared]] = np.arange(len(spec.shared))
        self._group = spec.group.astype(np.intp)
        device = np.array([group.device for group in spec.groups], np.intp)
        self._device_code = (device[self._group] if len(device) else self._group) * 256
        self._qualities = np.zeros(len(spec.devices) * 256, np.int64)
        rows = {each.row for machine in spec.machines for each in machine.inputs}
        self._tracks = Tracks(rows, self._group, len(spec.groups))
        words = {each.row for machine in spec.machines for each in machine.state if each.kind == "text"}
        self._words = spec.series[sorted(words)]
        """Series that tell a machine's state in text."""
        count = len(spec.series)
        self._quality = np.full(count, _NOTHING, np.uint8)
        self._scan = np.ones(count, np.int64)
        self._time = np.full(count, self._scans.base, np.int64)
        self._undecided: Rows | None = None

    def add(self, batch: Batch) -> None:
        """Take a batch into account; O(rows), no Python loop over them."""
        rows = self._rows(batch)
        if self._undecided is not None:
            rows, self._undecided = _merged(self._undecided, rows), None
        knots = self._scans.advance(batch.scan_group, batch.scan_time, batch.scan_late)
        self._note_scans(knots)
        self._take(rows, knots, closing=False)

    def result(self) -> Observations:
        """End the period; the accumulator is used up."""
        knots = self._scans.close()
        self._note_scans(knots)
        if self._undecided is not None:
            self._take(self._undecided, knots, closing=True)
        scans = np.maximum(self._scans.scans[self._group] + 1, 1)
        np.add.at(self._qualities, self._device_code + self._quality, np.maximum(scans - self._scan, 0))
        shared = np.array([each.row for each in self._spec.shared], np.intp)
        group = self._group[shared]
        self._tags.close(self._scans.known[group], scans[shared])
        qualities = self._qualities.reshape(-1, 256)
        qualities[:, _NOTHING] = 0
        return Observations(
            scans=self._scans.scans,
            late=self._scans.late,
            longest_gap=self._scans.longest_gap,
            qualities=qualities,
            silences=tuple(self._scans.silences),
            tags=self._tags,
            tracks=self._tracks,
        )

    def _rows(self, batch: Batch) -> Rows:
        series, time = batch.series, batch.time
        step = np.diff(series)
        in_order = not ((step < 0) | ((step == 0) & (np.diff(time) < 0))).any()
        tag = self._row_of_series[np.clip(series, -1, len(self._row_of_series) - 2)]
        rows = Rows(tag, time, self._values(batch), batch.quality)
        rows = rows.where((tag >= 0) & (time >= self._scans.base) & (time < self._period.end))
        return rows if in_order else _sorted(rows)

    def _values(self, batch: Batch) -> NDArray[np.float64]:
        if not batch.text or not len(self._words):
            return batch.value
        places = np.fromiter(batch.text, np.intp)
        value = batch.value.copy()
        for place in places[np.isin(batch.series[places], self._words)].tolist():  # rare: a state that changed
            value[place] = code_of(batch.text[place])
        return value

    def _take(self, rows: Rows, knots: Knots, *, closing: bool) -> None:
        if not len(rows):
            return
        # A series never goes back in time; where the clock was set back, it stands still.
        time = np.maximum(rows.time, self._time[rows.tag])
        group = self._group[rows.tag]
        at, time = self._scans.find(knots, group, time)
        after = time - knots.time[at]
        overdue = after > self._scans.interval[group]
        if overdue.any() and not closing:
            undecided = self._undecidable(rows, knots, at, after, overdue, group)
            if undecided.any():
                self._undecided = rows.where(undecided)
                keep = ~undecided
                rows, time, at, group, overdue = rows.where(keep), time[keep], at[keep], group[keep], overdue[keep]
                if not len(rows):
                    return

        if not self._tracks.empty:
            self._tracks.add(rows.tag, time, rows.value, rows.quality)
        bad = rows.quality >= Quality.BAD
        # Which scan a sample speaks for: the last one, except that a bad sample after the next one was
        # due tells of a scan that failed.
        scan = np.maximum(knots.scans[at] + (overdue & bad), 1)
        head = heads(rows.tag)
        tail = np.append(head[1:], len(rows)) - 1
        first = rows.tag[head]
        before = shifted(rows.quality, head, self._quality[first])
        spoken = np.maximum(scan - shifted(scan, head, self._scan[first]), 0)
        np.add.at(self._qualities, self._device_code[rows.tag] + before, spoken)
        last = rows.tag[tail]
        self._quality[last], self._scan[last], self._time[last] = rows.quality[tail], scan[tail], time[tail]

        shared = self._shared_of_row[rows.tag]
        mine = shared >= 0
        if not mine.any():
            return
        if not mine.all():
            rows, shared, time, at, scan = rows.where(mine), shared[mine], time[mine], at[mine], scan[mine]
        known = self._scans.known_at(knots, at, time)
        self._tags.add(shared, time, rows.value, rows.quality, known, scan, time >= self._period.start)

    def _note_scans(self, knots: Knots) -> None:
        if not self._tracks.empty:
            settled = ~knots.open  # what the last scan vouches for is known with the next one
            self._tracks.scanned(knots.group[settled], knots.time[settled], knots.until[settled])

    def _undecidable(
        self,
        rows: Rows,
        knots: Knots,
        at: Positions,
        after: Times,
        overdue: NDArray[np.bool_],
        group: Positions,
    ) -> NDArray[np.bool_]:
        # Samples after the next scan was due, while it may still come in time: whether they lie in a
        # gap is known with the next scan. A later sample beyond the limit says that it did not come.
        beyond = knots.open[at] & (after > self._scans.limit[group])
        silent = np.zeros(len(self._spec.series), np.bool_)
        silent[rows.tag[beyond]] = True
        result: NDArray[np.bool_] = overdue & knots.open[at] & ~silent[rows.tag]
        return result


def _merged(old: Rows, new: Rows) -> Rows:
    return _sorted(
        Rows(
            np.concatenate((old.tag, new.tag)),
            np.concatenate((old.time, new.time)),
            np.concatenate((old.value, new.value)),
            np.concatenate((old.quality, new.quality)),
        )
    )


def _sorted(rows: Rows) -> Rows:
    order = np.lexsort((rows.time, rows.tag))
    return Rows(rows.tag[order], rows.time[order], rows.value[order], rows.quality[order])


def _dense(series: NDArray[np.int32]) -> NDArray[np.intp]:
    # Series id → row; the last two entries are -1, for ids that are not ours.
    table = np.full(int(series.max(initial=-1)) + 3, -1, np.intp)
    known = np.flatnonzero(series >= 0)
    table[series[known]] = known
    return table
