"""The block codec gives every bit back, and notices every flipped one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.buffer.codec import CorruptBlock, decode, encode

VALUES = st.one_of(
    st.integers(-(2**53), 2**53).map(float),
    st.integers(-10000, 10000).map(lambda n: n / 10),
    st.floats(width=32),
    st.floats(),
    st.sampled_from([-0.0, 0.0, float("nan"), float("inf"), -float("inf"), 0.1 + 0.2, 1e300]),
)
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 2**51), VALUES, st.integers(0, 255), st.text(max_size=3)), max_size=60
)


def batch_of(rows: list[tuple[int, int, float, int, str]], source: bool = False) -> Batch:
    rows = list({(row[0], row[1]): row for row in rows}.values())
    time = np.array([row[1] for row in rows], np.int64)
    return Batch(
        series=np.array([row[0] for row in rows], np.int32),
        time=time,
        value=np.array([row[2] for row in rows], np.float64),
        quality=np.array([row[3] for row in rows], np.uint8),
        text={number: row[4] for number, row in enumerate(rows) if row[4]},
        source_time=time - 17 if source else None,
        scan_group=np.array([1, 2], np.int32),
        scan_time=np.array([5, 2**52], np.int64),
        scan_late=np.array([0, 3], np.int32),
    )


def bits(values: NDArray[np.float64]) -> list[int]:
    return np.where(np.isnan(values), np.nan, values).view(np.int64).tolist()  # type: ignore[no-any-return]


@given(ROWS, st.booleans())
def test_round_trip_is_exact(rows: list[tuple[int, int, float, int, str]], source: bool) -> None:
    batch = batch_of(rows, source)
    back = decode(encode(batch))
    order = np.lexsort((batch.time, batch.series))
    assert back.series.tolist() == batch.series[order].tolist()
    assert back.time.tolist() == batch.time[order].tolist()
    assert bits(back.value) == bits(batch.value[order])
    assert back.quality.tolist() == batch.quality[order].tolist()
    assert {n: back.text[n] for n in back.text} == {
        n: batch.text[int(old)] for n, old in enumerate(order) if int(old) in batch.text
    }
    if source and rows:
        assert back.source_time is not None and (back.source_time == back.time - 17).all()
    assert back.scan_group.tolist() == [1, 2]
    assert back.scan_time.tolist() == [5, 2**52]
    assert back.scan_late.tolist() == [0, 3]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_L12_every_damage_is_noticed(position: int, flip: int) -> None:
    data = bytearray(encode(batch_of([(1, n, n / 3, 0, "") for n in range(50)])))
    data[position % len(data)] ^= flip
    with pytest.raises(CorruptBlock):
        decode(bytes(data))


@pytest.mark.parametrize("size", range(12))
def test_L6_a_torn_block_is_noticed(size: int) -> None:
    with pytest.raises(CorruptBlock):
        decode(encode(batch_of([(1, 2, 3.0, 0, "")]))[:size])


def test_changing_registers_take_about_a_byte_each() -> None:
    rng = np.random.default_rng(1)
    points, scans = 2000, 5
    walk = 20_000 + np.cumsum(rng.integers(-60, 61, (scans, points)), axis=0)
    batch = Batch(
        series=np.tile(np.arange(points, dtype=np.int32), scans),
        time=np.repeat(np.arange(scans, dtype=np.int64) * 1_000_000, points),
        value=walk.reshape(-1) * 0.1,
        quality=np.zeros(scans * points, np.uint8),
    )
    # 0.1 × n is not always n / 10: some of the series need more, which is why the bound is above one byte.
    assert len(encode(batch)) < 6 * scans * points
    whole = Batch(series=batch.series, time=batch.time, value=walk.reshape(-1) * 1.0, quality=batch.quality)
    assert len(encode(whole)) < 1.5 * scans * points
