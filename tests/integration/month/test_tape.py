"""What the simulated month writes for a stretch of scans at once is what the sampler writes one scan at a time."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from scripts.sandbox.month.machine import Month, live
from scripts.sandbox.month.plant import SHANGHAI
from scripts.sandbox.month.shifts import HOUR
from scripts.sandbox.month.tape import ANSWER_US, record
from tests.support.paced import sampled
from tests.support.sampling import RecordingSink

MONTH = Month(date(2026, 9, 14), 1, ZoneInfo("Asia/Shanghai"))
QUARTER = HOUR // 4


@pytest.mark.parametrize("name", ["press-2", "mold-1", "weld-1", "furnace-1"])
async def test_the_tape_is_what_the_sampler_writes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = next(each for each in SHANGHAI if each.name == name)
    device = live(machine, MONTH, [], seed=1).devices[0]
    start, end = MONTH.at(0, "06:00"), MONTH.at(0, "07:00")
    up = [(start, MONTH.at(1))]
    ids = [3 + 2 * at for at in range(len(device.wires))]
    sink = RecordingSink()
    await sampled(
        monkeypatch, list(device.wires.values()), sink, (start + device.phase_us, end),
        interval=machine.interval, full_every_us=QUARTER, series=ids, group=7, answer_us=ANSWER_US,
    )  # fmt: skip
    spans = range(start, end, QUARTER)
    written = [record(device, ids, 7, (begin, begin + QUARTER), up, QUARTER) for begin in spans]
    scans = [int(at) for each in written for at in each.scan_time]
    rows = [
        row
        for each in written
        for row in zip(
            each.series.tolist(), each.time.tolist(), each.value.tolist(), each.quality.tolist(), strict=True
        )
    ]
    assert [at for _, at, _ in sink.scans] == scans and len(scans) > 700
    assert sorted(sink.samples) == sorted(rows) and len(rows) > 40
