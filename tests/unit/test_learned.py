"""The record of what was learned about a device: it outlives the process, and trusts no file."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from agent import learned
from agent.cli.main import main
from agent.learned import LearnedFile, file_of

OF = "192.168.1.10:502 unit 1"


def record(folder: Path, *, writes: bool = True, device: str = "press-1") -> LearnedFile:
    return LearnedFile(folder, device, lambda: 1_700_000_000_000_000, writes=writes)


def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    record(tmp_path).keep(OF, {"holes": ["holding:37"]})
    again = record(tmp_path)
    assert again.recall(OF) == {"holes": ["holding:37"]}
    assert again.recall("192.168.1.11:502 unit 1") == {}, "another device is learned anew"
    assert file_of(tmp_path, "press-1").stat().st_mode & 0o777 == 0o600


def test_only_the_daemon_writes(tmp_path: Path) -> None:
    record(tmp_path, writes=False).keep(OF, {"holes": ["holding:37"]}, closing=True)
    assert not list(tmp_path.iterdir())


def test_a_moody_device_does_not_wear_the_card_out(tmp_path: Path) -> None:
    kept = record(tmp_path)
    kept.keep(OF, {"n": 1})
    path = file_of(tmp_path, "press-1")
    first = path.read_bytes()
    kept.keep(OF, {"n": 2})
    assert path.read_bytes() == first
    kept.keep(OF, {"n": 3}, closing=True)
    assert record(tmp_path).recall(OF) == {"n": 3}


def test_a_record_that_is_reset_is_forgotten_by_a_running_driver(tmp_path: Path) -> None:
    kept = record(tmp_path)
    assert not kept.forgotten()
    kept.keep(OF, {"n": 1})
    assert not kept.forgotten()
    file_of(tmp_path, "press-1").unlink()
    kept.keep(OF, {"n": 2}, closing=True)
    assert not file_of(tmp_path, "press-1").exists(), "what was reset does not come back"
    assert [kept.forgotten(), kept.forgotten()] == [True, False]
    kept.keep(OF, {"n": 3})
    assert record(tmp_path).recall(OF) == {"n": 3}


def whole(**changes: object) -> bytes:
    known = {"version": 1, "device": "press-1", "of": OF, "saved": 1, "learned": {"n": 1}}
    return json.dumps(known | changes).encode()


HOSTILE = {
    "empty": b"",
    "zeros": bytes(512),
    "cut off": whole()[:-3],
    "not UTF-8": b"\xff\xfe" + whole(),
    "a list": b"[]",
    "another device's": whole(device="press-2"),
    "newer": whole(version=2),
    "unknown key": whole(more=1),
    "wrong type": whole(learned=[1]),
    "a time beyond all calendars": whole(saved=10**30),
    "too large": whole(learned={"n": "x" * learned.LARGEST}),
    "nested": whole(learned={}).replace(b"{}}", b'{"a":' * 20_000 + b"1" + b"}" * 20_001),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_damaged_record_is_ignored_and_told(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = file_of(tmp_path, "press-1")
    path.parent.mkdir()
    path.write_bytes(HOSTILE[what])
    kept = record(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert kept.recall(OF) == {}
    assert "learned anew" in caplog.text
    kept.keep(OF, {"n": 2})
    assert record(tmp_path).recall(OF) == {"n": 2}, "and replaced by the next"


@pytest.mark.parametrize("kind", ["fifo", "folder", "link"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = file_of(tmp_path, "press-1")
    path.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "secret").write_bytes(whole())
        path.symlink_to(tmp_path / "secret")
    assert record(tmp_path).recall(OF) == {}
    assert "learned anew" in caplog.text


def test_a_disk_that_takes_nothing_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "learned").write_bytes(b"")
    kept = record(tmp_path)
    for number in range(3):
        kept.keep(OF, {"n": number}, closing=True)
    assert caplog.text.count("lasts until a restart") == 1
    kept.keep(OF, {"n": "x" * learned.LARGEST}, closing=True)


def test_no_device_name_becomes_a_path(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "..", "a/b", "a_b", "数控", "x" * 300, "", "\0"]
    files = {file_of(tmp_path, name) for name in names}
    assert len(files) == len(names)
    assert {path.parent for path in files} == {tmp_path / "learned"}
    for name in names:
        record(tmp_path, device=name).keep(OF, {"n": name})
    assert all(record(tmp_path, device=name).recall(OF) == {"n": name} for name in names)


def test_records_of_devices_that_are_gone_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "MOST_FILES", 5)
    for number in range(12):
        record(tmp_path, device=f"d{number}").keep(OF, {"n": number})
    assert len(list((tmp_path / "learned").iterdir())) == 5


def test_the_command_shows_and_forgets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'''
[gateway]
name = "g"
data_dir = "{tmp_path}"
[[device]]
name = "press-1"
driver = "modbus"
connection = {{ host = "192.168.1.10" }}
  [[device.tag]]
  name = "t"
  address = "holding:1"
''')
    command = ["device", "learned", "press-1", "--config", str(config)]
    assert main(command) == 0
    assert "nothing learned yet" in capsys.readouterr().out
    record(tmp_path).keep(OF, {"holes": ["holding:37", "coil:1"], "limit": {"holding": 8}})
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert OF in shown
    assert "holding:37, coil:1" in shown
    assert "holding 8" in shown
    assert main([*command, "--forget"]) == 0
    assert not file_of(tmp_path, "press-1").exists()
    assert main(["device", "learned", "pres", "--config", str(config)]) == 1
    assert "press-1" in capsys.readouterr().err
    file_of(tmp_path, "press-1").write_bytes(b"{")
    assert main(command) == 1
    assert "--forget" in capsys.readouterr().err
