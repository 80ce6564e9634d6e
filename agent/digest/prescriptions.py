"""What a digest says of the platform's prescriptions: what became of each, and what it has brought about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET

from agent.digest.effect import Effect, effect, first_day_needed, local_date
from agent.digest.report import PrescribedTarget, PrescriptionLine, number
from agent.digest.rollups import Sums
from agent.digest.spec import DigestSpec
from agent.digest.windows import Period, iso

State = Literal["received", "adopted", "declined", "withdrawn", "refused"]
ToldState = State | Literal["expired"]
LONGEST_REASON = 300
TOLD_AFTER_END = timedelta(days=1)
"""The first digest of the day after a prescription's last one tells of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prescribed:
    """A prescription as it stood at some time (UTC microseconds). ``until``: its last day; None of what was refused.
    ``reason``: why it was declined (a word) or refused (a line)."""

    id: str
    revision: int
    hash: str
    state: State
    received_us: int
    decided_us: int = 0
    adopted: date | None = None
    until: date | None = None
    target: PrescribedTarget | None = None
    reason: str = ""


def to_be_told(known: Iterable[Prescribed], period: Period, zone: ZoneInfo) -> list[Prescribed]:
    """Those that the digest of a period tells of: what changed in it; and in the first one of a day all that are
    open or have just ended."""
    today = local_date(period.start, zone)
    begins = local_date(period.start - period.length, zone) != today  # where the one before began
    return [
        each
        for each in known
        if period.start <= max(each.received_us, each.decided_us) < period.end
        or (begins and each.until is not None and today <= each.until + TOLD_AFTER_END)
    ]


def look_back(told: Iterable[Prescribed]) -> date | None:
    """From which of the plant's days on sums are needed for :func:`lines`; None: none are."""
    return min((first_day_needed(each.adopted) for each in told if each.adopted), default=None)


def state_of(each: Prescribed, today: date) -> ToldState:
    """Its state on a day; one that nobody decided about expires."""
    expired = each.state == "received" and each.until is not None and each.until < today
    return "expired" if expired else each.state


def lines(
    told: Sequence[Prescribed],
    spec: DigestSpec,
    days: Sequence[Sums],
    today: date,
    zone: ZoneInfo,
    *,
    within: bool = False,
) -> tuple[PrescriptionLine, ...]:
    """``days``: sums from :func:`look_back` on; ``today`` runs still. ``within`` the plant nothing is withheld."""
    return tuple(_line(each, _measured(each, spec, days, today, zone, within), today) for each in told)


def _measured(
    each: Prescribed, spec: DigestSpec, days: Sequence[Sums], today: date, zone: ZoneInfo, within: bool
) -> Effect | None:
    if each.adopted is None or each.target is None or each.until is None:
        return None
    machine = next((one for one in spec.machines if one.name == each.target.machine), None)
    if machine is None:
        return Effect(reason=f"no machine {each.target.machine} is configured here")
    if machine.refusal and not within:
        return Effect(reason=machine.refusal)
    return effect(each.target, each.adopted, each.until, days, today, zone)


def _line(each: Prescribed, found: Effect | None, today: date) -> PrescriptionLine:
    target = each.target
    return PrescriptionLine(
        id=each.id,
        revision=each.revision,
        hash=each.hash,
        state=state_of(each, today),
        received_at=iso(each.received_us),
        until=each.until.isoformat() if each.until else UNSET,
        decided_at=iso(each.decided_us) if each.decided_us else UNSET,
        adopted_on=each.adopted.isoformat() if each.adopted else UNSET,
        target=_rounded(target) if target else UNSET,
        before=found.before if found else UNSET,
        after=found.after if found else UNSET,
        change=found.change if found else UNSET,
        reached=found.reached if found else UNSET,
        reason=(found.reason if found else each.reason)[:LONGEST_REASON] or UNSET,
    )


def _rounded(target: PrescribedTarget) -> PrescribedTarget:
    return PrescribedTarget(
        indicator=target.indicator, machine=target.machine, side=target.side, value=number(target.value) or 0.0
    )
