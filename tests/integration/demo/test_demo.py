"""``scripts/demo`` does what the README says: it proves the whole way, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
ENOUGH_S = 600.0
"""Two demonstrations are a dozen processes: half a minute on two cores, many on a machine that is busy."""
pytestmark = pytest.mark.timeout(2 * ENOUGH_S)


def start(*arguments: str) -> subprocess.Popen[str]:
    # The dependencies are installed here already; the rest is what a user gets.
    environment = os.environ | {"GONGFU_DEMO_PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
    command = [str(ROOT / "scripts" / "demo"), "--period", "5s", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_two_demos_at_once_have_their_digests_verified_and_their_revisions_judged() -> None:
    demos = [start("--for", "8s"), start("--for", "8s")]
    said = [demo.communicate(timeout=ENOUGH_S)[0] for demo in demos]
    assert [demo.returncode for demo in demos] == [0, 0], said
    for each in said:
        found = re.search(r"(\d+) built, (\d+) accepted, (\d+) verified, 0 rejected", each)
        assert found, each
        assert int(found[2]) == int(found[3]) >= 1
        counted = re.search(r"(\d+) counted by the agent, (\d+) really made", each)
        assert counted, each
        # A stroke may end between the plant's stamp and the agent's, and some on a machine that is busy.
        assert abs(int(counted[1]) - int(counted[2])) <= 3
        assert re.search(r"compressor-1 +6 +\d+ +0\n", each), each
        assert re.search(r"cnc-1 +11 +\d+ +0\n", each), each
        assert re.search(r"of OPC UA +digest \d+ has 6 tags of it, such as cnc-1\.\w+ mean \d", each), each
        assert re.search(r"revision 1 +applied live", each), each
        assert re.search(r"revision 2 +refused by the dry run: dry_run_failed: meter-1\.energy \(address\)", each)
        assert re.search(r"meter-1 +8 +\d+ +0\n", each), each
        run_what_is_shown(each)
    assert len({re.search(r"local console +(\S+)", each)[1] for each in said}) == 2  # type: ignore[index]


def run_what_is_shown(said: str) -> None:
    """N27: the commands that it prints when it is over can be typed as they stand, and answer what is promised."""
    _, _, over = said.partition("What the plant's owner asks")
    typed = re.findall(r"^    (\S.* --config \S+)$", over, re.MULTILINE)
    assert len(typed) == 3, over
    answers = [subprocess.run(line.split(), cwd=ROOT, capture_output=True, text=True, check=True) for line in typed]
    assert "OEE" in answers[0].stdout
    assert '"header"' in answers[1].stdout
    assert "press-1.total" in answers[2].stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running_however_it_ends(number: signal.Signals) -> None:
    demo = start()
    try:
        assert demo.stdout is not None
        while "Ctrl-C ends it" not in (line := demo.stdout.readline()):
            assert line, "it ended by itself"
        started = psutil.Process(demo.pid).children(recursive=True)
        assert len(started) == 3
        demo.send_signal(number)
        demo.wait(ENOUGH_S)
        assert demo.returncode == (-number if number == signal.SIGKILL else 0)
    finally:
        demo.kill()
        demo.communicate()
    end = time.monotonic() + ENOUGH_S
    while time.monotonic() < end and any(map(running, started)):
        time.sleep(0.05)
    assert not any(map(running, started))


def running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
