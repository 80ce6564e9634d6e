"""A device's registers as the agent records them, without a socket: scans, changes, failures of the link.

What the sampler, its change filter and the recorder write one scan at a time is written for a stretch of scans at
once; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from drivers.quality import Quality
from scripts.sandbox.month.shifts import SECOND, Span
from scripts.sandbox.month.wires import Wire

Times = NDArray[np.int64]
ANSWER_US = 5_000
"""From the question to the answer."""
TIMEOUT_US = SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """``dark``: when it does not answer; ``off``: when nobody asks. ``wires``: by tag, in the order of the tags."""

    name: str
    interval_us: int
    wires: Mapping[str, Wire]
    dark: Sequence[Span] = ()
    off: Sequence[Span] = ()

    @property
    def phase_us(self) -> int:
        """From the moment at which it can be asked to the first question."""
        return 337_000 + 1000 * (crc32(self.name.encode()) % 400)

    def up(self, start: int, end: int) -> list[Span]:
        """When it is scanned, each stretch on a pace of its own."""
        edges = sorted([*self.dark, *self.off])
        begins = [start, *(stop for _, stop in edges)]
        ends = [*(begin for begin, _ in edges), end]
        return [(begin, stop) for begin, stop in zip(begins, ends, strict=True) if stop > begin]


def scans(device: Device, start: int, end: int, up: Sequence[Span]) -> Times:
    """When scans of a stretch of the month start."""
    step = device.interval_us
    found = []
    for begin, stop in up:
        low, high = max(begin, start), min(stop, end)
        first = begin + device.phase_us
        if low < high:
            found.append(np.arange(first + max(-(-(low - first) // step), 0) * step, high, step, dtype=np.int64))
    return np.concatenate(found) if found else np.empty(0, np.int64)


def record(device: Device, ids: Sequence[int], group: int, span: Span, up: Sequence[Span], full_every_us: int) -> Batch:
    """What is written of a stretch that begins with one of the spans of full records. ``ids``: of the tags."""
    start, end = span
    time = scans(device, start, end, up)
    before = scans(device, start - 2 * device.interval_us, start, up)[-1:]
    asked = np.concatenate((before, time))
    answered = asked + ANSWER_US
    shown = np.array([wire(answered) for wire in device.wires.values()]).reshape(len(device.wires), -1)
    kept = np.ones(shown.shape, np.bool_)
    kept[:, 1:] = shown[:, 1:] != shown[:, :-1]
    kept[:, _in_full(device, asked, full_every_us, up)] = True
    point, scan = np.nonzero(kept[:, len(before) :])
    scan += len(before)
    rows = [(ids[at], answered[scan[point == at]], shown[at, scan[point == at]]) for at in range(len(ids))]
    failed = [_failed(device, begin, up) for begin, _ in device.dark]
    bad = np.array(sorted(at for at in failed if start <= at < end), np.int64)
    return _batch(rows, ids, bad, group, time)


def _in_full(device: Device, asked: Times, every: int, up: Sequence[Span]) -> NDArray[np.bool_]:
    slot = (asked + ANSWER_US) // every
    first = np.append(True, slot[1:] != slot[:-1])
    last = (asked + device.interval_us) // every != asked // every
    result: NDArray[np.bool_] = first | last | np.isin(asked, [begin + device.phase_us for begin, _ in up])
    return result


def _failed(device: Device, dark: int, up: Sequence[Span]) -> int:
    """When the first question that is not answered is given up."""
    begin = max(start for start, stop in up if start < dark) + device.phase_us
    step = device.interval_us
    return begin + -(-(dark - begin) // step) * step + TIMEOUT_US


def _batch(
    rows: Sequence[tuple[int, Times, NDArray[np.float64]]], ids: Sequence[int], bad: Times, group: int, time: Times
) -> Batch:
    series = np.concatenate([np.full(len(at) + len(bad), number, np.int32) for number, at, _ in rows])
    times = np.concatenate([np.concatenate((at, bad)) for _, at, _ in rows])
    value = np.concatenate([np.concatenate((shown, np.full(len(bad), np.nan))) for _, _, shown in rows])
    quality = np.where(np.isnan(value), int(Quality.TIMEOUT), 0).astype(np.uint8)
    order = np.lexsort((times, series))
    return Batch(
        series=series[order],
        time=times[order],
        value=value[order],
        quality=quality[order],
        scan_group=np.full(len(time), group, np.int32),
        scan_time=time,
        scan_late=np.zeros(len(time), np.int32),
    )


def together(batches: Sequence[Batch]) -> Batch:
    """Of several devices, as a flush brings them."""
    series = np.concatenate([each.series for each in batches])
    order = np.argsort(series, kind="stable")
    scan_time = np.concatenate([each.scan_time for each in batches])
    later = np.argsort(scan_time, kind="stable")
    return Batch(
        series=series[order],
        time=np.concatenate([each.time for each in batches])[order],
        value=np.concatenate([each.value for each in batches])[order],
        quality=np.concatenate([each.quality for each in batches])[order],
        scan_group=np.concatenate([each.scan_group for each in batches])[later],
        scan_time=scan_time[later],
        scan_late=np.concatenate([each.scan_late for each in batches])[later],
    )
