"""The README's chapters on configuration from afar: every command is run as it is written there."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.agents import ROOT, environment
from tests.support.remote_site import Site, a_site

README = ROOT / "README.md"
SECRET = """
[[device]]
name = "cnc-1"
driver = "opcua"
interval = "1s"
connection = { url = "opc.tcp://127.0.0.1:4840", username = "edge", password = { secret = { file = "cnc-1.pw" } } }
tag = [{ name = "load", address = "ns=2;s=Load" }]
"""


def blocks(chapter: str, language: str) -> list[str]:
    """The fenced blocks of a chapter."""
    text = README.read_text(encoding="utf-8").split(f"\n## {chapter}", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


@dataclass
class Desk:
    """Where the commands are typed, of the administrator and of the engineer."""

    folder: Path
    site: Site

    @classmethod
    def prepare(cls, folder: Path, site: Site) -> Desk:
        """A folder in which ``gongfu-edge`` and ``sudo`` are commands."""
        tools = folder / "bin"
        tools.mkdir(parents=True)
        for name, line in (
            ("gongfu-edge", f'exec {shlex.quote(sys.executable)} -m agent.cli "$@"'),
            ("sudo", 'exec "$@"'),
        ):
            (tools / name).write_text(f"#!/bin/sh\n{line}\n")
            (tools / name).chmod(0o755)
        return cls(folder, site)

    async def type(self, block: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run each line of a block; what they print."""
        said = []
        for line in block.strip().splitlines():
            typed = line.replace("https://platform.example/api/v1", self.site.url)
            done = await asyncio.to_thread(self._run, typed)
            assert done.returncode in codes, f"{line}\n{done.stdout}{done.stderr}"
            said.append(done.stdout + done.stderr)
        return "\n".join(said)

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        variables = environment()
        variables |= {"PATH": f"{self.folder / 'bin'}{os.pathsep}{variables['PATH']}"}
        variables |= {"GONGFU_EDGE_CONFIG": str(self.site.config)}
        return subprocess.run(
            ["sh", "-c", line], cwd=self.folder, env=variables, capture_output=True, text=True, timeout=100, check=False
        )


async def test_every_command_works_as_written(tmp_path: Path) -> None:
    keys, sign, roll_out, rotate, secrets = blocks("Configuration from afar", "sh")
    show, lock, edit, back = blocks("Configuration at the gateway", "sh")
    async with a_site(tmp_path) as site:
        desk = Desk.prepare(tmp_path / "desk", site)
        assert "2 of 2 must sign" in await desk.type(keys)
        for place in (site.folder, site.folder / "platform"):
            shutil.copy(desk.folder / "admins.jwks", place)
        shutil.copy(site.config, desk.folder / "gateway.toml")
        (draft,) = (block for block in blocks("Configuration from afar", "toml") if "# press.toml" in block)
        local = draft.replace("192.168.1.10", "127.0.0.1").replace("port = 502", f"port = {site.server.port}")
        (desk.folder / "press.toml").write_text(local, encoding="utf-8")
        async with site.platform() as platform:
            with site.agent():
                await site.until_told(platform, "UNSET")
                said = await desk.type(sign)
                assert "press-1" in said and "signed by  Li Na" in said and "\nverified" in said
                assert "revision 12: 1 applied of 1 gateways" in await desk.type(roll_out)

                said = await desk.type(show)
                assert "revision 12" in said and "Wang Wei, Li Na" in said
                assert "changes nothing here" in await desk.type(lock)
                shutil.copy(site.config, desk.folder / "new.toml")
                edited = site.config.read_text().replace('address = "holding:1"', 'address = "holding:3"')
                (desk.folder / "new.toml").write_text(edited)
                shutil.copy(desk.folder / "new.toml", site.config)
                assert "the local file is in force" in await desk.type(edit)

                assert "revision 13: 1 applied" in await desk.type(rotate)
                kept = [each.read_text() for each in (site.folder / "data" / "config").glob("*.json")]
                assert any("Zhang Min" in each for each in kept)
                shutil.copy(desk.folder / "next.jwks", site.folder / "platform" / "admins.jwks")
                (desk.folder / "cnc.toml").write_text(SECRET)
                (desk.folder / "cnc-1.pw").write_text("hunter2")
                assert "1 sealed for" in await desk.type(secrets)
                assert "hunter2" not in (desk.folder / "cnc.bundle").read_text()

                said = await desk.type(back)
                assert "revision 12 is in force" in said and "the local file alone is in force" in said
                told = await site.until("APPLIED", 0)
                assert told["last_error"] == ""


@pytest.mark.timeout(400)
async def test_a_prescription_goes_the_way_that_is_written(tmp_path: Path) -> None:
    keys, *_ = blocks("Configuration from afar", "sh")
    plant, administrators = blocks("Prescriptions", "sh")
    (draft,) = blocks("Prescriptions", "toml")
    async with a_site(tmp_path) as site:
        desk = Desk.prepare(tmp_path / "desk", site)
        await desk.type(keys)
        for place in (site.folder, site.folder / "platform"):
            shutil.copy(desk.folder / "admins.jwks", place)
        today = datetime.now(UTC).date()
        begin, adopted, until = (str(today + timedelta(days=each)) for each in (-20, -10, 40))
        (desk.folder / "rx.toml").write_text(draft.replace("2026-12-01", begin).replace("2027-02-28", until), "utf-8")
        async with site.platform():
            said = await desk.type(administrators.replace("gw-0123456789abcdef", site.id))
            assert "handed in" in said and "2 signed" in said
            with site.agent():
                async with asyncio.timeout(150):
                    while not list(site.folder.glob("data/prescriptions/cases/rx-2026-014.json")):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                said = await desk.type(plant.replace("2026-11-23", adopted))
                assert (
                    "Wang Wei, Li Na" in said and "空载5分钟后停泵。" in said and "measured from the day after" in said
                )
                async with asyncio.timeout(150):
                    while "declined 未采纳" not in await site.page():  # noqa: ASYNC110 - told by no event
                        await asyncio.sleep(0.2)
                page = await site.page()
                assert "no_means" in page and "timer set by Mr Li" not in page
