"""The one connection to SQLite: opening, schema, transactions, size. The only aiosqlite import.

Durability: WAL with ``synchronous=FULL``, so a transaction that returned survives kill -9 and a power
cut (as far as the card keeps its promises). One writer: every use goes through one lock.

Size: the cap is divided between the database (``max_page_count``), its write-ahead log (looked at
before each transaction) and the log's index, so that it holds at every moment and not only on average.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from agent.buffer.failures import StoreCorrupt, StoreFull, StoreUnavailable, failures_named
from agent.core.faults import remedy_of
from agent.errors import GongfuError

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
T = TypeVar("T")

PAGE = 1024
"""Small pages: a commit rewrites a few of them whatever it brings, and that is most of what a small
plant writes. Measured against 4096: a third less for blocks of 2 kB, a tenth less for 50 kB."""
SMALL = 24 * 1024
"""Bytes of log that a transaction of a few rows takes at most."""
MIN_BYTES = 500_000
_INDEX = 64 * 1024
"""Of the write-ahead log, in shared memory that is a file: 32 kB for each 4096 pages of log."""
_LOG_SHARE = 4
_LOG_LIMITS = (128 * 1024, 4 * 1024 * 1024)
_FREED_AT_ONCE = 1_000_000
_INCREMENTAL = 2


class Transaction:
    """What may be done within a transaction."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        return [tuple(row) for row in await self._connection.execute_fetchall(sql, arguments)]

    async def run(self, sql: str, arguments: Sequence[Any] = ()) -> None:
        """One statement."""
        await self._connection.execute_fetchall(sql, arguments)

    async def vacuum(self, pages: int) -> None:
        """Give up to so many free pages back; outside of a transaction."""
        # As a script: sqlite3 takes one step of any other PRAGMA that has no columns, which is one page.
        cursor = await self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
        await cursor.close()

    async def run_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement for each row of arguments."""
        cursor = await self._connection.executemany(sql, rows)
        await cursor.close()


Work = Callable[[Transaction], Awaitable[T]]


def footprint(size: int) -> int:
    """Bytes of log, and of database at most, for a transaction that brings ``size`` bytes."""
    return SMALL + size + size // 16


class Database:
    """A connection with typed failures.

    ``shed`` is called when the cap is reached and shall make that many bytes free or raise StoreFull;
    ``reborn`` when the file was found damaged and a new one was started, with the transaction in which
    to put what must not be missing. ``lost`` says then what raw data the old one held, as far as it
    can be told: the first time and the number of samples.
    """

    def __init__(self, path: Path, *, max_bytes: int, read_only: bool = False) -> None:
        if max_bytes < MIN_BYTES:
            raise GongfuError(
                f"[buffer] max_size = {max_bytes} bytes is too small", remedy=f"at least {MIN_BYTES // 1000}kB"
            )
        self.path = path
        self.read_only = read_only
        self.log_limit = min(max(max_bytes // _LOG_SHARE, _LOG_LIMITS[0]), _LOG_LIMITS[1])
        self.max_bytes = max_bytes - self.log_limit - _INDEX
        """What the database itself may take."""
        self.shed: Callable[[int], Awaitable[None]] | None = None
        self.reborn: Work[None] | None = None
        self.lost: tuple[int, int] | None = None
        self._connection: aiosqlite.Connection | None = None
        self._using = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    # -- opening and closing -------------------------------------------------------------------------

    async def open(self) -> None:
        """Open, and bring the schema up to date. A writer sets a damaged file aside and starts anew."""
        async with self._using:
            try:
                if not self.read_only:
                    self._resume()
                await self._connect()
            except StoreCorrupt as error:
                if self.read_only:
                    raise
                await self._start_over(error)
                await self._connect()

    def _resume(self) -> None:
        """What a power cut has interrupted when the file was salvaged."""
        from agent.buffer.salvage import SAVING, take_over

        try:
            take_over(self.path, self.max_bytes // 2)
        except OSError as failed:
            raise StoreUnavailable(f"{self.path}: {failed.strerror}", remedy=remedy_of(failed)) from failed
        if self.path.exists() and Path(f"{self.path}{SAVING}").exists():
            raise StoreCorrupt(f"{self.path}: was being salvaged when the power went")

    async def _connect(self) -> aiosqlite.Connection:
        with failures_named(self.path):
            self._connection = await _connection(self.path, self.read_only)
        try:
            with failures_named(self.path):
                for pragma in () if self.read_only else await self._pragmas(self._connection):
                    await self._connection.execute_fetchall(pragma)
                await _migrate(self._connection, self.path, self.read_only)
                # Afterwards: a file that is full already must not keep a newer version from starting.
                await self._connection.execute_fetchall(f"PRAGMA max_page_count = {self.max_bytes // PAGE}")
        except BaseException:
            await self._disconnect()
            raise
        return self._connection

    async def _pragmas(self, connection: aiosqlite.Connection) -> list[str]:
        ((vacuum,),) = await connection.execute_fetchall("PRAGMA auto_vacuum")
        new = [f"PRAGMA page_size = {PAGE}", "PRAGMA auto_vacuum = INCREMENTAL"]  # so that a smaller cap can shrink it
        return [
            *(new if vacuum != _INCREMENTAL else ()),  # said again, it would write to the file at every start
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA cache_size = -512",
            "PRAGMA temp_store = MEMORY",
            "PRAGMA busy_timeout = 1000",
            f"PRAGMA wal_autocheckpoint = {self.log_limit // 4 // PAGE}",
            f"PRAGMA journal_size_limit = {self.log_limit // 4}",
        ]

    async def close(self) -> None:
        """Close when what is under way has ended; may be called twice."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)
        async with self._using:
            await self._disconnect()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(GongfuError), failures_named(self.path):
                await connection.close()

    # -- reading and writing -------------------------------------------------------------------------

    async def read(self, sql: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query; never sees half a transaction."""
        async with self._using:
            return await self._guarded(lambda transaction: transaction.rows(sql, arguments))

    async def write(
        self, work: Work[T], size: int = 0, *, may_shed: bool = True, then: Callable[[], None] | None = None
    ) -> T:
        """Run ``work`` as one durable transaction; on disk when this returns, or nothing of it.

        ``size``: bytes that it brings or rewrites, beyond a few short rows. ``work`` may be run twice.
        Once begun it ends, even if the caller is cancelled: what was committed is never taken for lost.
        ``then`` is called once, when it is committed: what is kept in memory follows the disk.
        """
        task = asyncio.create_task(self._write(work, size, may_shed, then))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def put(self, sql: str, arguments: Sequence[Any] = ()) -> None:
        """One statement as one transaction."""
        await self.write(lambda transaction: transaction.run(sql, arguments))

    async def _write(self, work: Work[T], size: int, may_shed: bool, then: Callable[[], None] | None) -> T:
        reserve = footprint(size)
        try:
            return await self._commit(work, reserve, then)
        except StoreFull:
            if self.shed is None or not may_shed or await self.free_bytes() >= reserve:
                raise  # it is the disk that is full
        await self.shed(reserve + min(_FREED_AT_ONCE, self.max_bytes // 50))
        return await self._commit(work, reserve, then)

    async def _commit(self, work: Work[T], reserve: int, then: Callable[[], None] | None) -> T:
        async with self._using:
            result = await self._guarded(lambda transaction: self._transact(transaction, work, reserve))
            if then is not None:
                then()
            return result

    async def _transact(self, transaction: Transaction, work: Work[T], reserve: int) -> T:
        await self._keep_log_short(transaction, reserve)
        try:
            await transaction.run("BEGIN IMMEDIATE")
            result = await work(transaction)
            await transaction.run("COMMIT")
        except BaseException:
            # Some failures have rolled back already.
            with suppress(GongfuError), failures_named(self.path):
                await transaction.run("ROLLBACK")
            raise
        return result

    async def _keep_log_short(self, transaction: Transaction, reserve: int) -> None:
        if self._log_size() + reserve <= self.log_limit:
            return
        await transaction.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if self._log_size() + reserve > self.log_limit:
            raise StoreUnavailable(
                f"{self.path}: another program has been reading it for so long that nothing can be added",
                remedy="end the program that holds the file open",
            )

    async def _guarded(self, use: Work[T]) -> T:
        if self._closed:
            raise StoreUnavailable(f"{self.path}: closed")
        try:
            connection = self._connection or await self._connect()
            with failures_named(self.path):
                return await use(Transaction(connection))
        except StoreUnavailable as error:
            if error.reconnect:
                await self._disconnect()
            raise
        except StoreCorrupt as error:
            if self.read_only:
                raise
            await self._start_over(error)
            raise StoreUnavailable(f"{self.path}: was damaged; it is mended, or a new one has been started") from error
        except GongfuError:
            raise
        except Exception:
            # Nobody knows in what state it left the connection, perhaps within a transaction.
            await self._disconnect()
            raise

    async def _start_over(self, error: StoreCorrupt) -> None:
        """Mend the file; else save beside it what can be read, and only then put that in its place."""
        # Late import: salvage is as rare as it should be.
        from agent.buffer.salvage import SAVED, SAVING, reindexed, save, sync_folder, take_over

        await self._disconnect()
        saving = Path(f"{self.path}{SAVING}")
        if not saving.exists() and await asyncio.to_thread(reindexed, self.path):
            log.warning("%s; its indexes were made anew, and nothing is lost", error)
            return
        try:
            with failures_named(self.path):
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{saving}{suffix}").unlink(missing_ok=True)
                connection = await _connection(saving, read_only=False)
                try:
                    for pragma in await self._pragmas(connection):
                        await connection.execute_fetchall(pragma)
                    await _migrate(connection, saving, read_only=False)
                    self.lost = await asyncio.to_thread(save, self.path, saving, self.max_bytes // PAGE)
                    if self.reborn is not None:
                        await self._transact(Transaction(connection), self.reborn, SMALL)
                    await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    await connection.close()
            saving.rename(f"{self.path}{SAVED}")
            sync_folder(self.path.parent)
            take_over(self.path, self.max_bytes // 2)
        except OSError as failed:
            raise StoreUnavailable(f"{self.path}: {failed.strerror}", remedy=remedy_of(failed)) from failed
        log.error("%s; set aside in %s, what could be read of it goes on", error, self.path.parent / "quarantine")

    # -- size ----------------------------------------------------------------------------------------

    async def free_bytes(self) -> int:
        """Bytes that the database may still take within its part of the cap."""
        ((pages, free),) = await self.read(
            "SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count"
        )
        return self.max_bytes - int(pages - free) * PAGE

    async def shrink(self) -> None:
        """Give space back that a smaller cap no longer grants; what is stored must fit already."""
        step = self.log_limit // 8 // PAGE
        while True:
            ((pages,),) = await self.read("PRAGMA page_count")
            if pages * PAGE <= self.max_bytes:
                await self.read(f"PRAGMA max_page_count = {self.max_bytes // PAGE}")
                return
            async with self._using:
                await self._guarded(lambda transaction: transaction.vacuum(step))
            await self.read("PRAGMA wal_checkpoint(TRUNCATE)")
            ((now,),) = await self.read("PRAGMA page_count")
            if now >= pages:
                raise StoreFull(f"{self.path}: cannot be made smaller now")

    def size(self) -> int:
        """Bytes on disk: database, write-ahead log and its index."""
        return sum(_size(self.path, suffix) for suffix in ("", "-wal", "-shm"))

    def _log_size(self) -> int:
        return _size(self.path, "-wal")


def _size(path: Path, suffix: str) -> int:
    try:
        return Path(f"{path}{suffix}").stat().st_size
    except FileNotFoundError:
        return 0


async def _connection(path: Path, read_only: bool) -> aiosqlite.Connection:
    mode = "ro" if read_only else "rwc"
    # Without a log nobody writes, and a reader without write access could not make one.
    if read_only and not Path(f"{path}-wal").exists():
        mode += "&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = aiosqlite.connect(uri, uri=True, isolation_level=None)
    try:
        await connection
    except BaseException:
        connection.stop()
        raise
    # A flipped bit in a text costs a character, not the row.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


async def _migrate(connection: aiosqlite.Connection, path: Path, read_only: bool) -> None:
    ((have,),) = await connection.execute_fetchall("PRAGMA user_version")
    steps = schema()
    if have > len(steps):
        raise GongfuError(
            f"{path} was written by a newer version (schema {have}, this one knows {len(steps)})",
            remedy="install the newer version again, or set another [gateway] data_dir",
        )
    if read_only and have < len(steps):
        raise GongfuError(f"{path} has an older schema ({have})", remedy="start the agent once: it upgrades it")
    for number, script in enumerate(steps[have:], have + 1):
        await connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def schema() -> list[str]:
    """The steps from an empty file to the schema of this version."""
    folder = resources.files("agent.buffer") / "schema"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]
