"""``digest verify`` makes days and longer spans again from their parts; ``digest show`` prefers what was signed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.buffer.store import Store
from agent.cli.digest import main
from agent.digest.service import DigestService
from agent.evidence.identity import Identity
from tests.integration.digest.test_rolling import DAY, HOUR, PLANT, SUNDAY, after
from tests.support.digest_service import SetClock, record


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Path]:
    """A data directory with the evening of the last day of a month, and its configuration beside it."""
    data = tmp_path / "data"
    identity = Identity.load_or_create(data / "identity")
    store = await Store.open(data / "buffer.db")
    try:
        await record(store, SUNDAY + 21 * HOUR, 300, PLANT)
        await DigestService(store, PLANT, SetClock(after(SUNDAY + DAY + HOUR)), identity).build_due()
    finally:
        await store.close()
    config = tmp_path / "config.toml"
    config.write_text(f'[gateway]\nname = "test"\ndata_dir = "{data}"\n', encoding="utf-8")
    yield config


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capfd.readouterr()
    status = main(arguments)
    said = capfd.readouterr()
    return status, said.out, said.err


async def exported(plant: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    folder = plant.parent / "evidence"
    status, _, _ = await _thread(run, capfd, "export", str(folder), "--config", str(plant))
    assert status == 0
    return folder


async def _thread(function: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def test_days_are_made_again_from_their_parts(plant: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = await exported(plant, capfd)
    status, out, _ = await _thread(run, capfd, "verify", str(folder), "--keys", str(folder / "keys.jwks"))
    assert status == 0
    for line in (
        "digest 4 (shift 2026-05-31 16:00-24:00) agrees with its 3 parts",
        "digest 5 (day 2026-05-31) agrees with its 3 parts",
        "digest 6 (week 2026-05-25) agrees with its one part",
        "digest 7 (month 2026-05) agrees with its one part",
    ):
        assert line in out.splitlines()
    assert out.splitlines()[-1] == "8 verified, 0 failed"
    for name in ("1.json", "1.json.jws"):
        (folder / name).unlink()
    status, out, _ = await _thread(run, capfd, "verify", str(folder), "--keys", str(folder / "keys.jwks"))
    assert status == 0 and "digest 5 (day 2026-05-31) is not compared: 1 of its 3 parts" in out


async def test_a_day_that_says_more_than_its_parts_is_caught_though_it_is_signed(
    plant: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = await exported(plant, capfd)
    for number in (6, 7, 8):  # the chain behind it would have been made anew, too
        for name in (f"{number}.json", f"{number}.json.jws"):
            (folder / name).unlink()
    day = json.loads((folder / "5.json").read_bytes())
    day["coverage"]["total"]["good"] += 900
    body = json.dumps(day, sort_keys=True, separators=(",", ":")).encode()
    identity = Identity.load_or_create(plant.parent / "data" / "identity")
    (folder / "5.json").write_bytes(body)
    (folder / "5.json.jws").write_text(identity.sign_detached(body), encoding="ascii")
    status, out, _ = await _thread(run, capfd, "verify", str(folder), "--keys", str(folder / "keys.jwks"))
    assert status == 1 and out.splitlines()[-1] == "5 verified, 0 failed"
    assert (
        "digest 5 (day 2026-05-31) DISAGREES with its 3 parts: coverage.total.good is 1200, they make 300"
        in out.splitlines()
    )


async def test_a_signed_day_is_shown_and_else_what_is_known_of_it(
    plant: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = await exported(plant, capfd)
    status, out, err = await _thread(run, capfd, "show", "--day", "2026-05-31", "--config", str(plant))
    assert (status, out.encode(), err) == (0, (folder / "5.json").read_bytes(), "")
    status, out, err = await _thread(run, capfd, "show", "--month", "2026-05", "--config", str(plant))
    assert json.loads(out)["kind"] == "month" and "provisional" not in err
    status, out, err = await _thread(run, capfd, "show", "--day", "2026-06-01", "--config", str(plant))
    assert status == 0 and json.loads(out)["provisional"] is True and err.startswith("provisional: there is no signed")
