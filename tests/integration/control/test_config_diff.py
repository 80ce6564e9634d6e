"""``config diff`` compares with what runs, whatever the local file says by now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config.parse import load
from agent.control.in_force import NAME, keep, kept
from agent.errors import GongfuError
from tests.support.agents import SIMULATED, gongfu_edge, running, wait_until_running, write_config
from tests.support.control_agent import HOLE, Plant, a_plant, stands
from tests.support.control_agent import running as running_here
from tests.support.ports import free_port


def diff(config: Path, *arguments: str) -> list[str]:
    """The lines of ``config diff``."""
    done = gongfu_edge("config", "diff", *arguments, "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_n10_without_an_argument_the_edited_file_is_compared_with_what_runs(tmp_path: Path) -> None:
    port = free_port()
    config = write_config(tmp_path)
    text = config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{port}"')
    config.write_text(text)
    edited = text.replace("sine:10,50,60", "sine:10,50,61").replace('period = "5s"', 'period = "10s"')
    changed = ["device sim: changed (sim.temperature)", "[digest]: changed"]
    with running(config) as agent:
        wait_until_running(port)
        assert diff(config) == ["against what runs:", "nothing changes"]
        config.write_text(edited)
        assert diff(config) == ["against what runs:", *changed]
        # Named it is the same file, and another file is compared with what runs too, not with the edit.
        assert diff(config, str(config)) == ["against what runs:", *changed]
        (tmp_path / "as-it-was.toml").write_text(text)
        assert diff(config, str(tmp_path / "as-it-was.toml")) == ["against what runs:", "nothing changes"]
        agent.terminate()
        agent.wait(60)
        assert diff(config) == ["against what was in force last (no agent runs):", *changed]


def test_n10_where_nothing_ran_yet_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    for arguments in ((), (str(config),)):
        done = gongfu_edge("config", "diff", *arguments, "--config", str(config))
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert "nothing was in force" in done.stderr and " → " in done.stderr
    other = tmp_path / "other.toml"
    other.write_text(config.read_text() + SIMULATED.replace('"sim"', '"sim-2"'))
    assert diff(config, str(other)) == ["device sim-2: added"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["config.toml", "other.toml"]


async def test_n10_what_was_proven_is_what_is_compared_with(tmp_path: Path) -> None:
    async with a_plant(tmp_path) as plant:
        async with running_here(plant) as agent:
            local = _kept(plant)
            assert await agent.control.offer(plant.bundle(7, plant.press(HOLE))) is not None
            assert stands(agent.control)[0] == "FAILED" and _kept(plant) == local
            assert await agent.control.offer(plant.bundle(8, plant.press(2))) is None
            assert _kept(plant) != local
            assert await agent.control.roll_back(0) is None
            assert _kept(plant) == local
        assert _kept(plant) == local


def _kept(plant: Plant) -> dict[str, object] | None:
    return kept(plant.journal.folder)


def test_n10_what_cannot_be_kept_is_not_kept_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(tmp_path)
    keep(tmp_path, load(config))
    assert kept(tmp_path) is not None
    config.write_text(config.read_text().replace("sine:10", "sine:11"))

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("agent.control.in_force.write_atomically", full)
    keep(tmp_path, load(config))
    assert kept(tmp_path) is None
    tags = (b"1", b'"x"', b"[[]]")
    for damaged in (b"", b"{", b"[]", b"{}", b'{"version":1}', b"\xff", b'{"version":1,"device":[1]}', *(
        b'{"version":1,"device":[{"name":"a","tags":%s}]}' % each for each in tags
    )):  # fmt: skip
        (tmp_path / NAME).write_bytes(damaged)
        with pytest.raises(GongfuError) as caught:
            kept(tmp_path)
        assert caught.value.remedy


def test_n10_secrets_are_not_kept(tmp_path: Path) -> None:
    config = write_config(tmp_path, extra='[platform]\nurl = "https://p.example/api/v1"\nproxy = { file = "proxy" }\n')
    (tmp_path / "proxy").write_text("http://user:hunter2@proxy:3128")
    keep(tmp_path, load(config))
    assert b"hunter2" not in (tmp_path / NAME).read_bytes()
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0
