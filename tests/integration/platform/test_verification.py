"""Stored chains are proven from the stored bytes; whatever is altered on the platform's own disk shows."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.platform_gateway import platform_with_gateway

ROOT = Path(__file__).resolve().parents[3]


async def _fill(data_dir: Path) -> str:
    async with platform_with_gateway(data_dir) as (_, gateway):
        for changes in ({}, {"kind": "decade"}, {}, {}):
            await gateway.deliver(**changes)
        return gateway.id


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _START, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


# As `python -m scripts.sandbox.platform`, also where the safe path keeps the checkout off sys.path.
_START = f"""
import sys
sys.path.append({str(ROOT)!r})
from scripts.sandbox.platform.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


async def test_verify_prints_a_line_for_each_gateway(tmp_path: Path) -> None:
    gateway_id = await _fill(tmp_path)
    done = _run("verify", "--data", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{gateway_id}: 4 digests, 3 verified, 1 rejected, head 4: ok\n"
    (report,) = json.loads(_run("verify", "--data", str(tmp_path), "--json").stdout)
    assert (report["verified"], report["rejected"], report["head"]["seq"]) == (3, 1, 4)


@pytest.mark.parametrize(
    ("alteration", "said"),
    [
        ("UPDATE digests SET body = replace(CAST(body AS TEXT), '870', '900') WHERE seq = 3", "digest 3"),
        ("UPDATE digests SET hash = printf('%064d', 0) WHERE seq = 3", "digest 4: does not hold"),
        ("UPDATE digests SET jws = (SELECT jws FROM digests WHERE seq = 1) WHERE seq = 4", "digest 4: the signature"),
        ("DELETE FROM digests WHERE seq = 3", "digest 4: follows 2"),
        ("DELETE FROM digests WHERE seq = 1", "digest 2: follows 0"),
        ("UPDATE digests SET state = 'accepted' WHERE seq = 2", "digest 2"),
    ],
)
async def test_an_altered_store_fails_verification(tmp_path: Path, alteration: str, said: str) -> None:
    await _fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "platform.db")) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(alteration.replace("replace(CAST(body AS TEXT), '870', '900')", _blob("'870'", "'900'")))
        database.commit()
    done = _run("verify", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert said in done.stdout


def _blob(old: str, new: str) -> str:
    return f"CAST(replace(CAST(body AS TEXT), {old}, {new}) AS BLOB)"


async def test_an_alteration_shows_on_the_page_and_in_the_counts(tmp_path: Path) -> None:
    gateway_id = await _fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "platform.db")) as database:
        database.execute(f"UPDATE digests SET body = {_blob(repr('870'), repr('900'))} WHERE seq = 3")
        database.commit()
    async with platform_with_gateway(tmp_path, enrolled=False) as (running, gateway):
        async with gateway.session.get(running.url + "/gateways") as response:
            (counts,) = await response.json()
        assert (counts["ok"], counts["verified"]) == (False, 2)
        async with gateway.session.get(f"{running.root}/gateways/{gateway_id}/digests/3") as response:
            assert "failed" in await response.text()


def test_verify_of_a_folder_without_a_platform_says_so(tmp_path: Path) -> None:
    done = _run("verify", "--data", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "platform.db" in done.stderr
    assert not (tmp_path / "none").exists()


def test_tokens_can_be_made_beside_a_running_platform(tmp_path: Path) -> None:
    done = _run("token", "--data", str(tmp_path), "--count", "3")
    assert (done.returncode, len(set(done.stdout.split()))) == (0, 3)


def test_the_server_says_when_it_is_ready_and_ends_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _START, "--data", str(tmp_path), "--port", "0", "--make-token", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(3)]
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert [line[0] for line in lines] == ["token", "page", "ready"]
    assert lines[2][1].endswith("/api/v1")
