"""A rollout in waves: a few gateways first, the rest when those have proven it. It can be cut off and resumed.

What a gateway made of the revision is told by its own status; a rollout only decides who is offered it
next. It is all in one small file, written before and after each step, and each step may be repeated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec

from agent.control.fleet import Busy, Member
from agent.errors import GongfuError
from agent.evidence.files import write_atomically

T = TypeVar("T")
Outcome = Literal["applied", "failed", "held", "silent", "waiting"]
"""``held``: the gateway will judge it later (a local engineer is at work, or its clock is not right)."""
HELD = ("locked", "clock_untrusted")
_WAVE = re.compile(r"([0-9]{1,9})|([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")


class Result(msgspec.Struct, frozen=True):
    """What became of one gateway."""

    outcome: Outcome
    reason: str = ""


class Progress(msgspec.Struct, kw_only=True):
    """Where a rollout stands; what the file holds."""

    hash: str
    """Of the bundle's payload."""
    order: list[str]
    """Ids, in the order in which they are offered the revision."""
    sizes: list[int]
    """How many of them have been offered it at the end of each wave."""
    released: int = 0
    results: dict[str, Result] = {}
    """Of gateways that need not be waited for any more."""
    accepted: list[str] = []
    """Failures with which the administrator went on."""
    halted: str = ""
    done: bool = False

    @property
    def wave(self) -> int:
        """The number of the wave under way, from 1."""
        return 1 + next((at for at, size in enumerate(self.sizes) if self.released <= size), len(self.sizes) - 1)

    def count(self, outcome: Outcome) -> int:
        """How many gateways ended so."""
        return sum(each.outcome == outcome for each in self.results.values())

    def waiting(self) -> list[str]:
        """Gateways that were offered it and have not ended yet."""
        return [name for name in self.order[: self.released] if name not in self.results]

    def failures(self) -> dict[str, str]:
        """Reasons by gateway, of those that count."""
        bad = {name: each.reason for name, each in self.results.items() if each.outcome in ("failed", "silent")}
        return {name: reason for name, reason in bad.items() if name not in self.accepted}


class Platform(Protocol):
    """What is asked of :class:`agent.control.fleet.Fleet`."""

    def offer(self, hash_: str, gateways: Sequence[str] | None) -> None: ...
    def members(self, selector: Mapping[str, str], gateway_id: str = "") -> list[Member]: ...


def read_waves(text: str) -> list[tuple[float, bool]]:
    """``1,10%,100%`` → [(1, False), (10, True), (100, True)]. Raises ValueError."""
    waves = []
    for part in text.split(","):
        found = _WAVE.fullmatch(part.strip())
        number = float(found[1] or found[2]) if found else 0.0
        if found is None or number <= 0 or (found[2] and number > 100):
            raise ValueError(f'"{part.strip()}" is no wave: write numbers or shares that grow, such as 1,10%,100%')
        waves.append((number, found[2] is not None))
    return waves


def read_share(text: str) -> float:
    """``2%`` → 0.02. Raises ValueError."""
    found = _WAVE.fullmatch(text.strip())
    if found is None or found[2] is None or float(found[2]) > 100:
        raise ValueError(f'"{text}" is no share: write 2%')
    return float(found[2]) / 100


def sizes(waves: Iterable[tuple[float, bool]], total: int) -> list[int]:
    """How many gateways each wave reaches, of ``total``; waves that add nobody are left out."""
    reached: list[int] = []
    for number, is_share in waves:
        # Rounded first: 10 % of 110 is 11, whatever binary fractions make of it.
        size = min(total, math.ceil(round(total * number / 100, 6)) if is_share else int(number))
        if size > (reached[-1] if reached else 0):
            reached.append(size)
    return reached


def in_order(members: Iterable[Member], hash_: str, seen_since: str) -> list[str]:
    """Those that were seen since then (ISO 8601) first; each rollout begins with others."""
    return [
        each.id
        for each in sorted(
            members, key=lambda each: (each.last_seen < seen_since, sha256(f"{hash_}{each.id}".encode()).digest())
        )
    ]


def judge(member: Member, revision: int, hash_: str) -> Result:
    """What a gateway says of this revision; ``waiting`` where it says nothing of it yet."""
    if member.running_revision >= revision:
        return Result("applied")
    of_this = member.attempted_hash == hash_ or member.attempted_revision == revision
    if of_this and member.state == "FAILED":
        held = member.last_error.partition(":")[0] in HELD
        return Result("held" if held else "failed", member.last_error)
    return Result("waiting")


def load(path: Path, hash_: str) -> Progress | None:
    """The rollout that a file tells of; None: there is none. Raises GongfuError."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GongfuError(f"{path} cannot be used: {error}", remedy="name another file with --state") from error
    if found.hash != hash_:
        raise GongfuError(f"{path} is the rollout of another bundle", remedy="name another file with --state")
    return found


class Rollout:
    """Runs the waves until all are done, or too many failed. ``tell`` is called after each look."""

    def __init__(
        self,
        platform: Platform,
        progress: Progress,
        path: Path,
        *,
        revision: int,
        selector: Mapping[str, str],
        gateway_id: str,
        halt_above: float,
        patience_s: float,
        every_s: float,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        tell: Callable[[Progress, str], None],
    ) -> None:
        """``halt_above``: share of failures at which it halts; ``patience_s``: how long a wave is waited for."""
        self._platform = platform
        self.progress = progress
        self._path = path
        self._revision = revision
        self._whom = (selector, gateway_id)
        self._halt_above = halt_above
        self._patience_s = patience_s
        self._every_s = every_s
        self._now = now
        self._sleep = sleep
        self._tell = tell

    def run(self, *, for_all_at_last: bool) -> bool:
        """Whether it came to its end; else :attr:`Progress.halted` says why not. Raises GongfuError.

        ``for_all_at_last``: offer it at the end also to gateways that come later.
        """
        progress = self.progress
        self._save()
        while not progress.done:
            if not self._finish_wave():
                return False
            following = next((size for size in progress.sizes if size > progress.released), None)
            if following is None:
                if for_all_at_last:
                    self._patiently(lambda: self._platform.offer(progress.hash, None))
                progress.done = True
            else:
                # Written down first: after a cut it is offered again, never forgotten.
                progress.released = following
            self._save()
        return True

    def _finish_wave(self) -> bool:
        """Wait for everybody who was offered it; False when too many failed."""
        progress = self.progress
        names = progress.waiting()
        if names:
            self._patiently(lambda: self._platform.offer(progress.hash, names))
        until = self._now() + self._patience_s
        while progress.waiting():
            members = {each.id: each for each in self._patiently(lambda: self._platform.members(*self._whom))}
            self._look(members, final=self._now() >= until)
            self._save()
            self._tell(progress, "")
            if self._is_halted():
                return False
            if progress.waiting():
                self._sleep(self._every_s)
        return not self._is_halted()

    def _look(self, members: Mapping[str, Member], *, final: bool) -> None:
        for name in self.progress.waiting():
            member = members.get(name)
            result = judge(member, self._revision, self.progress.hash) if member else Result("waiting")
            if result.outcome in ("waiting", "held") and not final:
                continue
            if result.outcome == "waiting":
                result = Result("silent", _silence(member))
            self.progress.results[name] = result

    def _is_halted(self) -> bool:
        progress = self.progress
        failures = progress.failures()
        counted = progress.released - len(progress.accepted)
        if failures and len(failures) > self._halt_above * counted:
            share = f"{self._halt_above * 100:g} %"
            progress.halted = f"{len(failures)} of {counted} failed, which is more than {share}"
            self._save()
            return True
        return False

    def _patiently(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except Busy as error:
                self._tell(self.progress, error.line())
                self._sleep(self._every_s)

    def _save(self) -> None:
        write_atomically(self._path, msgspec.json.encode(self.progress), remedy="name another file with --state")


def _silence(member: Member | None) -> str:
    if member is None:
        return "the platform does not know it any more"
    if member.state == "APPLYING":
        return "still on probation when the time was up"
    return f"no word of it; last seen {member.last_seen}"
