"""What the demonstration is made of: processes that end, free ports, tails, and its summary."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from string import Template

import pytest

from agent.config.difference import difference
from agent.config.overlay import Overlay
from agent.config.parse import load
from scripts.sandbox.demo import Tail, _run_folder, configuration, seconds
from scripts.sandbox.demo_remote import ENERGY, OVERLAY, Outcome
from scripts.sandbox.demo_summary import Kept, Summary, digested, kept, parts, sent
from scripts.sandbox.processes import Failed, Processes, free_port

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    print("child", os.getpid(), flush=True)
print("ready", flush=True)
time.sleep(600)
"""
CSV = """time,tag,value,quality,quality_cause
2026-01-01T00:00:00.000Z,press-1.total,100,good,
2026-01-01T00:00:01.000Z,meter-1.p_total,17.5,good,
2026-01-01T00:00:02.000Z,press-1.total,103,good,
2026-01-01T00:00:03.000Z,press-1.total,,bad,timeout
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_whole_process_group_ends_however_stubborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.sandbox.processes.KILL_AFTER_S", 0.1)
    log = tmp_path / "stubborn.log"
    with Processes(tmp_path) as processes:
        processes.start("stubborn", [sys.executable, "-c", STUBBORN], cwd=tmp_path)
        processes.wait_for("it", lambda: {"ready", "child"} <= set(log.read_text().split()))
        child = int(log.read_text().split("child ")[1].split()[0])
        assert alive(child)
    end = time.monotonic() + 10
    while alive(child) and time.monotonic() < end:
        time.sleep(0.01)
    assert not alive(child)


def test_process_that_ends_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("plant", [sys.executable, "-c", "import sys; sys.exit('no such port')"], cwd=tmp_path)
        with pytest.raises(Failed) as caught:
            processes.wait_for("the plant", lambda: False)
    assert "no such port" in str(caught.value)
    assert "plant.log" in str(caught.value)


def test_what_never_comes_is_said(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes, pytest.raises(Failed):
        processes.wait_for("the moon", lambda: False, timeout_s=0.01)


def test_stop_gives_the_exit_code(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], cwd=tmp_path)
        assert processes.stop("sleeper") == -signal.SIGTERM


def test_busy_port_is_passed_over() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert free_port(port) > port


def test_second_demonstration_gets_its_own_folder(tmp_path: Path) -> None:
    with _run_folder(tmp_path) as first:
        (first / "left-over").touch()
        with _run_folder(tmp_path) as second:
            assert (first.name, second.name) == ("run", "run-2")
    with _run_folder(tmp_path) as again:
        assert again == first
        assert not list(again.iterdir())


def test_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.lines() == []
    with path.open("a") as file:
        for text, expected in (("one\ntw", ["one"]), ("o\n", ["two"]), ("", [])):
            file.write(text)
            file.flush()
            assert tail.lines() == expected


def test_configuration_is_valid(tmp_path: Path) -> None:
    values = {"DATA": tmp_path, "PLATFORM": "http://127.0.0.1:8480/api/v1", "CONSOLE": "127.0.0.1:8470"}
    values |= {"PERIOD": "5s", "MODBUS": 5020, "OPCUA": 4850, "SERIAL": tmp_path / "tty", "TRUST": tmp_path / "x"}
    values |= {"PRESS_CYCLE": "0.84s", "CNC_CYCLE": "3.6s"}
    (tmp_path / "config.toml").write_text(configuration(values), encoding="utf-8")
    loaded = load(tmp_path / "config.toml")
    assert [device.name for device in loaded.devices] == ["press-1", "meter-1", "compressor-1", "cnc-1"]
    assert [machine.name for machine in loaded.file.equipment] == ["press-1", "cnc-1"]
    meters = []
    for energy in ENERGY.values():
        overlay = Template(OVERLAY.read_text(encoding="utf-8")).substitute(MODBUS=5020, ENERGY=energy)
        changed = load(tmp_path / "config.toml", overlay=Overlay(overlay, "overlay"))
        assert difference(loaded, changed).altered == ("meter-1",)
        meters.append(next(device for device in changed.devices if device.name == "meter-1"))
    good, bad = ({tag.series: tag.point.address for tag in meter.tags} for meter in meters)
    local = {tag.series: tag.point.address for tag in loaded.devices[1].tags}
    assert good == local | {"meter-1.power_factor": "holding:0x202A"} and bad != good


def test_an_outcome_is_good_only_if_both_revisions_ended_as_they_shall() -> None:
    assert Outcome(True, True, "dry_run_failed: x").good
    assert not Outcome(True, False).good and not Outcome(False, True).good and not Outcome().good
    assert "NOT applied" in Outcome().text() and "the platform says nothing of it" in Outcome().text()


def test_a_process_that_ends_by_itself_is_no_failure(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("job", [sys.executable, "-c", "raise SystemExit(3)"], cwd=tmp_path, ends=True)
        code = None
        while code is None:
            processes.check()
            code = processes.ended("job")
    assert code == 3


def test_durations() -> None:
    assert [seconds(text) for text in ("60s", "1.5m", "2h", "30")] == [60, 90, 7200, 30]
    with pytest.raises(argparse.ArgumentTypeError):
        seconds("soon")


def test_summary_counts_what_was_kept_and_sent() -> None:
    assert kept(CSV) == {"press-1": Kept(1, 3, 1), "meter-1": Kept(1, 1, 0)}
    ledger = "time  kind  seq  bytes  answer\n2026  enroll      120  201\n2026  digest  1  1500  201\n"
    assert sent(ledger) == 1620


def test_summary_holds_counts_against_the_truth() -> None:
    truth = "\n".join(
        f'{{"time": "2026-01-01T00:00:0{at}Z", "event": "{event}"}}'
        for at, event in (
            ("0.000", "cycle"),
            ("0.500", "cycle"),
            ("1.000", "state"),
            ("1.500", "cycle"),
            ("2.500", "cycle"),
        )
    )
    assert parts(CSV, truth) == "3 counted by the agent, 2 really made in that time"
    assert parts(CSV, truth, "cnc-1.produced", "part") == "none seen"


def test_summary_shows_what_the_last_digest_says_of_a_device(tmp_path: Path) -> None:
    assert digested(tmp_path, "cnc-1.") == "no digest has anything of it"
    load = {"name": "cnc-1.load", "kind": "gauge", "good": 20, "mean": 41.5}
    made = {"name": "cnc-1.made", "kind": "counter", "good": 3, "delta": 2}
    nothing = {"name": "cnc-1.load", "kind": "gauge", "good": 0, "mean": None}
    press = {"name": "press-1.total", "kind": "counter", "good": 9, "delta": 1}
    for number, tags in ((9, [press, load, made]), (10, [press, nothing])):
        (tmp_path / f"{number}.json").write_text(json.dumps({"tags": tags}))
    said = digested(tmp_path, "cnc-1.")
    assert said == "digest 9 has 2 tags of it, such as cnc-1.load mean 41.5, cnc-1.made delta 2"


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"report": {"digests": 0, "verified": 0, "rejected": 0, "ok": True}}, False),
        ({"report": {"digests": 3, "verified": 2, "rejected": 0, "ok": True}}, False),
        ({"report": {"digests": 3, "verified": 3, "rejected": 0, "ok": False}}, False),
        ({"by_agent": (False, "1 failed")}, False),
        ({"by_platform": (False, "FAILED")}, False),
    ],
)
def test_only_what_was_accepted_and_verified_is_good(change: dict[str, object], good: bool) -> None:
    figures: dict[str, object] = {
        "devices": {"press-1": Kept(1, 3, 1)},
        "csv_bytes": 10_000,
        "sent_bytes": 500,
        "parts": "",
        "cnc_parts": "",
        "digested": "",
        "built": 3,
        "report": {"digests": 3, "verified": 3, "rejected": 0, "ok": True},
        "by_platform": (True, "gw-1: ok\ngw-1/park: ok"),
        "by_agent": (True, "ok"),
    }
    summary = Summary(**(figures | change))  # type: ignore[arg-type]
    assert summary.good is good
    assert "press-1" in summary.text()
    if summary.by_platform[0]:  # a line for each chain, one below the other
        assert "  the platform    gw-1: ok\n                  gw-1/park: ok\n" in summary.text()
