"""How long the agent was down in a period, from its starts and stops and from when nothing was scanned. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.buffer.records import Event
from agent.digest.windows import Period


def downtime(period: Period, events: Sequence[Event], silences: Sequence[tuple[int, int]]) -> int:
    """Microseconds of the period for which there is no evidence that the agent was running.

    Before a start it was down since the stop before it. Where that is missing (a crash, a power cut), it was
    down since the last sign of life: the beginning of the silence in which the start lies, or an event
    of a device. After a stop it is down until the next start.
    """
    total, covered = 0, period.start
    spans: list[tuple[int, int]] = []
    stopped: int | None = None
    sign = period.start
    for event in sorted(events, key=lambda each: each.time):
        if event.kind == "start":
            since = stopped if stopped is not None else max(sign, _silent_since(event.time, period, silences))
            spans.append((since, event.time))
            stopped = None
        elif event.kind == "stop" and stopped is None:
            stopped = event.time
        sign = max(sign, event.time)
    if stopped is not None:
        spans.append((stopped, period.end))
    for start, end in spans:
        start, end = max(start, covered), min(end, period.end)
        if end > start:
            total += end - start
            covered = end
    return total


def _silent_since(time: int, period: Period, silences: Sequence[tuple[int, int]]) -> int:
    for start, end in silences:
        # Scans after the period were not looked at: its end ends the last silence, whatever came then.
        if start <= time and (time <= end or end == period.end):
            return start
    return time
