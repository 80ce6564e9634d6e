"""Room that is kept for a start on a full disk: a file that is given up when nothing else can be written.

A gateway whose disk has been filled by somebody else could not even open its buffer after a power cut. With the room
of this file it starts, scans and says what is wrong; the buffer then keeps to what there is.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

SIZE = 2_000_000
PLENTY = 4
"""The file is made only where so many times its size are free, so that it never fills a disk itself."""


class Ballast:
    """One a data directory. Blocking; two calls to the file system where nothing is to be done."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "ballast"

    def give_up(self) -> bool:
        """Make its room free; False when there is none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        log.error("%s is full or fails: the room kept for that is used up now → free some space", self._path.parent)
        return True

    def keep(self) -> None:
        """Make the file where it is missing and the disk has plenty of room."""
        if self._path.exists() or shutil.disk_usage(self._path.parent).free < PLENTY * SIZE:
            return
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            try:
                os.posix_fallocate(handle, 0, SIZE)  # blocks that are really there, unlike those of a sparse file
            finally:
                os.close(handle)
        except OSError as error:
            log.debug("%s: %s", self._path, error)
            self._path.unlink(missing_ok=True)
