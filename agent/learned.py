"""What was learned about a device, one small file a device; :class:`drivers.contract.LearnedRecord`.

A file is worth no more than the trials it spares: whatever is wrong with it, it is ignored, and said. An
operator who deletes it (``gongfu-edge device learned NAME --forget``) makes a running driver forget, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agent.evidence.files import FileNotWritten, make_folder, write_atomically

VERSION = 1
LARGEST = 65536
"""Bytes of a file; a larger one is not read, and not written."""
MOST_FILES = 500
"""Records that are kept; the oldest go first. Devices come and go, and a platform may name them."""
WRITE_S = 60.0
"""Between two writes of one record, but for the last one: an SD card is not to pay for a moody device."""

_log = logging.getLogger(__name__)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a file. ``saved``: UTC microseconds."""

    version: int
    device: str
    of: str
    saved: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000_000)]
    learned: dict[str, Any]


class Unusable(Exception):
    """A file that is there and tells nothing; the message says why."""


def file_of(data_dir: Path, device: str) -> Path:
    """Where a device's record is; no device name becomes a path."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", device)[:40]
    return data_dir / "learned" / f"{plain}-{hashlib.sha256(device.encode('utf-8', 'replace')).hexdigest()[:12]}.json"


def load(path: Path, device: str) -> Record | None:
    """The record in a file; None where there is none. Raises :class:`Unusable`."""
    try:
        record = msgspec.json.decode(_content(path), type=Record)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unusable("is damaged") from error
    if record.version != VERSION:
        raise Unusable(f"is of version {record.version}, not {VERSION}")
    if record.device != device:
        raise Unusable("is another device's")
    return record


def _content(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Unusable("is no plain file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Unusable(f"is larger than {LARGEST} bytes")
    return data


class LearnedFile:
    """The record of one device as its driver sees it. ``writes`` False: it is recalled, and never changed."""

    def __init__(self, data_dir: Path, device: str, now: Callable[[], int], *, writes: bool) -> None:
        self._path, self._device, self._now, self._writes = file_of(data_dir, device), device, now, writes
        self._kept: tuple[str, bytes] | None = None
        """What the file says, as far as we know."""
        self._next_write_s = 0.0
        self._troubled = False

    def recall(self, of: str) -> Mapping[str, Any]:
        """What was kept about the same ``of``; an unusable file is said and ignored."""
        self._kept = None
        try:
            record = load(self._path, self._device)
        except Unusable as error:
            _log.warning("%s: %s %s → ignored, the device is learned anew", self._device, self._path, error)
            return {}
        if record is None or record.of != of:
            return {}
        self._kept = (of, msgspec.json.encode(record.learned))
        return record.learned

    def keep(self, of: str, learned: Mapping[str, Any], *, closing: bool = False) -> None:
        """Write what changed, unless it was written a moment ago."""
        if not self._writes or (self._kept is not None and not _there(self._path)):
            return  # in the second case it was reset just now: :meth:`forgotten` will tell
        plain = msgspec.json.encode(learned)
        if self._kept == (of, plain) or (self._kept is None and not learned):
            return
        if not closing and time.monotonic() < self._next_write_s:
            return
        self._next_write_s = time.monotonic() + WRITE_S
        record = Record(version=VERSION, device=self._device, of=of, saved=self._now(), learned=dict(learned))
        self._write(of, plain, msgspec.json.format(msgspec.json.encode(record), indent=1))

    def forgotten(self) -> bool:
        """Whether the file that was there is gone."""
        if self._kept is None or _there(self._path):
            return False
        self._kept, self._next_write_s = None, 0.0
        return True

    def _write(self, of: str, plain: bytes, data: bytes) -> None:
        if len(data) > LARGEST:
            return self._trouble(f"is larger than {LARGEST} bytes")
        try:
            make_folder(self._path.parent)
            if not _there(self._path):
                _make_room(self._path.parent)
            write_atomically(self._path, data, durable=False)
        except (FileNotWritten, OSError) as error:
            why = error.reason if isinstance(error, FileNotWritten) else error.strerror
            return self._trouble(f"cannot be written ({why})")
        self._kept, self._troubled = (of, plain), False
        return None

    def _trouble(self, why: str) -> None:
        if not self._troubled:
            _log.warning("%s: %s %s → what was learned lasts until a restart", self._device, self._path, why)
        self._troubled = True


def _there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:  # a disk that fails has reset nothing
        return True
    return True


def _make_room(folder: Path) -> None:
    files = list(folder.glob("*.json"))
    if len(files) < MOST_FILES:
        return
    with contextlib.suppress(OSError):  # somebody else may have removed it
        min(files, key=lambda path: path.lstat().st_mtime).unlink()
