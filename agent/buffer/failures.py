"""What can go wrong with the buffer's file, as the rest of the agent sees it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.errors import GongfuError


class StoreUnavailable(GongfuError):
    """The disk does not take or give data at the moment; trying again later makes sense.

    ``reconnect``: the connection itself may be spoilt, and shall be made anew for the next try.
    """

    reconnect = False


class _ConnectionSpoilt(StoreUnavailable):
    reconnect = True


class StoreFull(StoreUnavailable):
    """The byte cap is reached and nothing more can be shed."""


class BlockTooLarge(StoreUnavailable):
    """A block that the byte cap leaves no room for; smaller ones may fit."""


class StoreCorrupt(GongfuError):
    """The file is not a sound database."""


class StoreConflict(GongfuError):
    """The row contradicts what is stored already, such as a digest's number that is taken."""


class failures_named:  # noqa: N801 — reads as a statement
    """``with failures_named(path):`` turns SQLite's errors into ours, with the file and a remedy."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise _named(self._path, error) from error


def _named(path: Path, error: sqlite3.Error) -> GongfuError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorrupt(f"{path}: {error}", remedy="the running agent sets it aside and starts a new one")
    if isinstance(error, sqlite3.IntegrityError):
        return StoreConflict(f"{path}: {error}")
    if name == "SQLITE_FULL":
        return StoreFull(f"{path}: {error}", remedy="free some space on the disk")
    if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return _ConnectionSpoilt(f"{path}: {error}", remedy="look at the disk: is it full, read-only or failing?")
    return StoreUnavailable(f"{path}: {error}")
