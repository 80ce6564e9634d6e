"""A damaged database: set aside, and what can still be read of its small tables taken over."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_TABLES = ("meta", "series", "scan_group", "clock_epoch", "loss", "event", "upload", "digest", "digest_aside", "rollup")
"""In the order of saving; blocks come after them."""
_ROWS = 50
SAVING, SAVED = ".salvage", ".salvaged"
"""Behind the file's name: what is being saved, which a start begins anew; and what is complete."""
_BLOCK = "id, epoch, shift, first, last, samples, data"
_SOUND = [("ok",)]


def set_aside(path: Path, limit: int) -> Path | None:
    """Move the files to ``quarantine/<stamp>/`` beside them; returns where the database is now.

    Only the latest one is kept, and none that is larger than ``limit`` bytes: the byte cap bounds what
    the agent takes of the disk, and a file that nobody can read must not take it.
    """
    folder = path.parent / "quarantine"
    shutil.rmtree(folder, ignore_errors=True)
    files = [file for suffix in ("", "-wal", "-shm") if (file := Path(f"{path}{suffix}")).exists()]
    if sum(file.stat().st_size for file in files) > limit:
        log.warning("%s is too large to be kept", path)
        for file in files:
            file.unlink()
        return None
    place = folder / time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    place.mkdir(parents=True)
    for file in files:
        file.rename(place / file.name)
    return place / path.name


def reindexed(path: Path) -> bool:
    """Whether making the indexes anew was all that the file needed; it is as it was otherwise."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            found = database.execute("PRAGMA integrity_check").fetchall()
            if found == _SOUND or any("freelist" in text.lower() for (text,) in found):
                return False  # what is free cannot be told from what is not: nothing may be written
            database.execute("BEGIN IMMEDIATE")
            database.execute("REINDEX")
            sound: bool = database.execute("PRAGMA integrity_check").fetchall() == _SOUND
            database.execute("COMMIT" if sound else "ROLLBACK")
            return sound
    except sqlite3.Error as error:
        log.debug("%s: not mended by its indexes: %s", path, error)
        return False


def save(old: Path, new: Path, max_pages: int) -> tuple[int, int]:
    """Copy every row that can be read of ``old`` to ``new``, which has the schema already.

    Returns the first time (0: unknown) and the number of the samples that the blocks of ``old`` held.
    Raises sqlite3.Error where ``new`` cannot be written: it is not to be used then.
    """
    with (
        closing(sqlite3.connect(old, isolation_level=None)) as source,
        closing(sqlite3.connect(new, isolation_level=None)) as target,
    ):
        target.execute(f"PRAGMA max_page_count = {max_pages}")
        for table in _TABLES:
            _save_table(source, target, table)
        lost = (0, 0)
        with suppress(sqlite3.DatabaseError):
            first, samples = source.execute("SELECT MIN(first), SUM(samples) FROM block").fetchone()
            lost = (first or 0, samples or 0)
        _save_blocks(source, target)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return lost


def _save_blocks(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """The newest first, past whatever cannot be read."""
    select = f"SELECT {_BLOCK} FROM block NOT INDEXED WHERE id < ? ORDER BY id DESC LIMIT 1"
    below = _beyond_newest(source)
    target.execute("BEGIN")
    while below > 0:
        try:
            row = source.execute(select, (below,)).fetchone()
        except sqlite3.DatabaseError:
            below -= 1
            continue
        if row is None:
            break
        below = row[0]
        target.execute(f"INSERT OR IGNORE INTO block ({_BLOCK}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        if below % _ROWS == 0:
            target.execute("COMMIT")
            target.execute("BEGIN")
    target.execute("COMMIT")


def _beyond_newest(source: sqlite3.Connection) -> int:
    """A number that no block reaches; 0 where none can be read. The newest ones may be those that cannot."""
    for power in range(40, -1, -1):
        with suppress(sqlite3.DatabaseError):
            if source.execute("SELECT 1 FROM block NOT INDEXED WHERE id >= ? LIMIT 1", (2**power,)).fetchone():
                return int(2 ** (power + 1))
    return 0


def take_over(path: Path, limit: int) -> None:
    """Put what was saved, once it is complete, in the place of the damaged file; may be cut short and done again."""
    saved = Path(f"{path}{SAVED}")
    if not saved.exists():
        return
    if path.exists():
        set_aside(path, limit)
    for suffix in ("-wal", "-shm"):  # of the damaged one: they must not be taken for the new one's
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    saved.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in it durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _save_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """From both ends towards the damage."""
    key = "key" if table == "meta" else "rowid"
    # The old file's columns: it may have been damaged before its schema was brought up to date.
    columns: list[str] = []
    with suppress(sqlite3.DatabaseError):
        columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
    if not columns:
        return
    for order in ("ASC", "DESC"):
        whole = True
        for rows in _chunks(source, f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key} {order}"):
            if rows is None:
                whole = False
                break
            marks = ", ".join("?" * len(columns))
            target.execute("BEGIN")
            target.executemany(f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
            target.execute("COMMIT")
        if whole:
            return


def _chunks(source: sqlite3.Connection, sql: str) -> Iterator[list[Any] | None]:
    """Rows, some at a time; None and the end where the file cannot be read."""
    try:
        cursor = source.execute(sql)
        while rows := cursor.fetchmany(_ROWS):
            yield rows
    except sqlite3.DatabaseError:
        yield None
