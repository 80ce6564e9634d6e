"""The durable store: blocks, events, losses, digests, uploads in one SQLite file.

The rules: what ``append`` or ``add_digest`` returned from is on disk. The files never grow beyond the
byte cap: the oldest raw blocks go first, settled digests next, an unacknowledged digest last. Whatever
goes is written to the loss ledger in the same transaction.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.buffer.codec import CorruptBlock, decode, encode
from agent.buffer.database import LOG_RESERVE, Database, Row, StoreCorrupt, StoreUnavailable
from agent.buffer.records import DigestRecord, Event, Loss, Stats, Upload

__all__ = ["DigestRecord", "Event", "Loss", "Stats", "Store", "StoreUnavailable", "Upload"]

log = logging.getLogger(__name__)

FOREVER = 2**62
_KEEP_SETTLED = 96
"""Settled digests that are kept whatever the cap: a day of quarter hours."""
_SHED_SHARE = 20
"""When the cap is reached, a twentieth of it is made free at once, so that it is not reached again at
every flush."""
_READ_BLOCKS = 8
_DIGEST = "seq, kind, first, last, hash, previous, body, jws, state, reason, settled"


class Store:
    """The gateway's memory. Open it with :meth:`open`; one process writes, others may read."""

    def __init__(self, database: Database, max_bytes: int, retention_us: int) -> None:
        self._db = database
        self._max_bytes = max_bytes
        self._retention_us = retention_us
        self._written = 0

    @classmethod
    async def open(
        cls, path: Path, *, max_bytes: int = 2_000_000_000, retention_us: int = FOREVER, read_only: bool = False
    ) -> Store:
        """Open or make the store. A file that is no sound database is set aside and a new one started."""
        try:
            return cls(await Database.open(path, read_only=read_only), max_bytes, retention_us)
        except StoreCorrupt as error:
            if read_only:
                raise
            aside = _set_aside(path)
            log.error("%s; moved to %s, starting anew", error, aside)
        store = cls(await Database.open(path, read_only=False), max_bytes, retention_us)
        now = time.time_ns() // 1000
        await store.add_loss(Loss(start=0, end=now, cause="corrupt", count=0))
        return store

    async def close(self) -> None:
        """Close; may be called twice."""
        await self._db.close()

    # -- series and groups ---------------------------------------------------------------------------

    async def series_ids(self, names: Sequence[str]) -> NDArray[np.int32]:
        """int32 ids of the series, in the order of ``names``; unknown ones are made."""
        known = {name: number for number, name in (await self.series_names()).items()}
        new = [(name,) for name in dict.fromkeys(names) if name not in known]
        if new:
            async with self._db.transaction() as connection:
                await connection.executemany("INSERT INTO series (name) VALUES (?)", new)
            known = {name: number for number, name in (await self.series_names()).items()}
        return np.array([known[name] for name in names], np.int32)

    async def series_names(self) -> dict[int, str]:
        """Every series: id → full name."""
        return dict(await self._db.read("SELECT id, name FROM series"))

    async def group_id(self, device: str, interval_us: int) -> int:
        """Id of a scan group; made when it is new."""
        await self._db.write(
            "INSERT INTO scan_group (device, interval) VALUES (?, ?) ON CONFLICT DO NOTHING", [(device, interval_us)]
        )
        (row,) = await self._db.read(
            "SELECT id FROM scan_group WHERE device = ? AND interval = ?", (device, interval_us)
        )
        return int(row[0])

    async def groups(self) -> dict[int, tuple[str, int]]:
        """Every scan group: id → (device, interval in microseconds)."""
        rows = await self._db.read("SELECT id, device, interval FROM scan_group")
        return {number: (device, interval) for number, device, interval in rows}

    # -- blocks --------------------------------------------------------------------------------------

    async def append(self, batch: Batch, epoch: int = 0) -> None:
        """Store a batch; on disk when this returns. Raises StoreUnavailable when the disk does not take it."""
        times = [column for column in (batch.time, batch.scan_time) if len(column)]
        if not times:
            return
        data = encode(batch)
        await self._make_room(len(data))
        first, last = min(int(column.min()) for column in times), max(int(column.max()) for column in times)
        await self._db.write(
            "INSERT INTO block (epoch, first, last, samples, data) VALUES (?, ?, ?, ?, ?)",
            [(epoch, first, last, len(batch), data)],
        )
        self._written += len(data)

    async def blocks(self, start: int, end: int) -> AsyncIterator[Batch]:
        """Whole blocks that overlap [start, end), oldest first, with corrected times.

        A block that does not decode is set aside, entered in the ledger, and skipped.
        """
        after: Row | None = None
        while True:
            rows = await self._block_rows(start, end, after)
            for row in rows:
                batch = await self._decoded(row)
                if batch is not None:
                    yield batch
            if len(rows) < _READ_BLOCKS:
                return
            after = rows[-1]

    async def _block_rows(self, start: int, end: int, after: Row | None) -> list[Row]:
        # Pages by id: blocks are written in time order but for corrections, and ids never repeat.
        return await self._db.read(
            "SELECT block.id, first + COALESCE(correction, 0), last + COALESCE(correction, 0),"
            " COALESCE(correction, 0), samples, data"
            " FROM block LEFT JOIN clock_epoch ON clock_epoch.id = block.epoch"
            " WHERE block.id > ? AND last + COALESCE(correction, 0) >= ? AND first + COALESCE(correction, 0) < ?"
            f" ORDER BY block.id LIMIT {_READ_BLOCKS}",
            (after[0] if after else -1, start, end),
        )

    async def _decoded(self, row: Row) -> Batch | None:
        number, first, last, correction, samples, data = row
        try:
            batch = decode(data)
        except CorruptBlock as error:
            log.error("block %d is corrupt (%s); set aside", number, error)
            try:
                await self._quarantine(number, str(error), Loss(first, last, "corrupt", count=samples))
            except StoreUnavailable as unavailable:
                log.debug("not set aside: %s", unavailable)  # opened read only: the agent will do it
            return None
        if not correction:
            return batch
        return dataclasses.replace(
            batch, time=batch.time + correction, scan_time=batch.scan_time + correction, corrected=True
        )

    async def _quarantine(self, number: int, reason: str, loss: Loss) -> None:
        async with self._db.transaction() as connection:
            await connection.execute(
                "INSERT INTO quarantine (reason, data) SELECT ?, data FROM block WHERE id = ?", (reason, number)
            )
            await connection.execute("DELETE FROM block WHERE id = ?", (number,))
            await connection.execute(_INSERT_LOSS, _loss_row(loss))

    async def span(self) -> tuple[int, int] | None:
        """Times of the first and the last thing recorded, or None."""
        (row,) = await self._db.read(
            "SELECT MIN(first + COALESCE(correction, 0)), MAX(last + COALESCE(correction, 0))"
            " FROM block LEFT JOIN clock_epoch ON clock_epoch.id = block.epoch"
        )
        return None if row[0] is None else (int(row[0]), int(row[1]))

    async def restamp(self, epoch: int, correction_us: int) -> None:
        """Shift everything stamped in an epoch of the clock (L11); corrections of one epoch add up."""
        async with self._db.transaction() as connection:
            await connection.execute(
                "INSERT INTO clock_epoch (id, correction) VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET correction = correction + excluded.correction",
                (epoch, correction_us),
            )

    # -- events and losses ---------------------------------------------------------------------------

    async def add_event(self, event: Event) -> None:
        """Keep an event."""
        detail = json.dumps(dict(event.detail), ensure_ascii=False, sort_keys=True)
        await self._db.write(
            "INSERT INTO event (time, kind, device, detail) VALUES (?, ?, ?, ?)",
            [(event.time, event.kind, event.device, detail)],
        )

    async def events(self, start: int, end: int) -> list[Event]:
        """Events in [start, end), oldest first."""
        rows = await self._db.read(
            "SELECT time, kind, device, detail FROM event WHERE time >= ? AND time < ? ORDER BY time, id", (start, end)
        )
        return [Event(at, kind, device, json.loads(detail)) for at, kind, device, detail in rows]

    async def add_loss(self, loss: Loss) -> None:
        """Enter a loss in the ledger."""
        await self._db.write(_INSERT_LOSS, [_loss_row(loss)])

    async def losses(self, start: int, end: int) -> list[Loss]:
        """Entries of the ledger that touch [start, end), oldest first."""
        rows = await self._db.read(
            "SELECT first, last, cause, device, series, count FROM loss WHERE last >= ? AND first < ?"
            " ORDER BY first, id",
            (start, end),
        )
        return [Loss(*row) for row in rows]

    # -- digests -------------------------------------------------------------------------------------

    async def add_digest(self, record: DigestRecord) -> None:
        """Keep a digest; its ``seq`` must be new. On disk when this returns."""
        values = dataclasses.astuple(record)
        await self._db.write(f"INSERT INTO digest ({_DIGEST}) VALUES ({', '.join('?' * len(values))})", [values])

    async def last_digest(self) -> DigestRecord | None:
        """The digest with the highest ``seq``."""
        return _first(await self._digests("ORDER BY seq DESC LIMIT 1"))

    async def last_settled(self, state: str) -> DigestRecord | None:
        """The newest digest that the platform has ``accepted`` or ``rejected``."""
        return _first(await self._digests("WHERE state = ? ORDER BY seq DESC LIMIT 1", state))

    async def digest(self, seq: int) -> DigestRecord | None:
        """One digest."""
        return _first(await self._digests("WHERE seq = ?", seq))

    async def digests(self, limit: int, before_seq: int = FOREVER) -> list[DigestRecord]:
        """Digests below ``before_seq``, newest first."""
        return await self._digests("WHERE seq < ? ORDER BY seq DESC LIMIT ?", before_seq, limit)

    async def pending(self, limit: int, newest_first: bool = False) -> list[DigestRecord]:
        """Digests that the platform has not answered yet."""
        order = "DESC" if newest_first else "ASC"
        return await self._digests(f"WHERE state = 'pending' ORDER BY seq {order} LIMIT ?", limit)

    async def digest_counts(self) -> dict[str, int]:
        """How many digests are ``pending``, ``accepted`` and ``rejected``."""
        rows = await self._db.read("SELECT state, COUNT(*) FROM digest GROUP BY state")
        return {"pending": 0, "accepted": 0, "rejected": 0} | dict(rows)

    async def mark(self, seq: int, state: str, reason: str = "", time_us: int = 0) -> None:
        """Settle a digest (``accepted``, ``rejected``), or make it ``pending`` again."""
        await self._db.write(
            "UPDATE digest SET state = ?, reason = ?, settled = ? WHERE seq = ?", [(state, reason, time_us, seq)]
        )

    async def _digests(self, tail: str, *arguments: Any) -> list[DigestRecord]:
        rows = await self._db.read(f"SELECT {_DIGEST} FROM digest {tail}", arguments)
        return [DigestRecord(*row) for row in rows]

    # -- uploads and settings ------------------------------------------------------------------------

    async def add_upload(self, upload: Upload) -> None:
        """Note bytes that left the plant."""
        await self._db.write(
            "INSERT INTO upload (time, seq, kind, bytes, status) VALUES (?, ?, ?, ?, ?)", [dataclasses.astuple(upload)]
        )

    async def uploads(self, start: int, end: int) -> list[Upload]:
        """What left in [start, end), oldest first."""
        rows = await self._db.read(
            "SELECT time, seq, kind, bytes, status FROM upload WHERE time >= ? AND time < ? ORDER BY id", (start, end)
        )
        return [Upload(*row) for row in rows]

    async def uploaded_bytes(self, since_us: int) -> int:
        """Bytes that left since then."""
        (row,) = await self._db.read("SELECT COALESCE(SUM(bytes), 0) FROM upload WHERE time >= ?", (since_us,))
        return int(row[0])

    async def meta(self, key: str) -> str | None:
        """A setting, or None."""
        rows = await self._db.read("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    async def set_meta(self, key: str, value: str) -> None:
        """Keep a setting."""
        await self._db.write(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [(key, value)],
        )

    # -- limits --------------------------------------------------------------------------------------

    async def stats(self) -> Stats:
        """How full the buffer is."""
        (row,) = await self._db.read("SELECT COALESCE(SUM(samples), 0), MIN(first) FROM block")
        return Stats(bytes=self._db.size(), samples=row[0], oldest=row[1], bytes_written=self._written)

    async def enforce(self, now_us: int) -> None:
        """Keep to the retention and to the byte cap."""
        horizon = now_us - self._retention_us
        (row,) = await self._db.read("SELECT MAX(id) FROM block WHERE last < ?", (horizon,))
        if row[0] is not None:
            await self._shed_blocks(int(row[0]), "retention")
        await self._forget(horizon)
        await self._make_room(0)

    async def _forget(self, horizon: int) -> None:
        """Events, losses and uploads outlive the raw data, but not by more than another such time."""
        old = horizon - self._retention_us
        async with self._db.transaction() as connection:
            for table, column in (("event", "time"), ("loss", "last"), ("upload", "time")):
                await connection.execute(f"DELETE FROM {table} WHERE {column} < ?", (old,))

    async def _make_room(self, incoming: int) -> None:
        # A block is in the log and in the database for a while, hence twice its size.
        needed = 2 * incoming + LOG_RESERVE
        if self._db.size() + needed <= self._max_bytes:
            return
        # Pages that a deletion frees are used again, so the file stays as large as it is: what counts
        # is how much of it is in use. It shrinks only when the cap itself was lowered.
        budget = self._max_bytes - needed
        excess = await self._db.used() - budget
        if excess > 0:
            await self._shed(excess + self._max_bytes // _SHED_SHARE)
        if self._db.file_size() > budget:
            await self._db.give_back()

    async def _shed(self, excess: int) -> None:
        """Make ``excess`` bytes free: raw blocks first, then settled digests, then the oldest others."""
        freed, last = 0, None
        for number, size in await self._db.read("SELECT id, LENGTH(data) FROM block ORDER BY id"):
            if freed >= excess:
                break
            freed, last = freed + size, number
        if last is not None:
            await self._shed_blocks(last, "shed_cap")
        for condition in (
            f"state != 'pending' AND seq <= (SELECT MAX(seq) FROM digest) - {_KEEP_SETTLED}",
            "state != 'pending' AND seq < (SELECT MAX(seq) FROM digest)",
            "seq < (SELECT MAX(seq) FROM digest)",
        ):
            if freed >= excess:
                return
            freed += await self._shed_digests(condition, excess - freed)

    async def _shed_blocks(self, last_id: int, cause: str) -> None:
        async with self._db.transaction() as connection:
            ((first, last, samples),) = await connection.execute_fetchall(
                "SELECT MIN(first), MAX(last), SUM(samples) FROM block WHERE id <= ?", (last_id,)
            )
            await connection.execute("DELETE FROM block WHERE id <= ?", (last_id,))
            await _merge_loss(connection, Loss(first, last, cause, count=samples))
        log.info("%d raw samples shed (%s)", samples, cause)

    async def _shed_digests(self, condition: str, excess: int) -> int:
        freed, last = 0, None
        rows = await self._db.read(f"SELECT seq, LENGTH(body) FROM digest WHERE {condition} ORDER BY seq")
        for seq, size in rows:
            if freed >= excess:
                break
            freed, last = freed + size, seq
        if last is None:
            return 0
        async with self._db.transaction() as connection:
            ((first, end, count),) = await connection.execute_fetchall(
                f"SELECT MIN(first), MAX(last), SUM(state = 'pending') FROM digest WHERE {condition} AND seq <= ?",
                (last,),
            )
            await connection.execute(f"DELETE FROM digest WHERE {condition} AND seq <= ?", (last,))
            if count:
                await _merge_loss(connection, Loss(first, end, "digest_shed", count=count))
        return freed


_INSERT_LOSS = "INSERT INTO loss (first, last, cause, device, series, count) VALUES (?, ?, ?, ?, ?, ?)"


def _loss_row(loss: Loss) -> tuple[Any, ...]:
    return dataclasses.astuple(loss)


async def _merge_loss(connection: Any, loss: Loss) -> None:
    """Enter a loss, or extend the newest entry of the same cause: shedding goes on and on, the ledger must not."""
    rows = list(
        await connection.execute_fetchall(
            "SELECT id, first, last FROM loss WHERE cause = ? AND device = ? AND series = ? ORDER BY id DESC LIMIT 1",
            (loss.cause, loss.device, loss.series),
        )
    )
    same_day = rows and loss.start // 86_400_000_000 == rows[0][2] // 86_400_000_000
    if same_day:
        await connection.execute(
            "UPDATE loss SET first = MIN(first, ?), last = MAX(last, ?), count = count + ? WHERE id = ?",
            (loss.start, loss.end, loss.count, rows[0][0]),
        )
    else:
        await connection.execute(_INSERT_LOSS, _loss_row(loss))


def _first(records: Iterable[DigestRecord]) -> DigestRecord | None:
    return next(iter(records), None)


def _set_aside(path: Path) -> Path:
    folder = path.parent / "quarantine" / time.strftime("%Y%m%dT%H%M%S")
    number = 0
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{folder.name.split('-')[0]}-{number}")
    folder.mkdir(parents=True)
    for suffix in ("", "-wal", "-shm"):
        file = Path(f"{path}{suffix}")
        if file.exists():
            file.rename(folder / file.name)
    return folder
