"""What happened, what was lost, and what left the plant."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from agent.buffer.database import Transaction
from agent.buffer.records import Event, Loss, Upload
from agent.buffer.room import FOREVER, Room

_UNREPORTED = "COALESCE(reported, 0) = 0"
_LOSS = "first, last, cause, device, series, count, epoch, noted, stream"
_UPLOAD = "time, seq, kind, bytes, status, audience, host"
_MERGE_US = 3_600_000_000
"""What is shed in pieces is one entry an hour, not one a piece."""
MOST_LOSSES = 10_000
MOST_ROWS = 100_000
"""Events and uploads; beyond it the oldest go."""


class Ledger(Room):
    """Events, losses and uploads. All of them are bounded: see :meth:`_trim`."""

    # -- events --------------------------------------------------------------------------------------

    async def add_event(self, event: Event) -> None:
        """Keep an event."""
        detail = json.dumps(dict(event.detail), ensure_ascii=False, sort_keys=True)
        time = event.time + self._shifts.get(event.epoch, 0)
        await self._db.put(
            "INSERT INTO event (time, epoch, kind, device, detail) VALUES (?, ?, ?, ?, ?)",
            (time, event.epoch, event.kind, event.device, detail),
        )

    async def events(self, start: int, end: int) -> list[Event]:
        """Events in [start, end), oldest first."""
        rows = await self._db.read(
            "SELECT time, kind, device, detail, epoch FROM event WHERE time >= ? AND time < ? ORDER BY time, id",
            (start, end),
        )
        return [Event(time, kind, device, _detail(detail), epoch) for time, kind, device, detail, epoch in rows]

    # -- losses --------------------------------------------------------------------------------------

    async def add_loss(self, loss: Loss) -> None:
        """Enter a loss in the ledger."""
        await self.add_losses([loss])

    async def add_losses(self, losses: Sequence[Loss]) -> None:
        """Enter losses in the ledger, all or none."""

        async def enter(transaction: Transaction) -> None:
            for loss in losses:
                await self._enter(transaction, loss)

        if losses:
            await self._db.write(enter, size=len(losses) * 100)

    async def losses(self, start: int, end: int) -> list[Loss]:
        """Entries of the ledger that touch [start, end), oldest first."""
        return await self._losses("last >= ? AND first < ? ORDER BY first, id", start, end)

    async def losses_noted(self, start: int, end: int) -> list[Loss]:
        """Entries made or extended in [start, end), whenever it was that the loss concerns."""
        return await self._losses("noted >= ? AND noted < ? ORDER BY noted, id", start, end)

    async def unreported(self, until: int) -> list[Loss]:
        """Entries of what began before ``until`` that no digest tells of yet, oldest first."""
        return await self._losses(f"{_UNREPORTED} AND first >= ? AND first < ? ORDER BY first, id", -FOREVER, until)

    async def close_losses(self, until: int) -> list[Loss]:
        """As :meth:`unreported`; none of them is extended any more, so that the digest says all of it.

        What is lost later in the same way becomes an entry of its own, for the next digest.
        """
        if await self._db.read("SELECT 1 FROM loss WHERE reported IS NULL AND first < ? LIMIT 1", (until,)):
            await self._db.put("UPDATE loss SET reported = 0 WHERE reported IS NULL AND first < ?", (until,))
        return await self.unreported(until)

    async def losses_told(self, noted_before: int, seq: int) -> None:
        """What was entered before then has been told by the platform's digest ``seq``, whoever built that."""
        await self._db.put(
            "UPDATE loss SET reported = ? WHERE COALESCE(reported, 0) <= 0 AND noted < ?", (seq, noted_before)
        )

    async def _losses(self, tail: str, start: int, end: int) -> list[Loss]:
        return [Loss(*row) for row in await self._db.read(f"SELECT {_LOSS} FROM loss WHERE {tail}", (start, end))]

    async def _enter(self, transaction: Transaction, loss: Loss) -> None:
        """Enter a loss, or extend the newest entry of its kind: what is shed goes on, the ledger must not."""
        shift = self._shifts.get(loss.epoch, 0)
        first, last, stream = loss.start + shift, loss.end + shift, loss.stream or self.stream
        kind = (loss.cause, loss.device, loss.series, loss.epoch)
        rows = await transaction.rows(
            "SELECT id, first, last FROM loss WHERE cause = ? AND device = ? AND series = ? AND epoch = ?"
            " AND stream = ? AND reported IS NULL ORDER BY id DESC LIMIT 1",
            (*kind, stream),
        )
        if rows and rows[0][1] // _MERGE_US == last // _MERGE_US and first >= rows[0][1]:
            await transaction.run(
                "UPDATE loss SET last = MAX(last, ?), count = count + ?, noted = ? WHERE id = ?",
                (last, loss.count, self._now(), rows[0][0]),
            )
        else:
            await transaction.run(
                f"INSERT INTO loss ({_LOSS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (first, last, *kind[:3], loss.count, loss.epoch, self._now(), stream),
            )

    # -- uploads -------------------------------------------------------------------------------------

    async def add_upload(self, upload: Upload) -> None:
        """Note bytes that left the plant."""
        await self._db.put(f"INSERT INTO upload ({_UPLOAD}) VALUES (?, ?, ?, ?, ?, ?, ?)", dataclasses.astuple(upload))

    async def uploads(self, start: int, end: int) -> list[Upload]:
        """What left in [start, end), oldest first."""
        rows = await self._db.read(
            f"SELECT {_UPLOAD} FROM upload WHERE time >= ? AND time < ? ORDER BY id", (start, end)
        )
        return [Upload(*row) for row in rows]

    async def uploaded_bytes(self, since_us: int, kind: str = "", audiences: Sequence[str] | None = None) -> int:
        """Bytes that left since then; ``kind``: in requests of this kind only; ``audiences``: to these only."""
        among = "" if audiences is None else f" AND audience IN ({', '.join('?' * len(audiences))})"
        ((total,),) = await self._db.read(
            f"SELECT COALESCE(SUM(bytes), 0) FROM upload WHERE time >= ? AND ? IN ('', kind){among}",
            (since_us, kind, *(audiences or ())),
        )
        return int(total)

    # -- bounds --------------------------------------------------------------------------------------

    async def _trim(self, most_rows: int = MOST_ROWS, most_losses: int = MOST_LOSSES) -> None:
        """Keep the newest events and uploads; of too many losses, fold the older half into sums."""
        for table in ("event", "upload"):
            ((newest, oldest),) = await self._db.read(f"SELECT MAX(id), MIN(id) FROM {table}")
            if newest is not None and newest - oldest >= most_rows:
                await self._db.put(f"DELETE FROM {table} WHERE id <= ?", (newest - most_rows,))
        ((count, newest),) = await self._db.read("SELECT COUNT(*), MAX(id) FROM loss")
        if count > most_losses:
            ((middle,),) = await self._db.read("SELECT id FROM loss ORDER BY id LIMIT 1 OFFSET ?", (count // 2,))
            await self._db.write(lambda transaction: _fold(transaction, middle), size=count * 16)


async def _fold(transaction: Transaction, last_id: int) -> None:
    """One entry a cause and device for all up to ``last_id``: sums and intervals stay, single tags go."""
    rows = await transaction.rows(
        "SELECT MIN(first), MAX(last), cause, device, '', SUM(count), 0, MAX(noted), stream, MAX(reported) FROM loss"
        f" WHERE id <= ? GROUP BY cause, device, stream, {_UNREPORTED} ORDER BY MIN(id)",
        (last_id,),
    )
    await transaction.run("DELETE FROM loss WHERE id <= ?", (last_id,))
    await transaction.run_each(f"INSERT INTO loss ({_LOSS}, reported) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _detail(text: str) -> dict[str, object]:
    try:
        detail = json.loads(text)
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}
