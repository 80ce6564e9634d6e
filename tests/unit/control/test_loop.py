"""The question to the platform: what was answered is not asked for again, and a disk that fails ends nothing."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from agent.backoff import Backoff
from agent.control import loop
from agent.control.loop import ask_platform
from agent.control.reasons import Refusal
from agent.control.service import Control
from agent.errors import GongfuError
from agent.uplink.held import Held


class Platform:
    """Answers as scripted, then keeps the question open."""

    def __init__(self, *answers: tuple[bytes | None, str] | Held) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.over = asyncio.Event()

    async def desired(self, etag: str, wait_s: int) -> tuple[bytes | None, str]:
        self.asked.append(etag)
        if not self.answers:
            self.over.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Held):
            raise answer
        return answer


class Taker:
    """Takes bundles; the disk fails for those named."""

    def __init__(self, *failing: bytes) -> None:
        self.failing = list(failing)
        self.took: list[bytes] = []

    async def offer(self, data: bytes) -> Refusal | None:
        if data in self.failing:
            self.failing.remove(data)
            raise GongfuError("no space left on device")
        self.took.append(data)
        return None


async def asks(platform: Platform, taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask until the script is over; pauses take no time."""

    class Impatient(Backoff):
        def next(self) -> float:
            return 0.0

    monkeypatch.setattr(loop, "Backoff", Impatient)
    task = asyncio.create_task(ask_platform(cast(Control, taker), lambda: platform, pause_s=0.0))
    async with asyncio.timeout(10):
        await platform.over.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_bundle_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    platform, taker = Platform((b"7", "a"), (None, "a"), Held("away"), (b"8", "b"), (None, "")), Taker()
    await asks(platform, taker, monkeypatch)
    assert taker.took == [b"7", b"8"] and platform.asked == ["", "a", "a", "a", "b", ""]


async def test_what_this_disk_could_not_keep_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    platform, taker = Platform((b"7", "a"), (b"7", "a")), Taker(b"7")
    await asks(platform, taker, monkeypatch)
    assert taker.took == [b"7"] and platform.asked == ["", "", "a"]
