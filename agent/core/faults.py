"""What escaped from a component, in words that an operator can act on: a stable code, and a remedy."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from agent.errors import GongfuError

UNEXPECTED: Final = "unexpected"
ENDED: Final = "ended"
HUNG: Final = "hung"
_REPORT = "report this with the log (journalctl -u gongfu-edge); the component is started anew meanwhile"
_SPACE = "free some space in the data directory"
_FILES = "see which program holds so many files open, or raise LimitNOFILE in the unit"
_REMEDIES: Mapping[str, str] = {
    "ENOSPC": _SPACE,
    "EDQUOT": "free some space, or raise the quota of the agent's user",
    "EROFS": "the file system is read-only: look at dmesg, then remount it or replace the card",
    "EIO": "the disk does not read or write: look at dmesg, and replace the card or disk",
    "EMFILE": _FILES,
    "ENFILE": _FILES,
    "EACCES": "give the agent's user access to its data directory",
    "EPERM": "give the agent's user access to its data directory",
    "ENOMEM": "give the gateway more memory, or raise MemoryMax in the unit",
    "MemoryError": "give the gateway more memory, or raise MemoryMax in the unit",
    HUNG: "look at what it waits for (a disk, a device, a name server); it is started anew by itself",
}


def code_of(error: BaseException) -> str:
    """A word that stays the same: ``ENOSPC`` and its like, ``MemoryError``, ``failed`` where a clear error says
    more, else ``unexpected``."""
    if isinstance(error, OSError) and (name := errno.errorcode.get(error.errno or 0)):
        return name
    if isinstance(error, MemoryError):
        return "MemoryError"
    return "failed" if isinstance(error, GongfuError) else UNEXPECTED


def remedy_of(error: BaseException) -> str:
    """What an operator can do about it."""
    own = getattr(error, "remedy", "")
    return own if isinstance(own, str) and own else remedy_for(code_of(error))


def remedy_for(code: str) -> str:
    """What an operator can do about a code."""
    return _REMEDIES.get(code, _REPORT)


def in_a_line(error: BaseException, longest: int = 300) -> str:
    """Type and message on one line, bounded; an error whose own text fails is named by its type."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 — a broken __str__ of foreign code
        text = ""
    whole = text if isinstance(error, GongfuError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
    return whole if len(whole) <= longest else f"{whole[: longest - 1]}…"
