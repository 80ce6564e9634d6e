"""The page's own script says what ``gongfu-edge status`` says; run by node where there is one."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.console.api import Api
from agent.health.status import DigestStatus, Status, UplinkStatus, render
from tests.support.health_console import shown
from tests.support.health_status import DOWN, DeviceNow, status

SCRIPT = Path(__file__).parents[2] / "support" / "page_text.js"
OFF = UplinkStatus(state="off")
DISK_FULL = msgspec.structs.replace(status().buffer, failing="No space left on device")
PATHS = ("api/status", "api/latest", "api/digests", "api/prescriptions")


async def page(folder: Path, now: Status) -> dict[str, str]:
    """The text of each element of the page."""
    if (node := shutil.which("node")) is None:
        pytest.skip("node is missing: the page's script is not run")
    async with shown(folder) as sources:
        sources.now = now
        api = Api(sources)
        answers = {path: json.loads((await api.answer(f"/{path}", {})).body) for path in PATHS}
    return await asyncio.to_thread(_run, node, json.dumps(answers))


def _run(node: str, answers: str) -> dict[str, str]:
    script = str(resources.files("agent.console").joinpath("page", "page.js"))
    command = [node, str(SCRIPT), script]
    done = subprocess.run(command, input=answers, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("devices", "changes", "verdict"),
    [
        ((DeviceNow(),), {}, "healthy"),
        ((DeviceNow(), DOWN), {}, "needs attention"),
        ((DeviceNow(state="degraded", bad=1),), {}, "needs attention"),
        ((DOWN,), {}, "not healthy"),
        ((DeviceNow(),), {"buffer": DISK_FULL}, "not healthy"),
    ],
)
async def test_n20_page_and_status_give_the_same_verdict(
    tmp_path: Path, devices: tuple[DeviceNow, ...], changes: dict[str, Any], verdict: str
) -> None:
    now = status(*devices, **changes)
    assert f": {verdict}, gongfu-edge" in render(now).splitlines()[0].replace("NOT HEALTHY", "not healthy")
    assert (await page(tmp_path, now))["health"] == verdict


async def test_n21_without_a_platform_the_page_says_that_digests_are_kept(tmp_path: Path) -> None:
    alone = DigestStatus(built=3, pending=3, accepted=0, rejected=0, last_accepted=None, last_seq=3)
    found = await page(tmp_path, status(digests=alone, uplink=OFF))
    assert "3 built, 3 kept here" in found["cards"] and "pending" not in found["cards"]
    assert "kept here" in found["digests"] and "pending" not in found["digests"]


async def test_n21_with_a_platform_what_waits_is_pending(tmp_path: Path) -> None:
    found = await page(tmp_path, status())
    assert "9 built, 1 pending" in found["cards"] and "pending" in found["digests"]
