"""The one connection to SQLite: opening, schema, transactions, typed failures. The only aiosqlite import.

Durability: WAL with ``synchronous=FULL``, so a transaction that returned survives kill -9 and a power
cut (as far as the card keeps its promises). One writer: every write goes through one lock.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import aiosqlite

from agent.errors import GongfuError

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
_PRAGMAS = (
    "PRAGMA auto_vacuum = INCREMENTAL",  # only counts before the first table: space can be given back
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -512",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 400000",
    "PRAGMA wal_autocheckpoint = 100",
    "PRAGMA busy_timeout = 2000",
)


LOG_RESERVE = 600_000
"""Bytes that the write-ahead log and its index take besides the block in hand: 100 pages, and some."""


class StoreUnavailable(GongfuError):
    """The disk does not take or give data at the moment; trying again later makes sense."""


class StoreCorrupt(GongfuError):
    """The file is not a sound database."""


class Database:
    """A connection with typed failures. Reads run at any time, writes one transaction at a time."""

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self.path = path
        self._connection = connection
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, *, read_only: bool) -> Database:
        """Open and bring the schema up to date. Raises StoreCorrupt, StoreUnavailable or GongfuError."""
        mode = "ro" if read_only else "rwc"
        connection = aiosqlite.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
        try:
            with _failures_named(path):
                await connection
        except BaseException:
            connection.stop()
            raise
        database = cls(path, connection)
        try:
            with _failures_named(path):
                for pragma in () if read_only else _PRAGMAS:
                    await connection.execute_fetchall(pragma)
                await database._migrate(read_only)
        except BaseException:
            await database.close()
            raise
        return database

    async def _migrate(self, read_only: bool) -> None:
        (row,) = await self.read("PRAGMA user_version")
        have, steps = int(row[0]), _steps()
        if have > len(steps):
            raise GongfuError(
                f"{self.path} was written by a newer version (schema {have}, this one knows {len(steps)})",
                remedy="install the newer version again, or set another [gateway] data_dir",
            )
        if read_only and have < len(steps):
            raise GongfuError(
                f"{self.path} has an older schema ({have})", remedy="start the agent once: it upgrades it"
            )
        for number, script in enumerate(steps[have:], have + 1):
            await self._connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")

    async def read(self, sql: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        with _failures_named(self.path):
            return [tuple(row) for row in await self._connection.execute_fetchall(sql, arguments)]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """One durable transaction: all of it is on disk when the block is left, or nothing of it."""
        async with self._writing:
            with _failures_named(self.path):
                await self._connection.execute_fetchall("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    await self._connection.execute_fetchall("COMMIT")
                except BaseException:
                    # Shielded: a cancelled task must not leave its transaction open to the next one.
                    with suppress(sqlite3.Error):
                        await asyncio.shield(self._rollback())
                    raise

    async def _rollback(self) -> None:
        if self._connection.in_transaction:
            await self._connection.execute_fetchall("ROLLBACK")

    async def write(self, sql: str, rows: Iterable[Sequence[Any]] = ((),)) -> None:
        """One statement for each row, as one transaction."""
        async with self.transaction() as connection:
            for row in rows:
                await connection.execute_fetchall(sql, row)

    async def give_back(self) -> None:
        """Return free pages to the file system and empty the write-ahead log."""
        async with self._writing:
            with _failures_named(self.path):
                await self._connection.execute_fetchall("PRAGMA incremental_vacuum")
                await self._connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    async def used(self) -> int:
        """Bytes of the database in use: its size without the pages that wait to be used again."""
        ((pages,),) = await self.read("PRAGMA page_count")
        ((free,),) = await self.read("PRAGMA freelist_count")
        ((size,),) = await self.read("PRAGMA page_size")
        return int((pages - free) * size)

    def file_size(self) -> int:
        """Bytes of the database file alone."""
        return self.path.stat().st_size

    def size(self) -> int:
        """Bytes on disk: database, write-ahead log and its index."""
        total = 0
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                total += Path(f"{self.path}{suffix}").stat().st_size
        return total

    async def close(self) -> None:
        """Close; may be called twice."""
        with suppress(sqlite3.Error, ValueError):
            await self._connection.close()


def _steps() -> list[str]:
    folder = resources.files("agent.buffer") / "schema"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]


class _failures_named:  # noqa: N801 — reads as a statement
    """Turns SQLite's errors into ours, with the file and a remedy."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise StoreCorrupt(
                f"{self._path}: {error}", remedy="the agent sets it aside and starts a new one"
            ) from error
        remedy = "free some space on the disk" if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")) else ""
        raise StoreUnavailable(f"{self._path}: {error}", remedy=remedy) from error
