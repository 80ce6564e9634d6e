"""A driver that ignores its end keeps the agent neither from writing what it holds nor from ending."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.agents import environment, write_config

STUBBORN = """
import asyncio, contextlib, sys
from dataclasses import replace
from agent.cli.main import main
from drivers import registry

class Stubborn:
    async def open(self):
        print("hangs", file=sys.stderr, flush=True)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    def observations(self):
        return {}

real = registry.load
registry.load = lambda name: replace(real(name), create=lambda options, points, context: Stubborn())
sys.exit(main(["run", "--config", sys.argv[1]]))
"""


def test_b4_a_driver_that_ignores_its_end_does_not_keep_the_agent_from_ending(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    agent = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(config)], stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert agent.stderr is not None
        said = [next(line for line in agent.stderr if "hangs" in line)]
        agent.send_signal(signal.SIGTERM)
        said += agent.stderr.readlines()
        assert agent.wait(60) == 0
    finally:
        agent.kill()
        agent.wait()
        if agent.stderr:
            agent.stderr.close()
    text = "".join(said)
    assert "everything is flushed" in text and "the process ends without them" in text, text
