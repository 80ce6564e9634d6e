"""Files that must be whole or absent, whenever the power goes."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Write beside, fsync, rename, fsync the folder. As root the file gets the folder's owner.

    Not ``durable``: without fsync, which can take long on an SD card; a power cut may leave it old, empty or cut off.
    """
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
        Path(name).unlink(missing_ok=True)
        raise
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def hand_over(folder: Path) -> None:
    """As root: give ``folder`` and what is in it to the owner of the folder above; an earlier run may have
    left files of root's there, which the daemon could not read. Raises OSError."""
    if os.geteuid() != 0:
        return
    owner = folder.parent.stat()
    for path in (folder, *folder.iterdir()):
        with suppress(FileNotFoundError):  # a file that somebody was just writing beside
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder, and those above it; as root each gets its parent's owner, so that the daemon may use it.

    May be called by several at the same moment. Raises OSError.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent, mode)
    path.mkdir(mode=mode, exist_ok=True)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
