"""Whatever is thrown into any component at any of its awaits, all others go on: samples, digests, console."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from agent import app
from agent.app import Agent
from agent.backoff import Backoff
from agent.buffer import housekeeping
from agent.control import inbox, loop
from agent.digest import service as digests
from agent.health import progress
from agent.uplink import outbox, reporter
from agent.uplink.enrol import enroll
from scripts.sandbox.platform import RunningPlatform, serve
from tests.support.control_agent import Plant, a_plant, running, until
from tests.support.ports import free_port
from tests.support.thrown import ERRORS, Injector

AWAITS = 12
"""Of each component, counted from its start: beyond it, one round of a component is like the last."""
REACH_S = 0.25
"""A suspension that a component does not come to within this is one that it has not."""
WHOLE_S = 14.0
"""For all injections; those that are most likely to differ come first."""
QUICK = {
    (app, "CLOCK_CHECK"): 0.02, (housekeeping, "EVERY_S"): 0.05, (app, "REFRESH"): 0.05, (app, "IDLE"): 0.05,
    (loop, "LOOK_S"): 0.02, (inbox, "LOOK_S"): 0.02, (digests, "LONGEST_WAIT"): 0.05, (digests, "RETRY_AFTER"): 0.05,
    (outbox, "IDLE_S"): 0.1, (reporter, "LOOK_S"): 0.05, (reporter, "FIRST_LOOK_S"): 0.05, (reporter, "GAP_S"): 0.05,
    (progress, "UNSUPERVISED_PERIOD_S"): 0.02,
}  # fmt: skip
HONEST = "device steady"
COMPONENTS = {
    *("recorder", "events", "clock", "housekeeping", "status", "digests", "engineer", "watchdog", "console"),
    *("uplink", "uplink park", "reporter", "configuration", "prescriptions", "device press"),
}


@asynccontextmanager
async def whole_agent(
    folder: Path, injector: Injector, patch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Agent, RunningPlatform, int]]:
    """An agent with everything that an agent can have, its platform, and the port of its console."""
    for (module, name), value in QUICK.items():
        patch.setattr(module, name, value)
    patch.setattr(inbox.ask_for_prescriptions, "__kwdefaults__", {"every_s": 0.05, "first_s": 0.0})
    patch.setattr(Backoff, "next", lambda self: 0.002)
    async with serve(folder / "platform") as platform, a_plant(folder) as plant:
        await asyncio.to_thread(enroll, platform.url, await platform.platform.make_token(), plant.data / "identity")
        port = free_port()
        _configure(plant, platform.url, port)
        injector.install(patch)
        async with running(plant) as agent:
            yield agent, platform, port


def _configure(plant: Plant, url: str, port: int) -> None:
    text = plant.config.read_text(encoding="utf-8")
    text = text.replace('listen = ""', f'listen = "127.0.0.1:{port}"').replace('period = "1h"', 'period = "5s"')
    extra = f'[platform]\nurl = "{url}"\n[[audience]]\nname = "park"\nurl = "platform"\nsections = ["coverage"]\n'
    plant.config.write_text(text + extra, encoding="utf-8")


def _asked(port: int) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/api/status", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, ConnectionError):
        return {}


async def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.002)
    return True


class Round:
    """One injection after another into a running agent."""

    def __init__(self, agent: Agent, injector: Injector) -> None:
        self.agent, self.injector = agent, injector

    def state(self, name: str) -> str:
        return next((each.state for each in self.agent.components() if each.name == name), "gone")

    async def throw(self, name: str, at: int, error: BaseException) -> bool:
        """Whether the component came to that await; it runs again when this returns."""
        steady = self.agent.supervisor.runners["steady"]
        scans = steady.snapshot().scans
        self.injector.arm(name, at, error)
        await _wait(lambda: name not in self.injector._armed, REACH_S)
        reached = not self.injector.disarm(name)
        assert await _wait(lambda: self.state(name) == "running", 20), f"{name} does not come back from {error!r}"
        assert await _wait(lambda: steady.snapshot().scans > scans, 20), f"no scan after {error!r} in {name}"
        return reached


async def test_whatever_is_thrown_into_a_component_all_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector = Injector()
    async with whole_agent(tmp_path, injector, monkeypatch) as (agent, platform, port):
        turn = Round(agent, injector)
        names = [each.name for each in agent.components() if each.name != HONEST]
        assert set(names) == COMPONENTS
        await until(lambda: bool(_digests(agent)["accepted"]))
        end, kinds = time.monotonic() + WHOLE_S, cycle(ERRORS)
        open_, made = dict.fromkeys(names, 0), 0
        # Every component at its first awaits first; then deeper, with another error each time.
        while open_ and time.monotonic() < end:
            for name, at in list(open_.items()):
                reached = await turn.throw(name, at, ERRORS[next(kinds)]())
                made += reached
                if not reached or at == AWAITS:
                    del open_[name]
                else:
                    open_[name] = at + 1
        monkeypatch.undo()  # the agent's own rhythm
        assert set(injector.thrown) == set(names), f"nothing came to {set(names) - set(injector.thrown)}"
        assert made > 3 * len(names)
        before, scans = _digests(agent), agent.supervisor.runners["steady"].snapshot()
        await until(lambda: _digests(agent)["built"] > before["built"])
        await until(lambda: _digests(agent)["accepted"] > before["accepted"])
        assert await _wait(lambda: not agent.recorder.failing, 20)
        shown = await asyncio.to_thread(_asked, port)
        assert {each["name"] for each in shown["components"]} == {HONEST, *names}
        assert all(each["state"] == "running" for each in shown["components"]), shown["components"]
        assert scans.reconnects == 0 and scans.state == "running"
        assert [each["name"] for each in shown["devices"] if each["state"] == "running"] == ["steady", "press"]
        reports = await platform.platform.reports()
        assert reports and all(report.ok for report in reports), "the chains hold"
        steady = await agent.store.group_id("steady", 50_000)
        scanned = agent.supervisor.runners["steady"].snapshot().scans
        await agent.recorder.flush()
        recorded = [int((batch.scan_group == steady).sum()) async for batch in agent.store.blocks(0, agent.now())]
        assert sum(recorded) >= scanned, "what was scanned is on disk"


def _digests(agent: Agent) -> dict[str, int]:
    status = agent.snapshot.status(with_host=False).digests
    return {"built": status.built, "accepted": status.accepted}
