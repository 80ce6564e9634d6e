"""A damaged database: set aside, and what can still be read of its small tables taken over."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_TABLES = ("meta", "series", "scan_group", "clock_epoch", "loss", "event", "upload", "digest", "digest_aside", "rollup")
"""In the order of saving. Blocks are not: they may be gigabytes, and the agent shall go on now."""
_ROWS = 50


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


def save(old: Path, new: Path, max_pages: int) -> tuple[int, int]:
    """Copy every row that can be read from the small tables of ``old`` to ``new``.

    Returns the first time (0: unknown) and the number of the samples in its blocks.
    """
    lost = (0, 0)
    try:
        with (
            closing(sqlite3.connect(old, isolation_level=None)) as source,
            closing(sqlite3.connect(new, isolation_level=None)) as target,
        ):
            target.execute(f"PRAGMA max_page_count = {max_pages}")
            for table in _TABLES:
                _save_table(source, target, table)
            first, samples = source.execute("SELECT MIN(first), SUM(samples) FROM block").fetchone()
            lost = (first or 0, samples or 0)
    except sqlite3.Error as error:
        log.warning("%s: could not be read to its end: %s", old, error)
    return lost


def _save_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """From both ends towards the damage."""
    key = "key" if table == "meta" else "rowid"
    # The old file's columns: it may have been damaged before its schema was brought up to date.
    columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
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
