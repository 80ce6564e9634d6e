"""Rows that make no block end with the device that gave them; nothing of them reaches what others recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent.sampling.sound import sound
from drivers.contract import Point, Samples
from drivers.quality import Quality

POINTS = [Point(index=number, name=f"t{number}", address="") for number in range(3)]


def block(**changes: Any) -> Samples:
    samples = Samples.of([(POINTS[0], 1.0), (POINTS[1], "text"), (POINTS[2], 3.0)], 5)
    for name, value in changes.items():
        setattr(samples, name, value)
    return samples


def test_what_is_a_block_stays_as_it_is_and_other_widths_are_settled() -> None:
    assert sound(block(), 3).value[2] == 3.0
    wide = sound(block(index=np.array([0, 1, 2]), quality=np.array([0, 64, 128])), 3)
    assert (wide.index.dtype, wide.quality.dtype) == (np.int32, np.uint8)
    assert sound(block(text={np.int64(1): "broken \ud800"}), 3).text[1].isprintable()
    long = sound(block(text={1: "x" * 100_000}), 3)
    assert (list(long.quality), long.text) == ([0, Quality.MALFORMED, 0], {})


@pytest.mark.parametrize(
    "make",
    [
        lambda: block(value=np.zeros(2)),
        lambda: block(quality=np.zeros(0, np.uint8)),
        lambda: block(time=[1, 2, 3]),
        lambda: block(time=np.zeros(3)),
        lambda: block(value=np.array(["1", "2", "3"])),
        lambda: block(value=np.array([object()] * 3)),
        lambda: block(index=np.array([0, 1, 3], np.int32)),
        lambda: block(index=np.array([-1, 1, 2], np.int32)),
        lambda: block(index=np.array([0, 1, 2**33])),
        lambda: block(quality=np.array([0, 0, 300])),
        lambda: block(source_time=np.zeros(1, np.int64)),
        lambda: block(text={9: "no such row"}),
        lambda: block(text={1: b"bytes"}),
        lambda: block(text={"1": "x"}),
        lambda: block(value=np.zeros((3, 1))),
    ],
)
def test_rows_that_make_no_block_are_refused(make: Callable[[], Samples]) -> None:
    with pytest.raises(TypeError):
        sound(make(), 3)
