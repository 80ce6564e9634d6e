"""What a driver is lent: a private folder if it keeps something, and nothing on disk if it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.config.model import Device
from agent.driving import asked, lend
from agent.errors import GongfuError
from drivers import registry


def device(*, keeps_state: bool) -> Device:
    kind = replace(registry.load("simulated"), keeps_state=keeps_state)
    return Device(name="dev", driver=kind.name, interval=1.0, type=kind, options=kind.options(), tags=())


def test_a_driver_that_keeps_state_gets_a_private_folder(tmp_path: Path) -> None:
    context = lend(device(keeps_state=True), tmp_path, lambda: 0, {})
    assert context.state_dir == tmp_path / "drivers" / "simulated"
    assert context.state_dir.stat().st_mode & 0o777 == 0o700
    assert not context.trust


def test_a_driver_that_keeps_nothing_leaves_no_folder(tmp_path: Path) -> None:
    assert lend(device(keeps_state=False), tmp_path, lambda: 0, {}).state_dir is None
    assert not list(tmp_path.iterdir())


def test_a_data_directory_that_cannot_be_made_is_the_drivers_to_tell(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert lend(device(keeps_state=True), tmp_path / "file", lambda: 0, {}, trust=True).state_dir is not None


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("two\nlines"), AttributeError("x")])
def test_n1_what_a_driver_raises_is_one_line_for_a_command(error: Exception) -> None:
    with pytest.raises(GongfuError, match="cnc-1: the driver failed") as caught, asked("cnc-1"):
        raise error
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_f21_a_driver_knows_whether_the_clock_is_trusted_and_what_it_says_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trusted = [False]
    context = lend(device(keeps_state=False), tmp_path, lambda: 0, {}, clock_trusted=lambda: trusted[0])
    assert not context.clock_trusted()
    trusted[0] = True
    assert context.clock_trusted()
    for _ in range(3):
        context.tell("a new certificate was made")
    assert [each.message for each in caplog.records].count("device dev: a new certificate was made") == 1
