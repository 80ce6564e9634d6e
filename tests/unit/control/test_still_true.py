"""N3: what no longer holds after a start is not said any more."""

from __future__ import annotations

from pathlib import Path

from agent.config.parse import load
from agent.control.journal import Journal, Standing
from agent.control.service import compose


def stands_after_start(tmp_path: Path, **standing: object) -> Standing:
    path = tmp_path / "config.toml"
    path.write_text('[gateway]\nname = "g"\n')
    local, journal = load(path), Journal(tmp_path / "config")
    journal.keep(Standing(**{"state": "FAILED", "last_error": "invalid: [platform] changed", **standing}))  # type: ignore[arg-type]
    found = compose(local, journal)[1]
    assert journal.standing() == found
    return found


def test_n3_an_edit_that_needed_a_restart_has_it(tmp_path: Path) -> None:
    found = stands_after_start(tmp_path, by_engineer=True, attempted_hash="ab" * 32)
    assert (found.state, found.last_error, found.attempted_hash) == ("UNSET", "", "")


def test_n3_what_failed_and_is_in_force_now_has_not_failed(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[gateway]\nname = "g"\n')
    found = stands_after_start(tmp_path, attempted_hash=load(path).hash)
    assert (found.state, found.last_error) == ("UNSET", "")


def test_n3_a_failed_revision_of_the_platform_stays_failed(tmp_path: Path) -> None:
    found = stands_after_start(tmp_path, attempted=7, attempted_hash="ab" * 32)
    assert (found.state, found.last_error, found.attempted) == ("FAILED", "invalid: [platform] changed", 7)
