"""Batches as bytes: columns, each in the encoding that suits plant data, zstd, and a checksum. Pure.

Rows are stored ordered by (series, time), so that neighbours are successive values of one series, and
come back in that order; scans by (group, time). NaN comes back as *a* NaN, every other value bit for
bit. Columns that say nothing (all good, no time of the source's own) take no space.

Layout: ``GFB``, one byte of version, 8 bytes of BLAKE2b over all that follows, and a msgpack list.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.buffer.columns import Ints, Packer, Starts, Unpacker
from agent.buffer.values import FLOAT32, FLOAT64, NEAR, add_ulps, classify, to_floats, to_ints, ulps
from drivers.quality import Quality

MAGIC = b"GFB\x01"
_CHECKSUM = 8
_HEADER = len(MAGIC) + _CHECKSUM
_ONE_GROUP = np.zeros(1, np.intp)
_ABSENT_NONE, _ABSENT_WHERE_BAD, _ABSENT_BITS = range(3)


class CorruptBlock(Exception):
    """The bytes are not what was written."""


def encode(batch: Batch) -> bytes:
    """The batch as bytes; see :func:`decode`."""
    packer = Packer()
    order, times, code = _ordered(batch.series, batch.time)
    series = batch.series[order]
    starts = _starts(series)
    source = None if batch.source_time is None else (batch.source_time - batch.time)[order]
    if source is not None and not source.any():
        source = None
    quality = batch.quality[order]
    payload = [
        len(series),
        _pack_keys(packer, series, starts),
        [len(times), packer.column(times, _ONE_GROUP)],
        packer.column(code[order], starts),
        packer.planes(quality.astype(np.uint64)),
        _pack_values(packer, batch.value[order], series, quality),
        None if source is None else packer.column(source, starts),
        _pack_text(packer, batch.text, order),
        _pack_scans(packer, batch),
    ]
    data = msgspec.msgpack.encode(payload)
    return MAGIC + _checksum(data) + data


def decode(data: bytes) -> Batch:
    """The batch that :func:`encode` was given, in the order it is stored in. Raises CorruptBlock."""
    body = data[_HEADER:]
    if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : _HEADER] != _checksum(body):
        raise CorruptBlock("its header or checksum does not match")
    try:
        return _decode(msgspec.msgpack.decode(body))
    except (zstandard.ZstdError, msgspec.DecodeError, ValueError, TypeError, IndexError) as error:
        raise CorruptBlock(str(error)) from error


def _decode(payload: Any) -> Batch:
    unpacker = Unpacker()
    count, keys, (distinct, times), code, quality, values, source, text, scans = payload
    series, starts = _unpack_keys(unpacker, keys, count)
    at = unpacker.column(times, _ONE_GROUP, distinct)
    time = at[unpacker.column(code, starts, count)] if count else np.empty(0, np.int64)
    qualities = unpacker.planes(quality, count).astype(np.uint8)
    return Batch(
        series=series.astype(np.int32),
        time=time,
        value=_unpack_values(unpacker, values, series, qualities),
        quality=qualities,
        source_time=None if source is None else time + unpacker.column(source, starts, count),
        text=_unpack_text(unpacker, text),
        **_unpack_scans(unpacker, scans),
    )


def _checksum(data: bytes) -> bytes:
    return blake2b(data, digest_size=_CHECKSUM).digest()


def _ordered(keys: NDArray[Any], time: Ints) -> tuple[NDArray[np.intp], Ints, Ints]:
    """Order of the rows by (key, time), the distinct times, and each row's time as its number in them.

    Rows arrive in runs of one stamp (an answer's), so the runs are sorted, not the rows.
    """
    if not len(time):
        return np.empty(0, np.intp), time, time
    heads = np.concatenate(([0], np.flatnonzero(time[1:] != time[:-1]) + 1))
    distinct, of_run = np.unique(time[heads], return_inverse=True)
    code = np.repeat(of_run.astype(np.int64), np.diff(heads, append=len(time)))
    order = np.arange(len(time))
    if (of_run[1:] < of_run[:-1]).any():
        order = _stable_order(code)
    return order[_stable_order(keys[order])], distinct, code


def _stable_order(keys: NDArray[Any]) -> NDArray[np.intp]:
    # numpy sorts 16 bits by radix, in a tenth of the time.
    narrow = keys.astype(np.uint16) if keys.min() >= 0 and keys.max() < 65536 else keys
    return np.argsort(narrow, kind="stable")


def _starts(keys: NDArray[Any]) -> Starts:
    """First row of each key in an ordered column."""
    if not len(keys):
        return np.empty(0, np.intp)
    return np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))


def _pack_keys(packer: Packer, keys: NDArray[Any], starts: Starts) -> list[Any]:
    counts = np.diff(starts, append=len(keys))
    distinct = keys[starts].astype(np.int64)
    return [len(starts), packer.column(distinct, _ONE_GROUP), packer.planes(counts.astype(np.uint64))]


def _unpack_keys(unpacker: Unpacker, packed: Any, count: int) -> tuple[Ints, Starts]:
    groups, distinct, counts = packed
    lengths = unpacker.planes(counts, groups).astype(np.int64)
    keys = np.repeat(unpacker.column(distinct, _ONE_GROUP, groups), lengths)
    if len(keys) != count:
        raise ValueError("columns of different length")
    return keys, np.cumsum(lengths) - lengths


def _pack_values(packer: Packer, value: NDArray[np.float64], series: NDArray[Any], quality: Any) -> list[Any]:
    absent = np.isnan(value)
    if not absent.any():
        mode, bits = _ABSENT_NONE, b""
    elif (absent == (quality >= Quality.BAD)).all():
        mode, bits = _ABSENT_WHERE_BAD, b""
    else:
        mode, bits = _ABSENT_BITS, np.packbits(absent).tobytes()
    present, starts = (value, _starts(series)) if mode == _ABSENT_NONE else _present(value, series, ~absent)
    codes = classify(present, starts) if len(starts) else np.empty(0, np.uint8)
    of_row = np.repeat(codes, np.diff(starts, append=len(present)))
    whole, off = np.empty(len(present), np.int64), []
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        rows = of_row == code
        whole[rows] = to_ints(present[rows], code)
        if code & 0xF0 == NEAR:
            off.append([code, packer.column(ulps(present[rows], to_floats(whole[rows], code)), _ONE_GROUP)])
    streams = []
    for lowest, highest in _STREAMS:
        rows, heads = _stream(codes, of_row, starts, lowest, highest)
        streams.append(packer.column(whole[rows], heads))
    return [mode, packer.data(bits), packer.planes(codes.astype(np.uint64)), streams, off]


def _unpack_values(unpacker: Unpacker, packed: Any, series: Ints, quality: Any) -> NDArray[np.float64]:
    mode, bits, codes_packed, streams, off = packed
    value = np.full(len(series), np.nan)
    there = np.ones(len(series), bool)
    if mode == _ABSENT_WHERE_BAD:
        there = quality < Quality.BAD
    elif mode == _ABSENT_BITS:
        flags = np.frombuffer(unpacker.data(bits), np.uint8)
        there = ~np.unpackbits(flags, count=len(series)).astype(bool)
    starts = _starts(series[there])
    count = int(there.sum())
    codes = unpacker.planes(codes_packed, len(starts)).astype(np.uint8)
    of_row = np.repeat(codes, np.diff(starts, append=count))
    whole = np.empty(count, np.int64)
    for (lowest, highest), stream in zip(_STREAMS, streams, strict=True):
        rows, heads = _stream(codes, of_row, starts, lowest, highest)
        whole[rows] = unpacker.column(stream, heads, int(rows.sum()))
    present = np.empty(count)
    steps = dict(off)
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        rows = of_row == code
        floats = to_floats(whole[rows], code)
        if code in steps:
            floats = add_ulps(floats, unpacker.column(steps[code], _ONE_GROUP, len(floats)))
        present[rows] = floats
    value[there] = present
    return value


_STREAMS = ((0, FLOAT32), (FLOAT32, FLOAT64), (FLOAT64, 256))
"""Codes whose numbers are of about the same size and go together."""


def _present(value: Any, series: Any, there: NDArray[np.bool_]) -> tuple[NDArray[np.float64], Starts]:
    return value[there], _starts(series[there])


def _stream(codes: Any, of_row: Any, starts: Starts, lowest: int, highest: int) -> tuple[NDArray[np.bool_], Starts]:
    """Rows of the series whose code is in [lowest, highest), and where each begins among them."""
    rows = (of_row >= lowest) & (of_row < highest)
    chosen = (codes >= lowest) & (codes < highest)
    counts = np.diff(starts, append=len(of_row))[chosen]
    return rows, np.cumsum(counts) - counts


def _pack_text(packer: Packer, text: Mapping[int, str], order: NDArray[np.intp]) -> Any:
    if not text:
        return None
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    rows = sorted((int(place[old]), words) for old, words in text.items())
    return packer.data(msgspec.msgpack.encode(rows))


def _unpack_text(unpacker: Unpacker, packed: Any) -> dict[int, str]:
    return dict(msgspec.msgpack.decode(unpacker.data(packed))) if packed else {}


def _pack_scans(packer: Packer, batch: Batch) -> list[Any]:
    order, _, _ = _ordered(batch.scan_group, batch.scan_time)
    group = batch.scan_group[order]
    starts = _starts(group)
    late = (batch.scan_late[order].astype(np.int64) & 0xFFFF_FFFF).view(np.uint64)
    return [
        len(group),
        _pack_keys(packer, group, starts),
        packer.column(batch.scan_time[order], starts),
        packer.planes(late),
    ]


def _unpack_scans(unpacker: Unpacker, packed: Any) -> dict[str, Any]:
    count, keys, times, late = packed
    group, starts = _unpack_keys(unpacker, keys, count)
    return {
        "scan_group": group.astype(np.int32),
        "scan_time": unpacker.column(times, starts, count),
        "scan_late": unpacker.planes(late, count).astype(np.uint32).view(np.int32),
    }
