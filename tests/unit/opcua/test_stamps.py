"""Time stamps of the source: kept, and marked where they cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.opcua.rows import Rows
from drivers.opcua.stamps import DAY_US, Stamps
from drivers.quality import Quality

NOW = 1_800_000_000_000_000
IN_2000 = 946_684_800_000_000


def row(value: float, source_time: int, quality: Quality = Quality.GOOD) -> Rows:
    return Rows(
        np.zeros(1, np.int32), np.array([value]), np.array([quality], np.uint8), np.array([source_time], np.int64)
    )


def judged(stamps: Stamps, made: Rows, time: int) -> int:
    stamps.judge(made, time)
    return int(made.quality[0])


@pytest.mark.parametrize(
    ("source_time", "quality"),
    [
        (NOW, Quality.GOOD),
        (0, Quality.GOOD),  # none at all
        (NOW - 30 * DAY_US, Quality.GOOD),  # a set point that has not changed for a month
        (NOW + DAY_US, Quality.GOOD),
        (NOW + DAY_US + 1, Quality.CLOCK),
        (IN_2000, Quality.CLOCK),  # L29: a PLC whose clock was never set
    ],
)
def test_a_first_value_may_be_old_but_not_from_the_future_or_before_opc_ua(source_time: int, quality: Quality) -> None:
    assert judged(Stamps(1), row(1.0, source_time), NOW) == quality


def test_a_new_value_cannot_have_been_stamped_long_before_the_last_look() -> None:
    stamps = Stamps(1)
    old = NOW - 3 * DAY_US
    assert judged(stamps, row(1.0, old), NOW) == Quality.GOOD
    assert judged(stamps, row(1.0, old), NOW + 1) == Quality.GOOD
    assert judged(stamps, row(2.0, old + 5), NOW + 2) == Quality.CLOCK
    assert judged(stamps, row(3.0, NOW + 3), NOW + 3) == Quality.GOOD


def test_a_bad_value_stays_what_it_is() -> None:
    assert judged(Stamps(1), row(np.nan, IN_2000, Quality.DEVICE), NOW) == Quality.DEVICE
