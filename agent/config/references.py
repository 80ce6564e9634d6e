"""Secrets that the configuration names instead of holding: ``{ env = "NAME" }``, ``{ file = "/path" }``,
``{ jwe = "…" }`` (encrypted to this gateway)."""

from __future__ import annotations

import grp
import logging
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.config.problems import Place, Problems, show

log = logging.getLogger(__name__)

_LARGEST_SECRET = 64 * 1024
FORM = 'write { env = "NAME" } or { file = "/path" }'


class Unreadable(Exception):
    """A file cannot be used; the message says why, ``remedy`` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Absent(Unreadable):
    """There is no such file."""


def read_file(path: Path, limit: int) -> bytes:
    """All bytes of a regular file (never of a device or a pipe, which might not end)."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"{path} is not a file", "name a file")
        if status.st_size > limit:
            raise Unreadable(f"{path} is larger than {limit // 1024} KiB", "name the right file")
        return path.read_bytes()
    except FileNotFoundError:
        raise Absent(f"there is no file {path}", "create it, or correct the path") from None
    except PermissionError:
        raise Unreadable(f"{path} may not be read", _who_may(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unreadable(f"{path} cannot be read ({reason})", "correct the path") from None


def _who_may(path: Path) -> str:
    """What somebody can do who may not read a file."""
    found = next((each for each in (path, *path.parents) if os.access(each, os.F_OK)), path.anchor or ".")
    status = Path(found).stat()
    with suppress(KeyError):  # a group without a name
        group = grp.getgrgid(status.st_gid).gr_name
        if group != "root" and status.st_mode & stat.S_IRGRP:
            return f"use sudo, or become a member of its group: sudo usermod -aG {group} YOU"
    return "use sudo; where the agent itself may not: give its user the right to read it"


class Resolver:
    """Finds what a reference names. ``folder``: where a relative path starts. ``decrypt``: a compact JWE →
    its text, or ValueError."""

    def __init__(self, environ: Mapping[str, str], folder: Path, decrypt: Callable[[str], str] | None = None) -> None:
        self._environ = environ
        self._folder = folder
        self._decrypt = decrypt

    def resolve(self, reference: Mapping[str, Any], place: Place, problems: Problems) -> str | None:
        """The text named by ``reference``; None after a problem was noted. Never shows the text."""
        if len(reference) != 1 or not reference.keys() <= {"env", "file", "jwe"}:
            problems.add(place, "is no reference to a secret", FORM)
            return None
        ((how, name),) = reference.items()
        if how == "jwe" and isinstance(name, list) and name and all(isinstance(each, str) for each in name):
            return self._encrypted(name, place, problems)  # one for each of several gateways
        if not isinstance(name, str) or not name:
            problems.add((place, how), f"must be a name in quotes, not {show(name)}", FORM)
            return None
        if how == "jwe":
            return self._encrypted([name], place, problems)
        return self._variable(name, place, problems) if how == "env" else self._file(name, place, problems)

    def _encrypted(self, sealed: list[str], place: Place, problems: Problems) -> str | None:
        error = ValueError("cannot be decrypted here")
        for jwe in sealed if self._decrypt else ():
            try:
                return self._decrypt(jwe) if self._decrypt else None
            except ValueError as refusal:
                error = refusal
        problems.add((place, "jwe"), str(error), "encrypt it to this gateway's own key: gongfu-edge admin sign")
        return None

    def _variable(self, name: str, place: Place, problems: Problems) -> str | None:
        value = self._environ.get(name)
        if value is None:
            problems.add((place, "env"), f"the environment has no variable {name}", "set it for the service")
        return value

    def _file(self, name: str, place: Place, problems: Problems) -> str | None:
        path = self._folder / name
        try:
            text = read_file(path, _LARGEST_SECRET).decode()
        except Unreadable as error:
            problems.add((place, "file"), str(error), error.remedy)
            return None
        except UnicodeDecodeError:
            problems.add((place, "file"), f"{path} is not UTF-8 text", "save it as UTF-8")
            return None
        if _is_open(path):
            log.warning("%s holds a secret and is open to other users → chmod 640 %s", path, path)
        return text.removesuffix("\n").removesuffix("\r")


def _is_open(path: Path) -> bool:
    """Whether others than the owner and its group may read a file, or others than the owner write it."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP))
    except OSError:  # gone since it was read
        return False
