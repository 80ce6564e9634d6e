"""B3, A10: what root's commands leave belongs to the service, and they follow no link that the service has made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.cli.owner import acting_as_owner
from tests.support.agents import write_config
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
UID = GID = 64123
"""Of nobody on this machine."""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture
def config() -> Iterator[Path]:
    # Not below pytest's own folder, which is closed to others.
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield prepared(folder)


def prepared(folder: Path) -> Path:
    data = folder / "data"
    data.mkdir(mode=0o750)
    os.chown(data, UID, GID)
    path = write_config(folder)
    path.chmod(0o644)
    return path


def command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])}
    line = [sys.executable, "-m", "agent.cli", *arguments, "--config", str(config)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)


def of_root(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.lstat().st_uid != UID]


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "lock", "--for", "1h"),
        ("config", "unlock"),
        ("config", "rollback", "0"),
        ("reload",),
        ("read", "sim"),
        ("check", "--connect"),
        ("device", "learned", "sim", "--forget"),
        ("prescription", "list"),
        ("enroll", "--token", "x", "--url", "http://127.0.0.1:{port}/api/v1"),
    ],
)
def test_b3_what_a_command_of_root_leaves_belongs_to_the_service(config: Path, arguments: tuple[str, ...]) -> None:
    done = command(config, *(each.format(port=free_port()) for each in arguments))
    assert "Traceback" not in done.stderr and "config.toml" not in done.stderr
    assert of_root(config.parent / "data") == []


def test_b3_what_an_earlier_version_left_of_roots_is_handed_over(config: Path) -> None:
    data = config.parent / "data"
    (data / "lock").touch(mode=0o640)
    (data / "config").mkdir(mode=0o700)
    (data / "config" / "state.json").touch(mode=0o600)
    assert len(of_root(data)) == 3
    command(config, "config", "lock")
    assert of_root(data) == []


@pytest.mark.parametrize(
    ("link", "arguments"),
    [
        ("identity", ("enroll", "--token", "x", "--url", "http://127.0.0.1:{port}/api/v1")),
        ("config", ("config", "lock")),
        ("prescriptions", ("prescription", "list")),
        ("devices", ("read", "sim")),
        ("learned", ("read", "sim")),
        ("drivers", ("check", "--connect")),
        ("lock", ("config", "lock")),
    ],
)
def test_a10_a_link_leads_a_command_of_root_no_further_than_the_services_user(
    config: Path, link: str, arguments: tuple[str, ...]
) -> None:
    theirs = config.parent / "etc"
    theirs.mkdir(mode=0o755)
    (theirs / "passwd").write_text("root", encoding="utf-8")
    (config.parent / "data" / link).symlink_to(theirs if link != "lock" else theirs / "made")
    done = command(config, *(each.format(port=free_port()) for each in arguments))
    assert "Traceback" not in done.stderr, done.stderr
    assert [(path.name, path.stat().st_uid) for path in theirs.iterdir()] == [("passwd", 0)]
    assert theirs.stat().st_uid == 0


def test_a10_no_file_with_a_second_name_is_handed_over(config: Path) -> None:
    theirs = config.parent / "shadow"
    theirs.write_text("root", encoding="utf-8")
    os.link(theirs, config.parent / "data" / "shadow")
    with acting_as_owner(config.parent / "data"):
        assert os.geteuid() == UID and os.getegid() == GID
    assert os.geteuid() == 0 and theirs.stat().st_uid == 0
