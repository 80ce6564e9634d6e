"""What the buffer's tests do to its files."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.buffer.store import Store


def files_size(path: Path) -> int:
    """Bytes of the database, its log and the log's index."""
    total = 0
    for suffix in ("", "-wal", "-shm"):
        try:
            total += Path(f"{path}{suffix}").stat().st_size
        except FileNotFoundError:
            continue
    return total


async def times_of(store: Store) -> list[int]:
    """The time of every sample in the store, in its order."""
    return [time async for batch in store.blocks(-(2**62), 2**62) for time in batch.time.tolist()]


async def lost_samples(store: Store) -> int:
    """Samples that the ledger accounts for; what it says of digests counts digests."""
    losses = await store.losses(-(2**62), 2**62)
    return sum(loss.count for loss in losses if not loss.cause.startswith("digest_"))


def sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with the file."""
    with sqlite3.connect(path) as database:
        rows = database.execute("PRAGMA integrity_check").fetchall()
    database.close()
    return rows == [("ok",)]


def damage_block(path: Path, number: int) -> None:
    """Flip a byte within a block's data, behind the store's back."""
    with sqlite3.connect(path) as database:
        (data,) = database.execute("SELECT data FROM block WHERE id = ?", (number,)).fetchone()
        damaged = data[:20] + bytes([data[20] ^ 0x40]) + data[21:]
        database.execute("UPDATE block SET data = ? WHERE id = ?", (damaged, number))
    database.close()


def overwrite_table(path: Path, table: str) -> None:
    """Destroy the table's root page."""
    database = sqlite3.connect(path)
    ((page_size,),) = database.execute("PRAGMA page_size").fetchall()
    ((root,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchall()
    database.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xff" * page_size)


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Path]:
    """A file system of its own that holds no more than that; needs to be root. Raises PermissionError."""
    if shutil.which("mount") is None:
        raise PermissionError("no mount command")
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
