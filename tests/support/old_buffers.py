"""Databases as earlier versions left them, made from the schema of their time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.buffer.codec import encode
from agent.buffer.database import schema
from tests.support.buffers import batch_at

SECOND = 1_000_000


def old_buffer(path: Path, version: int, *, blocks: int = 5) -> None:
    """A file of schema ``version`` (1 and up): series, blocks, digests 1 to 3 and losses."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 1024", "auto_vacuum = INCREMENTAL", "journal_mode = WAL"):
        database.execute(f"PRAGMA {pragma}")
    for script in schema()[:version]:
        database.executescript(script)
    database.execute(f"PRAGMA user_version = {version}")
    database.execute("INSERT INTO meta VALUES ('clock_epoch', '4')")
    database.execute("INSERT INTO series VALUES (1, 'a.x')")
    database.execute("INSERT INTO scan_group VALUES (1, 'a', ?)", (SECOND,))
    for number in range(blocks):
        batch = batch_at(number * SECOND, 100, noisy=True)
        database.execute(
            "INSERT INTO block (epoch, shift, first, last, samples, data) VALUES (4, 0, ?, ?, 100, ?)",
            (int(batch.time[0]), int(batch.time[-1]), encode(batch)),
        )
    stream = (", stream", ", ''") if version >= 4 else ("", "")
    for seq, state in ((1, "accepted"), (2, "rejected"), (3, "pending")):
        database.execute(
            f"INSERT INTO digest (seq, kind, first, last, hash, previous, body, jws, state, settled{stream[0]})"
            f" VALUES (?, 'period', ?, ?, ?, 'p', X'7B7D', 'j', ?, 9{stream[1]})",
            (seq, seq * SECOND, (seq + 1) * SECOND, f"h{seq}", state),
        )
    for first in (1, 10 * SECOND):
        database.execute(
            "INSERT INTO loss (first, last, cause, device, series, count, epoch, noted)"
            " VALUES (?, ?, 'shed_cap', '', '', 7, 0, 5)",
            (first, first + 1),
        )
    database.close()
