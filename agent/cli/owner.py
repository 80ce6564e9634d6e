"""Commands of root act as the data directory's owner: they leave nothing that the service cannot use, and a link
that the service's user has made there leads no further than that user could go itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import GongfuError

if TYPE_CHECKING:
    from agent.config.model import Configuration

SERVICE_USER = "gongfu-edge"
_PR_SET_KEEPCAPS = 8
_CAP_VERSION, _CAP_DAC_READ_SEARCH = 0x20080522, 1 << 2


@dataclass(frozen=True, slots=True)
class _Owner:
    uid: int
    gid: int


def loaded(path: Path) -> Configuration:
    """The configuration; from here on the process is its data directory's owner, where it was root.

    Raises GongfuError.
    """
    from agent.config.parse import load

    configuration = load(path)
    become_owner(Path(configuration.file.gateway.data_dir))
    return configuration


def become_owner(data_dir: Path) -> None:
    """As root: go on as the owner of ``data_dir``, for good. Raises GongfuError."""
    owner = _taken_over(data_dir)
    if owner is not None:
        os.setgroups(_groups(owner))
        os.setresgid(owner.gid, owner.gid, owner.gid)
        _libc().prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setresuid(owner.uid, owner.uid, owner.uid)
        _still_read(for_good=True)


@contextmanager
def acting_as_owner(data_dir: Path) -> Iterator[None]:
    """As :func:`become_owner`, within the block: for commands that write elsewhere as whoever called them."""
    owner = _taken_over(data_dir)
    if owner is None:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(_groups(owner))
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    _still_read(for_good=False)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def _taken_over(data_dir: Path) -> _Owner | None:
    """Whom to become; None: nobody else. The directory is there then, and nothing of root's is in it."""
    if os.geteuid() != 0:
        return None
    try:
        if not data_dir.exists():
            _make(data_dir)
        owner = _owner(data_dir)
        if owner is not None:
            _hand_over(data_dir, owner)
        return owner
    except OSError as error:
        raise GongfuError(
            f"data directory {data_dir}: {error.strerror}", remedy="look at its file system, or set [gateway] data_dir"
        ) from error


def _owner(data_dir: Path) -> _Owner | None:
    """The directory's owner, or else whoever could put another directory in its place."""
    whole = data_dir.absolute()
    for path in (whole, whole.resolve(), *whole.parents):
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if found.st_uid != 0:
                return _Owner(found.st_uid, found.st_gid)
    return None


def _make(data_dir: Path) -> None:
    """Before the first start: as the service will want it. Without its user, who has called the command makes it."""
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return
    if _owner(data_dir) is not None:
        return
    data_dir.mkdir(parents=True, mode=0o750)
    handle = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, user.pw_uid, user.pw_gid)
    finally:
        os.close(handle)


def _hand_over(data_dir: Path, owner: _Owner) -> None:
    """Give what earlier versions have left of root's in it to its owner. No link is followed, and no file that has
    a second name is touched: it may be a file of the system."""
    for _, _, files, folder in os.fwalk(data_dir, follow_symlinks=False):
        _give(folder, owner)
        for name in files:
            with contextlib.suppress(OSError):  # a link, a socket, or gone meanwhile
                if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid != 0:
                    continue
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
                try:
                    _give(handle, owner)
                finally:
                    os.close(handle)


def _give(handle: int, owner: _Owner) -> None:
    found = os.fstat(handle)
    plain = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
    if found.st_uid == 0 and plain:
        os.fchown(handle, owner.uid, owner.gid)


def _groups(owner: _Owner) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(owner.uid).pw_name, owner.gid)
    except KeyError:
        return [owner.gid]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _still_read(*, for_good: bool) -> None:
    """Of root's rights, keep the one to read: the programme itself may lie where only root comes through, and so may
    the data directory. What is written, and to whom it belongs, is the owner's alone."""
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    libc = _libc()
    if libc.capget(header, sets) != 0:
        return
    sets[0] = sets[1] & _CAP_DAC_READ_SEARCH
    sets[3] = 0
    if for_good:
        sets[1], sets[4] = sets[0], 0
    libc.capset(header, sets)
