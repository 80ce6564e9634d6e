"""``gongfu-edge enroll`` against the reference platform: one clear line whatever happens, and files that the
daemon can read."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.sandbox.platform import RunningPlatform, serve
from tests.support.agents import gongfu_edge, write_config
from tests.support.uplink_platform import ScriptedPlatform, private_ca, running

DAEMON = 4711
Done = subprocess.CompletedProcess[str]


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[RunningPlatform]:
    async with serve(tmp_path / "platform") as found:
        yield found


async def enroll(folder: Path, url: str, token: str, extra: str = "") -> Done:
    folder.mkdir(exist_ok=True)
    config = write_config(folder, extra=extra)
    return await asyncio.to_thread(gongfu_edge, "enroll", "--url", url, "--token", token, "--config", str(config))


def refused(done: Done) -> str:
    """The one line of a command that failed, which holds what is wrong and what to do."""
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and done.stdout == "" and line.startswith("gongfu-edge enroll: ") and " → " in line
    return line


async def test_enrolling_once_and_again(tmp_path: Path, platform: RunningPlatform) -> None:
    token = await platform.platform.make_token(enterprise="示例冲压厂")
    first = await enroll(tmp_path / "a", platform.url, token)
    assert first.returncode == 0 and first.stderr == ""
    said, expected, _, following = first.stdout.splitlines()
    assert said.startswith("enrolled as gw-") and said.endswith(platform.url) and "示例冲压厂" in expected
    assert following.startswith("next: set [platform] url")
    again = await enroll(tmp_path / "a", platform.url, token, extra=f'[platform]\nurl = "{platform.url}"\n')
    assert again.stdout.splitlines()[0] == said.replace("enrolled", "enrolled again") and again.stderr == ""
    assert "next:" not in again.stdout
    other = ScriptedPlatform()
    async with running(other):
        moved = await enroll(tmp_path / "a", other.url, token)
    assert f"as plant-7 at {other.url}; before, it was gw-" in moved.stdout


async def test_a_used_unknown_or_expired_token(tmp_path: Path, platform: RunningPlatform) -> None:
    used = await platform.platform.make_token()
    assert (await enroll(tmp_path / "a", platform.url, used)).returncode == 0
    expired = await platform.platform.make_token(lifetime_s=-1.0)
    for token, why in ((used, "used by another"), ("K7QF", "unknown"), (expired, "expired")):
        line = refused(await enroll(tmp_path / "b", platform.url, token))
        assert why in line and "new token" in line
    assert not (tmp_path / "b" / "data" / "identity" / "enrolment.json").exists()


async def test_an_unreachable_platform_and_a_wrong_address(tmp_path: Path, platform: RunningPlatform) -> None:
    gone = ScriptedPlatform()
    async with running(gone):
        pass
    assert "no connection to 127.0.0.1" in refused(await enroll(tmp_path / "a", gone.url, "K7QF"))
    assert "--url" in refused(await enroll(tmp_path / "a", f"{platform.root}/nowhere", "K7QF"))
    assert "https://" in refused(await enroll(tmp_path / "a", "http://platform.example/api/v1", "K7QF"))


async def test_a_wrong_ca(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    right, tls = private_ca(tmp_path / "ours")
    wrong, _ = private_ca(tmp_path / "theirs")
    platform = ScriptedPlatform()
    async with running(platform, tls):
        for ca_file in (wrong, tmp_path / "none.pem"):
            extra = f'[platform]\nurl = "{platform.url}"\nca_file = "{ca_file}"\n'
            assert "[platform] ca_file" in refused(await enroll(tmp_path / "a", platform.url, "K7QF", extra))
        extra = f'[platform]\nurl = "{platform.url}"\nca_file = "{right}"\n'
        assert (await enroll(tmp_path / "a", platform.url, "K7QF", extra)).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_as_root_every_file_belongs_to_the_data_directorys_owner(
    tmp_path: Path, platform: RunningPlatform
) -> None:
    data = tmp_path / "a" / "data"
    data.mkdir(parents=True)
    os.chown(data, DAEMON, DAEMON)
    for step in ("first", "after a run as root"):
        token = await platform.platform.make_token()
        assert (await enroll(tmp_path / "a", platform.url, token)).returncode == 0, step
        found = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in data.rglob("*")}
        assert {"identity", "key.json", "enrolment.json"} <= set(found)
        assert set(found.values()) == {(DAEMON, DAEMON)}, step
        assert (data / "identity" / "key.json").stat().st_mode & 0o777 == 0o600
        os.chown(data / "identity" / "key.json", 0, 0)
        os.chown(data / "identity", 0, 0)
