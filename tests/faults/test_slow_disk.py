"""A disk that stalls for a second at every fsync stops nobody who does not write to it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from agent.control.journal import Journal
from agent.control.mailbox import Mailbox
from tests.support.control_agent import CLOCK, a_plant, running, stands

STALL_S = 1.0
"""Of one fsync: what an SD card does while it collects its garbage."""
LONGEST_S = 0.4
"""Between two turns of the loop, and so between two scans of a device at 50 ms."""


class Turns:
    """The longest time that the event loop was away from its work."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last - 0.01), now


async def test_d5_an_fsync_that_stalls_stops_no_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stalls, real, turns = 0, os.fsync, Turns()

    def stalling(handle: int) -> None:
        nonlocal stalls
        stalls += 1
        time.sleep(STALL_S)  # as the kernel would: this thread waits, and no other
        real(handle)

    async with a_plant(tmp_path) as plant, running(plant) as agent:
        steady = agent.supervisor.runners["steady"]
        mailbox = Mailbox(Journal(plant.data / "config").folder)
        scans, began = steady.snapshot().scans, time.monotonic()
        watching = asyncio.create_task(turns.watch())
        monkeypatch.setattr(os, "fsync", stalling)
        # Whatever the daemon writes with fsync: a bundle's way, the engineer's lock and its reply, a refusal.
        assert await agent.control.offer(plant.bundle(7, plant.press(2) + CLOCK)) is None
        assert (await asyncio.to_thread(mailbox.ask, "lock", seconds=3600.0)).refusal == ""
        assert (await asyncio.to_thread(mailbox.ask, "lock")).refusal == ""
        assert await agent.control.offer(b"no bundle at all") is not None
        monkeypatch.undo()
        watching.cancel()
        snapshot, due = steady.snapshot(), (time.monotonic() - began) / 0.05
        assert stands(agent.control)[1] == 7 and stalls > 5
    # A scan that came late is counted; on a machine that is busy with other things the loop is late, too.
    assert turns.longest < STALL_S - LONGEST_S, f"the loop stood still for {turns.longest:.2f} s"
    assert snapshot.scans - scans + snapshot.late >= int(due) - 2 and snapshot.reconnects == 0
