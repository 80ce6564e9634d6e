"""What is remembered of configurations that came from outside, on disk below ``config/``.

``state.json`` says which revision is in force and how the last attempt went; ``revisions/<n>.json`` holds each
revision that was tried, the last fifty of them. Every write is whole or absent. What is in force changes on
disk only when a revision has been proven, so a crash at any point of an attempt starts with the old one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from agent.control.lock import Lock
from agent.control.trust import Rotation
from agent.errors import GongfuError
from agent.evidence.files import make_folder, write_atomically

State = Literal["UNSET", "APPLYING", "APPLIED", "FAILED"]
S = TypeVar("S", bound=msgspec.Struct)
KEPT = 50
"""Revisions in the history."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where remote configuration stands. Revision 0 is the local file alone."""

    running: int = 0
    attempted: int = 0
    attempted_hash: str = ""
    """Of the configuration that the attempt would have put in force; of the bundle where it came to none."""
    state: State = "UNSET"
    last_error: str = ""
    by_engineer: bool = False
    """Whether the last attempt was the local engineer's."""
    told: str = ""
    """The same as the platform is told it: codes, names and causes."""
    newest: int = 0
    """The highest revision that was ever verified: neither it nor an older one is taken again."""
    judged: str = ""
    """SHA-256 of the bundle that was judged last; it is not judged again."""
    rotation: Rotation | None = None
    """Administrators that a bundle brought; in one file with ``newest``, so that they take effect together."""
    lock: Lock | None = None
    """The local engineer is at work for so long."""


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: what was to be put in force, by whom, when, and how it ended."""

    revision: int
    origin: Literal["platform", "local"]
    config: str
    """The overlay, TOML; secrets in it are encrypted."""
    signers: tuple[str, ...] = ()
    received_us: int = 0
    ended_us: int = 0
    state: State = "APPLYING"
    reason: str = ""
    report: tuple[str, ...] = ()
    """What the dry run saw: old and new values side by side, one line each."""


class Journal:
    """The folder; everything in it is small, and read when it is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._revisions = folder / "revisions"

    def standing(self) -> Standing:
        """Where things stand; all defaults before the first attempt. Raises GongfuError when damaged."""
        return self._read(self.folder / "state.json", Standing) or Standing()

    def keep(self, standing: Standing) -> None:
        """Write it down. Raises GongfuError."""
        self._write(self.folder / "state.json", standing)

    def revision(self, number: int) -> Revision | None:
        """One attempt; None for one that was never made or is forgotten."""
        return self._read(self._path(number), Revision)

    def enter(self, revision: Revision) -> None:
        """Write an attempt down, over what was known of it; forgets the oldest beyond :data:`KEPT`."""
        self._write(self._path(revision.revision), revision)
        kept = {self.standing().running}
        for number in self.numbers()[:-KEPT]:
            if number not in kept:
                self._path(number).unlink(missing_ok=True)

    def numbers(self) -> list[int]:
        """The revisions that are remembered, oldest first."""
        names = (path.stem for path in self._revisions.glob("*.json"))
        return sorted(int(name) for name in names if name.isdigit())

    def history(self) -> list[Revision]:
        """The attempts that are remembered, newest first."""
        found = (self.revision(number) for number in reversed(self.numbers()))
        return [each for each in found if each is not None]

    def _path(self, number: int) -> Path:
        return self._revisions / f"{number:015d}.json"

    @staticmethod
    def _read(path: Path, kind: type[S]) -> S | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GongfuError(
                f"{path} cannot be used: {error}",
                remedy="compare the administrators' list, then remove it: the local file alone is in force then",
            ) from error

    def _write(self, path: Path, value: msgspec.Struct) -> None:
        make_folder(path.parent)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(value), indent=1))
