"""Full records: what held when a digest's period began is known, though nothing changed for hours."""

from __future__ import annotations

import numpy as np
import pytest

from agent.app import record_in_full_us
from tests.support.digest_plants import SECOND, START, configuration
from tests.support.paced import sampled
from tests.support.sampling import RecordingSink

MINUTE = 60 * SECOND


async def test_the_first_and_the_last_scan_of_each_span_are_recorded_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = RecordingSink()
    span = (START + 1_300_000, START + 2 * MINUTE + 20 * SECOND)
    await sampled(monkeypatch, [np.zeros_like], sink, span, interval=2.0, full_every_us=MINUTE)
    assert [(time - START - 5_000) / SECOND for _, time, _, _ in sink.samples] == [1.3, 59.3, 61.3, 119.3, 121.3]
    assert len(sink.scans) == 70


async def test_scans_slower_than_the_span_are_all_recorded_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = RecordingSink()
    await sampled(monkeypatch, [np.zeros_like], sink, (START, START + 5 * MINUTE), interval=90.0, full_every_us=MINUTE)
    assert len(sink.samples) == len(sink.scans) == 4


@pytest.mark.parametrize(
    ("period", "expected"), [("5s", 5), ("15m", 900), ("20m", 600), ("36m", 720), ("1h", 900), ("1d", 900)]
)
def test_every_period_begins_with_a_full_record(period: str, expected: float) -> None:
    seconds = float(period[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[period[-1]]
    assert record_in_full_us(configuration([], period=seconds)) == expected * SECOND
