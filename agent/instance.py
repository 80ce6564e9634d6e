"""One agent a data directory: a lock that the kernel releases when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.errors import GongfuError


@contextmanager
def only_instance(data_dir: Path) -> Iterator[None]:
    """Hold ``data_dir/lock``; makes the directory. Raises GongfuError when another agent holds it."""
    handle = open_lock(data_dir)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise GongfuError(
                f"another agent (process {owner}) already uses {data_dir}",
                remedy="stop it first (systemctl stop gongfu-edge), or give this one its own [gateway] data_dir",
            ) from None
        # Who holds it is a convenience, which a full disk may refuse; the lock itself holds.
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def open_lock(data_dir: Path) -> int:
    """A descriptor of ``data_dir/lock``; makes the directory and the file. Raises GongfuError."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        return os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        raise GongfuError(
            f"{data_dir / 'lock'}: {error.strerror}",
            remedy="run this with sudo, or as the agent's user; or set [gateway] data_dir to a folder of this user",
        ) from error
