"""A9, N4: the engineer's lock lasts as long as it was said to, whatever any clock says, and is seen."""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from agent.cli.config import main
from agent.control.journal import Journal, Standing
from agent.control.lock import LONGEST_S, Lock, carried, locked_for
from agent.control.loop import hear_engineer
from agent.control.mailbox import Mailbox
from agent.control.service import Control, Gateway
from agent.errors import GongfuError
from agent.health.model import ConfigStatus
from agent.health.text import render
from tests.support.health_status import status

HOUR = 3600 * 1_000_000
NOON = 1_800_057_600_000_000


class World:
    """A wall clock that may be set, and a boot-time clock."""

    def __init__(self, folder: Path) -> None:
        self.time, self.trusted, self.boot, self.start = NOON, False, 50 * HOUR, "first"
        self.journal = Journal(folder / "config")

    def now(self) -> int:
        return self.time

    def control(self) -> Control:
        gateway = Gateway(id=lambda: "gw", enrolled_admins=dict)
        return Control(cast("Any", self), self.journal, self, gateway, {}, (self.start, lambda: self.boot))


@pytest.mark.parametrize("jump", [-400, -1, 1, 31 * 24, 400 * 24], ids=lambda hours: f"{hours}h")
async def test_a9_no_clock_that_is_set_ends_or_prolongs_a_lock(tmp_path: Path, jump: int) -> None:
    world = World(tmp_path)
    control = world.control()
    await control.lock(3600.0)
    world.time += jump * HOUR
    assert control.locked and control.locked_until_us == world.time + HOUR
    world.boot += HOUR - 1
    assert control.locked
    world.boot += 1
    assert not control.locked and control.locked_until_us == 0


async def test_a9_a_lock_outlives_the_agent_and_the_machine(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.control().lock(3600.0)
    world.boot += HOUR // 2
    control = world.control()  # the agent was started anew
    await control.look_again()
    assert control.locked_until_us == world.time + HOUR // 2
    world.boot, world.start = HOUR // 100, "second"  # and the machine: what was left begins again
    control = world.control()
    assert control.locked_until_us >= world.time + HOUR // 2
    await control.look_again()
    world.boot += HOUR // 4
    control = world.control()  # the agent alone: it does not begin again
    assert control.locked_until_us <= world.time + HOUR * 3 // 4
    world.boot += HOUR
    assert not control.locked
    await control.look_again()
    assert world.journal.standing().lock is None


def test_a9_a_machine_that_is_off_every_night_comes_to_the_end_of_a_lock(tmp_path: Path) -> None:
    world = World(tmp_path)
    asyncio.run(world.control().lock(20 * 3600.0))
    for day in range(4):
        world.boot, world.start = 0, f"day {day}"
        control = world.control()
        for _ in range(8 * 4):
            world.boot += HOUR // 4
            asyncio.run(control.look_again())
    assert not control.locked


@pytest.mark.parametrize("seconds", [1e308, LONGEST_S + 1, math.inf])
def test_a9_a_lock_without_end_has_one(seconds: float) -> None:
    lock = locked_for(seconds, "b", 0)
    assert lock is not None and lock.left_us == LONGEST_S * 1e6
    far = Lock(boot_id="b", until_us=2**62, left_us=2**62)
    found = carried(far, "b", 0)
    assert found is not None and found.left_us == LONGEST_S * 1e6


@pytest.mark.parametrize("seconds", [0.0, -1.0, -math.inf])
def test_a9_no_time_is_no_lock(seconds: float) -> None:
    assert locked_for(seconds, "b", 5) is None and carried(None, "b", 5) is None


async def test_a9_the_answer_says_when_the_lock_ends(tmp_path: Path) -> None:
    world = World(tmp_path)
    control, mailbox = world.control(), Mailbox(world.journal.folder)
    hearing = asyncio.create_task(hear_engineer(control, mailbox, asyncio.Event()))
    try:
        reply = await asyncio.to_thread(mailbox.ask, "lock", seconds=3600.0)
    finally:
        hearing.cancel()
    assert (reply.refusal, reply.locked_until_us, reply.trusted) == ("", NOON + HOUR, False)


def test_a9_what_an_older_agent_kept_is_read(tmp_path: Path) -> None:
    old = msgspec.json.decode(b'{"running": 7, "locked_until_us": 5}', type=Standing)
    assert (old.running, old.lock) == (7, None)


def test_n4_the_status_says_that_the_platform_is_kept_out_and_until_when() -> None:
    locked = ConfigStatus(source="file", running_hash="ab" * 32, locked_until="2026-12-01T12:00:00Z")
    assert "the platform is kept out until 2026-12-01T12:00:00Z" in render(status(config=locked))
    assert "kept out" not in render(status())


def test_a9_the_command_prints_the_effective_end_where_no_agent_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[gateway]\nname = "g"\ndata_dir = "{tmp_path}/data"\n')
    assert main(["lock", "--for", "2h", "--config", str(path)]) == 0
    assert re.search(r"for 2h, until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", capsys.readouterr().out)
    kept = Journal(tmp_path / "data" / "config").standing().lock
    assert kept is not None and kept.left_us == 2 * HOUR
    for span in ("31d", "0s", "-1h", "soon", "99999999999999999d"):
        with pytest.raises(GongfuError):
            main(["lock", f"--for={span}", "--config", str(path)])
    assert main(["unlock", "--config", str(path)]) == 0
    assert Journal(tmp_path / "data" / "config").standing().lock is None
