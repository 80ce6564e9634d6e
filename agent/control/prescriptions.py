"""What the gateway keeps of prescriptions: the signed bytes, what the plant decided, what was refused and why.

One file a prescription below ``prescriptions/``. The agent writes what it receives, a command what people decide;
each under a lock on the folder, so that either works whether or not the other runs.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from agent.control.prescription import Prescription, Verified, read_signed
from agent.digest.effect import local_date
from agent.digest.prescriptions import Prescribed, State, state_of
from agent.disclosure.messages import code_of
from agent.errors import GongfuError
from agent.evidence.files import make_folder, write_atomically

log = logging.getLogger(__name__)

REASONS: Final = {
    "not_applicable": "it does not fit this machine or product",
    "already_done": "it was done before",
    "no_means": "money, people or parts are lacking",
    "risk": "risk for safety, quality or delivery",
    "planned_otherwise": "another measure is planned instead",
    "doubtful": "the finding or the expected effect is not convincing",
    "other": "another reason, which stays in the plant",
}
"""Why a plant may decline: the platform is told the word, never the note."""
MOST_KEPT = 200
"""Prescriptions in the history; the oldest go first, but none that is open."""
LONGEST_NOTE = 1_000
_REFUSED = "refused.json"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One revision. ``signed``: the exact bytes, as text; ``hash``: SHA-256 of the payload."""

    revision: int
    hash: str
    signed: str
    signers: tuple[str, ...]
    received_us: int

    def content(self) -> Prescription:
        """What was signed."""
        return read_signed(self.signed.encode()).payload


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the plant made of a revision. ``on``: the day of adoption; ``reason``: of :data:`REASONS`."""

    revision: int
    state: Literal["adopted", "declined"]
    at_us: int
    on: str = ""
    reason: str = ""
    note: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A prescription with its history, oldest first."""

    id: str
    kept: tuple[Kept, ...]
    decisions: tuple[Decision, ...] = ()

    @property
    def newest(self) -> Kept:
        """The revision that counts."""
        return self.kept[-1]

    def decision(self, before_us: int | None = None) -> Decision | None:
        """The last word on the revision that counts (counted at that time)."""
        kept = self.newest if before_us is None else self._kept_before(before_us)
        made = (
            each
            for each in reversed(self.decisions)
            if kept and each.revision == kept.revision and (before_us is None or each.at_us < before_us)
        )
        return next(made, None)

    def at(self, before_us: int) -> Prescribed | None:
        """As it stood then; None: it was not known yet."""
        kept = self._kept_before(before_us)
        if kept is None:
            return None
        content, decided = kept.content(), self.decision(before_us)
        state: State = "withdrawn" if content.withdrawn else decided.state if decided else "received"
        return Prescribed(
            id=self.id,
            revision=kept.revision,
            hash=kept.hash,
            state=state,
            received_us=kept.received_us,
            decided_us=decided.at_us if decided else 0,
            adopted=date.fromisoformat(decided.on) if decided and state == "adopted" else None,
            until=content.until,
            target=content.target,
            reason=decided.reason if decided and state == "declined" else "",
        )

    def _kept_before(self, time_us: int) -> Kept | None:
        return next((each for each in reversed(self.kept) if each.received_us < time_us), None)


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One that was not taken; ``key``: SHA-256 of its bytes as they came. What it says of itself is unproven."""

    key: str
    id: str
    revision: int
    hash: str
    reason: str
    at_us: int

    def told(self) -> Prescribed:
        """As digests tell of it: the code alone, for the rest may name what is on this gateway's disk."""
        return Prescribed(
            id=self.id, revision=self.revision, hash=self.hash, state="refused", received_us=self.at_us,
            reason=code_of(self.reason),
        )  # fmt: skip


class Prescriptions:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def case(self, name: str) -> Case:
        """One prescription. Raises GongfuError where it is not known or cannot be read."""
        found = next((each for each in self._paths() if each.stem == name), None)
        if found is None:
            known = ", ".join(each.stem for each in self._paths()[:5]) or "none has come from the platform"
            raise GongfuError(f"there is no prescription {name}", remedy=f"known here: {known}")
        return _read(found)

    def cases(self) -> list[Case]:
        """All that can be read, by id."""
        found = []
        for path in self._paths():
            try:
                found.append(_read(path))
            except GongfuError as error:
                log.warning("%s", error.line())
        return found

    def refused(self) -> tuple[Refused, ...]:
        """Those that the platform offers and that are not taken."""
        try:
            return msgspec.json.decode((self.folder / _REFUSED).read_bytes(), type=tuple[Refused, ...])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return ()  # they are judged again with the platform's next answer

    def prescribed(self, before_us: int) -> list[Prescribed]:
        """All as they stood at a time (UTC microseconds)."""
        cases = [found for each in self.cases() if (found := each.at(before_us)) is not None]
        return cases + [each.told() for each in self.refused() if each.at_us < before_us]

    # -- what the platform sends ------------------------------------------------------------------------

    def keep(self, found: Verified, data: bytes, now_us: int) -> None:
        """Keep a verified revision, and the exact bytes. Raises GongfuError."""
        revision = Kept(
            revision=found.prescription.revision,
            hash=found.sha256,
            signed=data.decode("utf-8"),
            signers=tuple(admin.shown for admin in found.signers),
            received_us=now_us,
        )
        name = found.prescription.id
        with self._alone():
            path = self._path(name)
            before = _read(path) if path.exists() else Case(id=name, kept=())
            _write(path, msgspec.structs.replace(before, kept=(*before.kept, revision)))
            self._forget()

    def note_refused(self, refused: Iterable[Refused]) -> None:
        """Replace what is known of those that are not taken. Raises GongfuError."""
        new = tuple(refused)
        with self._alone():
            if new != self.refused():
                _write(self.folder / _REFUSED, new)

    def _forget(self) -> None:
        paths = self._paths()
        if len(paths) <= MOST_KEPT:
            return
        ended = sorted((each.newest.content().until, each.id) for each in self.cases())
        for _, name in ended[: len(paths) - MOST_KEPT]:
            self._path(name).unlink(missing_ok=True)

    # -- what the plant decides -------------------------------------------------------------------------

    def decide(self, name: str, decision: Decision) -> None:
        """Write a decision down. Raises GongfuError where it cannot be made (any more)."""
        with self._alone():
            case = self.case(name)
            content = case.newest.content()
            if case.newest.revision != decision.revision:
                raise GongfuError(
                    f"revision {case.newest.revision} of {name} has come meanwhile",
                    remedy=f"gongfu-edge prescription show {name}",
                )
            if content.withdrawn:
                raise GongfuError(f"{name} was withdrawn by those who prescribed it", remedy="there is nothing to do")
            if decision.on and date.fromisoformat(decision.on) > content.until:
                raise GongfuError(f"{name} ended on {content.until}", remedy="ask the platform for a new one")
            _write(self._path(name), msgspec.structs.replace(case, decisions=(*case.decisions, decision)))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            make_folder(self.folder)
            handle = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise GongfuError(
                f"{self.folder}: {error.strerror}", remedy="run this as root or as the agent's user"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _path(self, name: str) -> Path:
        return self.folder / "cases" / f"{name}.json"

    def _paths(self) -> list[Path]:
        # Hidden ones are files that are just being written.
        return sorted(each for each in (self.folder / "cases").glob("*.json") if not each.name.startswith("."))


def shown(book: Prescriptions, now_us: int, zone: ZoneInfo) -> list[dict[str, Any]]:
    """For the gateway's own page: texts, target and state of each; notes are not in it."""
    today = local_date(now_us, zone)
    found = []
    for case in book.cases():
        content, now = case.newest.content(), case.at(now_us + 1)
        found.append(
            {
                "id": case.id,
                "revision": content.revision,
                "state": state_of(now, today) if now else "received",
                "from": content.begin,
                "until": content.until,
                "adopted_on": now.adopted if now else None,
                "reason": now.reason if now else "",
                "text": content.text,
                "measure": content.measure,
                "target": content.target,
            }
        )
    refused = [
        {"id": each.id, "revision": each.revision, "state": "refused", "reason": each.reason} for each in book.refused()
    ]
    return found + refused


def _read(path: Path) -> Case:
    try:
        case = msgspec.json.decode(path.read_bytes(), type=Case)
        for each in case.kept:
            each.content()
        if not case.kept:
            raise ValueError("it is empty")
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise GongfuError(
            f"{path} cannot be used: {error}", remedy="remove it: the platform sends what is open again"
        ) from error
    return case


def _write(path: Path, value: object) -> None:
    make_folder(path.parent)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value), indent=1))
