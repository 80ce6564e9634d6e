"""A gateway that is configured from outside: real processes and sockets, and the commands that people type."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.platform import RunningPlatform, serve
from tests.support import agents
from tests.support.control_agent import HOLE, PRESS
from tests.support.modbus_devices import Bank
from tests.support.ports import free_port

LOCAL = """
[gateway]
name = "press-shop"
data_dir = "{folder}/data"
[enterprise]
park = "hongkou-01"
[platform]
url = "{url}"
[buffer]
flush = "100ms"
[digest]
period = "5s"
[console]
listen = "127.0.0.1:{console}"
[remote]
allow = {allow}
probation = "{probation}"
trust_file = "{folder}/admins.jwks"
[[device]]
name = "steady"
driver = "simulated"
interval = "50ms"
tag = [{{ name = "clock", address = "clock" }}]
"""


@dataclass
class Site:
    """The gateway's folder, its press and its platform's port."""

    folder: Path
    server: NetServer
    port: int
    console: int
    id: str = ""

    @property
    def url(self) -> str:
        """The platform."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def config(self) -> Path:
        """The local file."""
        return self.folder / "config.toml"

    def press(self, register: int) -> str:
        """An overlay that has the press read another register."""
        return PRESS.format(port=self.server.port, address=f"holding:{register}")

    def write_config(self, probation: str, allow: str) -> None:
        """The local file; the press reads register 1."""
        text = LOCAL.format(folder=self.folder, url=self.url, console=self.console, probation=probation, allow=allow)
        self.config.write_text(text + self.press(1), encoding="utf-8")

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[RunningPlatform]:
        """The platform, at work; what it holds stays."""
        async with serve(self.folder / "platform", port=self.port) as running:
            yield running

    @contextmanager
    def agent(self) -> Iterator[Popen[str]]:
        """The agent as a process of its own; killed at the end of the block unless it has ended."""
        with agents.running(self.config) as process:
            yield process

    async def command(self, *arguments: str) -> CompletedProcess[str]:
        """A command of ``gongfu-edge``."""
        return await asyncio.to_thread(agents.gongfu_edge, *arguments)

    async def here(self, *arguments: str) -> str:
        """What a command on the gateway prints."""
        done = await self.command(*arguments, "--config", str(self.config))
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def admin(self, action: str, *arguments: str) -> CompletedProcess[str]:
        """``gongfu-edge admin push|status`` as Wang."""
        return await self.command(
            "admin", action, *arguments, "--url", self.url, "--key", str(self.folder / "wang.key")
        )

    async def push(self, revision: int, config: str) -> CompletedProcess[str]:
        """Sign a draft for the park and push it."""
        draft = self.folder / f"{revision}.toml"
        draft.write_text(config, encoding="utf-8")
        signed = await self.command(
            "admin", "sign", str(draft), "--selector", "park=hongkou-01", "--revision", str(revision),
            "--key", str(self.folder / "wang.key"), "--against", str(self.config),
        )  # fmt: skip
        assert signed.returncode == 0, signed.stderr
        return await self.admin("push", str(draft.with_suffix(".bundle")), "--every", "100ms", "--patience", "60s")

    async def fleet(self) -> dict[str, Any]:
        """What the platform knows of the gateway, as ``admin status`` tells it."""
        done = await self.admin("status", "--json")
        (found,) = json.loads(done.stdout)
        return dict(found)

    async def until(self, state: str, running: int) -> dict[str, Any]:
        """Wait until the gateway's own status says so."""
        async with asyncio.timeout(100):
            while True:
                config = (await self.status()).get("config", {})
                if (config.get("status"), config.get("running_revision")) == (state, running):
                    return dict(config)
                await asyncio.sleep(0.05)

    async def until_told(self, running: RunningPlatform, state: str, revision: int = 0) -> None:
        """Wait until the platform has been told so of a revision (0: whichever)."""
        async with asyncio.timeout(100):
            while not any(  # noqa: ASYNC110 - told by no event
                (row.report.state, row.report.attempted_revision) == (state, revision)
                and row.report.running_hash  # a status; the digests tell the park, too
                and row.affiliation.park
                for row in await running.platform.control.fleet({})
            ):
                await asyncio.sleep(0.05)

    async def status(self) -> dict[str, Any]:
        """The gateway's own status; empty while it does not answer."""
        return dict(json.loads(await asyncio.to_thread(_get, f"http://127.0.0.1:{self.console}/api/status") or "{}"))

    async def page(self) -> str:
        """The gateway's page at the platform."""
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{self.port}/gateways/{self.id}")


@asynccontextmanager
async def a_site(folder: Path, *, probation: str = "1s", allow: str = '["device", "digest"]') -> AsyncIterator[Site]:
    """An enrolled gateway whose one administrator is Wang Wei; neither agent nor platform runs yet."""
    async with NetServer("127.0.0.1", free_port(), {1: Bank(holes=[HOLE])}) as server:
        site = Site(folder, server, free_port(), free_port())
        (folder / "platform").mkdir()
        site.write_config(probation, allow)
        made = await site.command(
            "admin", "keygen", "--name", "Wang Wei", "--out", str(folder / "wang.key"),
            "--trust", str(folder / "admins.jwks"),
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        (folder / "platform" / "admins.jwks").write_bytes((folder / "admins.jwks").read_bytes())
        async with site.platform() as running:
            token = await running.platform.make_token()
            site.id = (await site.here("enroll", "--url", site.url, "--token", token)).split()[2]
        yield site


def _get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=30) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""
