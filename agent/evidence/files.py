"""Files that must be whole or absent, whenever the power goes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.core.faults import code_of, remedy_of
from agent.errors import GongfuError

_REMEDIES = {"ENOENT": "name a folder that exists", "ENOTDIR": "name a folder that exists"}


class FileNotWritten(GongfuError):
    """A file or folder that the disk, or its rights, did not let us make; what was there before is there still.

    ``reason``: in the system's words.
    """

    def __init__(self, path: Path, error: OSError, remedy: str) -> None:
        self.reason = error.strerror or type(error).__name__
        super().__init__(f"{path}: {self.reason}", remedy=remedy)


@contextmanager
def _named(path: Path, remedy: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fitting = remedy or _REMEDIES.get(code_of(error)) or remedy_of(error)
        raise FileNotWritten(path, error, fitting) from error


def write_atomically(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True, remedy: str = "") -> None:
    """Write beside, fsync, rename, fsync the folder. As root the file gets the folder's owner.

    Not ``durable``: without fsync, which can take long on an SD card; a power cut may leave it old, empty or cut off.
    Raises FileNotWritten, with ``remedy`` where there is one that fits better than what follows from the failure.
    """
    with _named(path, remedy):
        _write(path, data, mode, durable)


def _write(path: Path, data: bytes, mode: int, durable: bool) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):  # on a disk that fails
            Path(name).unlink(missing_ok=True)
        raise
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder, and those above it; may be called by several at the same moment. Raises FileNotWritten."""
    with _named(path):
        if not path.is_dir():
            path.parent.mkdir(mode=mode, parents=True, exist_ok=True)
            path.mkdir(mode=mode, exist_ok=True)
