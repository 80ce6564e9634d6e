"""What somebody is told who may not do something, and who waits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.config import references
from agent.config.references import Unreadable, read_file
from agent.control.mailbox import Mailbox, Reply

CONFIG = """
[gateway]
name = "g"
data_dir = "{data}"
"""


def refused(path: Path, *_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("command", [["reload"], ["config", "rollback", "0"]])
def test_n5_without_the_right_to_the_data_directory_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.format(data=tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").mkdir()  # as little to be opened as somebody else's
    assert main([*command, "--config", str(tmp_path / "config.toml")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "lock" in error and "sudo" in error


def test_n13_who_may_read_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    monkeypatch.setattr(Path, "read_bytes", refused)
    monkeypatch.setattr(references.grp, "getgrgid", lambda number: type("Group", (), {"gr_name": "gongfu-edge"}))
    path.chmod(0o640)
    with pytest.raises(Unreadable) as found:
        read_file(path, 10)
    assert found.value.remedy == "use sudo, or become a member of its group: sudo usermod -aG gongfu-edge YOU"
    path.chmod(0o600)
    with pytest.raises(Unreadable) as found:
        read_file(path, 10)
    assert found.value.remedy.startswith("use sudo") and "usermod" not in found.value.remedy


def test_n11_who_waits_for_the_agent_is_told_that_it_goes_on(tmp_path: Path) -> None:
    box, told = Mailbox(tmp_path / "config"), list[float]()
    asked, pause = threading.Event(), threading.Event()

    def agent() -> None:
        asked.wait()
        while (request := box.take()) is None:
            pause.wait(0.01)
        box.answer(Reply(id=request.id))

    def waiting(seconds: float) -> None:
        told.append(seconds)
        asked.set()

    thread = threading.Thread(target=agent)
    thread.start()
    try:
        assert box.ask("reload", waiting=waiting).refusal == ""
    finally:
        asked.set()
        thread.join()
    assert told and told == sorted(told)
    assert [each.name for each in (tmp_path / "config").iterdir()] == ["reply.json"]
