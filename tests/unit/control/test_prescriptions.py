"""What is kept of prescriptions: received, decided, refused; by the agent and a command at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from agent.control import inbox as loop
from agent.control.inbox import ask_for_prescriptions
from agent.control.prescription import MOST_OPEN
from agent.control.prescriptions import MOST_KEPT, Decision
from agent.digest.prescriptions import Prescribed
from agent.errors import GongfuError
from agent.uplink.client import NotOffered
from agent.uplink.held import Held
from tests.support.control_bundles import Signer, trusting
from tests.support.prescriptions import NOW_US, Desk, answer, signed

WANG, LI, STRANGER = Signer("Wang"), Signer("Li"), Signer("Mallory")
DAY_US = 86_400_000_000


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "prescriptions", trusting(WANG))


def adopted(revision: int = 1, at_us: int = NOW_US + 5, on: str = "2026-09-20") -> Decision:
    return Decision(revision=revision, state="adopted", at_us=at_us, on=on, note="Mr Li")


def one(desk: Desk, before_us: int) -> Prescribed:
    (found,) = desk.book.prescribed(before_us)
    return found


def test_what_was_signed_is_kept_to_the_byte_and_not_judged_again(desk: Desk) -> None:
    data = signed(WANG)
    assert desk.inbox().take(answer(data))
    (case,) = desk.book.cases()
    assert case.newest.signed.encode() == data and case.newest.signers == ("Wang",)
    desk.clock.now_us += 400 * DAY_US  # long expired, and signed by somebody who has gone
    desk.trust = trusting(LI)
    assert desk.inbox().take(answer(data))
    assert desk.book.cases() == [case] and desk.refusals() == []


def test_the_state_is_that_of_the_time_asked_for(desk: Desk) -> None:
    desk.inbox().take(answer(signed(WANG)))
    desk.book.decide("rx-1", adopted())
    desk.book.decide("rx-1", Decision(revision=1, state="declined", at_us=NOW_US + 9, reason="risk"))
    assert desk.book.prescribed(NOW_US) == []
    assert one(desk, NOW_US + 1).state == "received"
    then = one(desk, NOW_US + 6)
    assert (then.state, then.adopted, then.decided_us, then.reason) == ("adopted", date(2026, 9, 20), NOW_US + 5, "")
    now = one(desk, NOW_US + 10)
    assert (now.state, now.adopted, now.reason) == ("declined", None, "risk")


def test_a_newer_revision_has_to_be_decided_anew_and_the_older_stays_in_history(desk: Desk) -> None:
    desk.inbox().take(answer(signed(WANG)))
    desk.book.decide("rx-1", adopted())
    desk.clock.now_us += 100
    desk.inbox().take(answer(signed(WANG, revision=2, measure={"en": "Mend the leaks."})))
    (case,) = desk.book.cases()
    assert [each.revision for each in case.kept] == [1, 2]
    assert one(desk, NOW_US + 50).state == "adopted" and one(desk, NOW_US + 101).state == "received"
    with pytest.raises(GongfuError, match="revision 2 of rx-1 has come meanwhile"):
        desk.book.decide("rx-1", adopted())
    desk.book.decide("rx-1", adopted(2, NOW_US + 200))
    assert one(desk, NOW_US + 201).revision == 2


def test_a_withdrawn_one_cannot_be_adopted_any_more(desk: Desk) -> None:
    desk.inbox().take(answer(signed(WANG)))
    desk.book.decide("rx-1", adopted(at_us=NOW_US + 1))
    desk.clock.now_us += 10
    desk.inbox().take(answer(signed(WANG, revision=2, withdrawn=True)))
    found = one(desk, NOW_US + 11)
    assert (found.state, found.adopted) == ("withdrawn", None)
    with pytest.raises(GongfuError, match="withdrawn"):
        desk.book.decide("rx-1", adopted(2))


def test_what_the_platform_does_not_offer_any_more_stays(desk: Desk) -> None:
    desk.inbox().take(answer(signed(WANG)))
    assert desk.inbox().take(answer())
    assert one(desk, NOW_US + 1).state == "received"


def test_each_refusal_is_noted_once_with_its_reason_and_goes_with_the_offer(desk: Desk) -> None:
    desk.inbox().take(answer(signed(WANG, revision=5)))
    bad = [
        signed(STRANGER, id="rx-2"),
        signed(WANG, id="rx-3", gateway_id="gw-other"),
        signed(WANG, id="rx-4", begin="2026-01-01", until="2026-02-01"),
        signed(WANG, revision=4),
        signed(WANG, revision=5, measure={"en": "another text"}),
        b'{"payload": 1, "signatures": []}',
        b'"text"',
    ]
    assert desk.inbox().take(answer(*bad))
    assert desk.refusals() == [
        ("rx-2", "not_trusted"), ("rx-3", "not_addressed"), ("rx-4", "expired"), ("rx-1", "not_newer"),
        ("rx-1", "not_newer"), ("", "malformed"), ("", "malformed"),
    ]  # fmt: skip
    first = desk.book.refused()
    desk.clock.now_us += 1000
    desk.inbox().take(answer(*bad))
    assert desk.book.refused() == first, "a new start does not make them new"
    assert [each.state for each in desk.book.prescribed(NOW_US + 1)] == ["received"] + ["refused"] * 7
    desk.inbox().take(answer())
    assert desk.refusals() == []


def test_whoever_is_trusted_later_makes_it_good(desk: Desk) -> None:
    data = signed(LI)
    desk.inbox().take(answer(data))
    assert desk.refusals() == [("rx-1", "not_trusted")]
    desk.trust = trusting(WANG, LI)
    desk.inbox().take(answer(data))
    assert desk.refusals() == [] and one(desk, NOW_US + 1).state == "received"


def test_without_the_time_it_waits_and_is_no_refusal(desk: Desk) -> None:
    desk.clock.trusted = False
    assert not desk.inbox().take(answer(signed(WANG)))
    assert desk.book.cases() == [] and desk.refusals() == []
    desk.clock.trusted = True
    assert desk.inbox().take(answer(signed(WANG)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"prescriptions": {}}',
        answer(*[signed(WANG)] * (MOST_OPEN + 1)),
        answer(b"[" * 100_000 + b"]" * 100_000),
    ],
)
def test_an_answer_that_is_none_changes_nothing(desk: Desk, data: bytes) -> None:
    desk.inbox().take(answer(signed(WANG)))
    with pytest.raises(ValueError, match="it "):
        desk.inbox().take(data)
    assert one(desk, NOW_US + 1).state == "received"


def test_a_damaged_file_costs_no_other_and_is_named(desk: Desk) -> None:
    desk.inbox().take(answer(signed(WANG), signed(WANG, id="rx-2")))
    (desk.folder / "cases" / "rx-1.json").write_bytes(b"{")
    assert [case.id for case in desk.book.cases()] == ["rx-2"]
    with pytest.raises(GongfuError, match=r"rx-1\.json cannot be used"):
        desk.book.case("rx-1")


def test_decisions_of_several_at_once_are_all_kept(desk: Desk) -> None:
    desk.inbox().take(answer(signed(WANG)))

    def decide(number: int) -> None:
        desk.book.decide("rx-1", adopted(at_us=NOW_US + number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, range(24)))
    (case,) = desk.book.cases()
    assert sorted(each.at_us for each in case.decisions) == [NOW_US + number for number in range(24)]


def test_the_history_is_bounded_and_the_oldest_go_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.control.prescriptions.MOST_KEPT", 3)
    assert MOST_KEPT > MOST_OPEN
    for number in (4, 1, 3, 2, 5):
        desk.inbox().take(answer(signed(WANG, id=f"rx-{number}", until=f"2026-10-0{number}")))
    assert [case.id for case in desk.book.cases()] == ["rx-3", "rx-4", "rx-5"]


def test_the_plant_decides_whether_it_wants_to_hear_of_any(desk: Desk) -> None:
    assert desk.inbox().asks()
    desk.trust = trusting()
    assert not desk.inbox().asks()
    desk.wanted = True
    assert desk.inbox().asks()
    desk.trust, desk.wanted = trusting(WANG), False
    assert not desk.inbox().asks()


class Platform:
    """Answers as scripted, then keeps silent."""

    def __init__(self, *answers: tuple[bytes | None, str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.closed = 0
        self.over = asyncio.Event()

    async def prescriptions(self, etag: str) -> tuple[bytes | None, str]:
        self.asked.append(etag)
        if not self.answers:
            self.over.set()
            await asyncio.Event().wait()
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.closed += 1


async def ask(desk: Desk, platform: Platform, client_of: Callable[[], Platform | None]) -> list[float]:
    """Ask until the script is over; the waits, which take no time."""
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.asyncio, "sleep", sleep)
        patch.setattr(loop, "rest", sleep)
        task = asyncio.create_task(ask_for_prescriptions(desk.inbox(), client_of))
        async with asyncio.timeout(30):
            await platform.over.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return waits


async def test_the_platform_is_asked_slowly_and_with_what_is_known(desk: Desk) -> None:
    platform = Platform(
        (answer(signed(WANG)), '"a"'), (None, '"a"'), Held("down"), (b"<html>", '"b"'), NotOffered(), (answer(), '"c"')
    )
    waits = await ask(desk, platform, lambda: platform)
    assert platform.asked == ["", '"a"', '"a"', '"a"', "", "", '"c"']
    assert 0 <= waits[0] <= 5 and all(wait >= 0.8 * 900 for wait in (*waits[1:3], waits[4], waits[6]))
    assert waits[5] >= 0.8 * 6 * 3600 and platform.closed == 7
    assert one(desk, NOW_US + 1).state == "received"


async def test_what_waits_for_the_time_is_asked_for_again(desk: Desk) -> None:
    desk.clock.trusted = False
    platform = Platform((answer(signed(WANG)), '"a"'))
    await ask(desk, platform, lambda: platform)
    assert platform.asked == ["", ""]


async def test_nobody_is_asked_as_long_as_nobody_is_trusted(desk: Desk) -> None:
    platform, calls = Platform(), iter([None, None])
    await ask(desk, platform, lambda: next(calls, platform))
    assert platform.asked == [""]
