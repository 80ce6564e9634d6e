"""A11: a platform whose answers bring nothing is asked less and less, and costs neither the loop nor the disk."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from agent.control import envelope, loop
from agent.control.bundle import read_envelope
from agent.control.envelope import MOST_TRIED, signed_by
from agent.control.loop import ask_platform
from agent.control.reasons import Refusal
from agent.control.service import Control
from agent.control.trust import read_trust
from tests.support.control_bundles import Signer, signed

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")


class Hasty:
    """Answers every question at once, with the bundles given, over and over."""

    def __init__(self, *bundles: bytes) -> None:
        self.bundles = bundles
        self.asked = 0

    async def desired(self, etag: str, wait_s: int) -> tuple[bytes | None, str]:
        self.asked += 1
        return self.bundles[self.asked % len(self.bundles)], str(self.asked)


class Judge:
    """Takes what is new and good; refuses what is bad."""

    def __init__(self, *bad: bytes) -> None:
        self.bad = bad

    async def offer(self, data: bytes) -> Refusal | None:
        return Refusal("not_trusted", "forged") if data in self.bad else None


@pytest.mark.parametrize(
    "bundles", [(b"7",), (b"bad",), (b"bad", b"worse"), (b"7", b"bad")], ids=["same", "bad", "two bad", "old and bad"]
)
async def test_a11_pauses_grow_as_long_as_there_is_no_news(
    monkeypatch: pytest.MonkeyPatch, bundles: tuple[bytes, ...]
) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def rest(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 16:
            enough.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(loop, "rest", rest)
    platform, judge = Hasty(*bundles), Judge(b"bad", b"worse")
    task = asyncio.create_task(ask_platform(cast(Control, judge), lambda: platform))
    async with asyncio.timeout(10):
        await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert platform.asked <= len(pauses) + 2  # at most one answer was news
    assert pauses[-1] >= 0.1 * loop.LONGEST_NO_NEWS_S


def test_a11_forged_signatures_cost_a_bounded_number_of_verifications(monkeypatch: pytest.MonkeyPatch) -> None:
    admins = [Signer(f"a{number}") for number in range(40)]
    trust = read_trust({"keys": [each.jwk() for each in admins]})
    found = read_envelope(signed(*(Signer("stranger") for _ in range(32))))
    nameless = [envelope.Signature(each.protected, {"alg": "EdDSA"}, each.signature) for each in found.signatures]
    tried = []
    holds = envelope._holds
    monkeypatch.setattr(envelope, "_holds", lambda *given: tried.append(1) or holds(*given))
    assert signed_by(envelope.Envelope(found.text, found.payload, found.sha256, tuple(nameless)), trust) == ()
    assert len(tried) == MOST_TRIED
