"""The plant's own commands: what is prescribed, what was decided, and one clear line for what cannot be."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.control.prescriptions import REASONS
from tests.support.control_bundles import Signer, trusting
from tests.support.prescriptions import ZONE, Desk, SetClock, answer, signed

WANG = Signer("Wang Wei")
CONFIG = """
[gateway]
name = "press-shop"
data_dir = "{folder}"
[[device]]
name = "plc"
driver = "simulated"
tag = [{{ name = "clock", address = "clock" }}]
[[equipment]]
name = "press-1"
"""


class Plant:
    """A gateway with one prescription."""

    def __init__(self, folder: Path) -> None:
        self.today = datetime.now(ZONE).date()
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(folder=folder / "data"), encoding="utf-8")
        self.desk = Desk(
            folder / "data" / "prescriptions", trusting(WANG), SetClock(time.time_ns() // 1000 - 10_000_000)
        )
        self.sign(1)

    def sign(self, revision: int, **changes: object) -> None:
        """Another revision comes."""
        times = {"begin": str(self.today - timedelta(days=40)), "until": str(self.today + timedelta(days=40))}
        assert self.desk.inbox().take(answer(signed(WANG, revision=revision, **{**times, **changes})))

    def run(self, *arguments: str) -> int:
        """``gongfu-edge prescription …``."""
        return main(["prescription", *arguments, "--config", str(self.config)])


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def test_it_is_listed_adopted_and_shown(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert plant.run("list") == 0
    listed = capsys.readouterr().out
    assert "rx-1" in listed and "received" in listed and "ENPI.IDLE_SHARE of press-1 at most 0.15" in listed
    assert plant.run("adopt", "rx-1", "--on", str(plant.today), "--note", "timer of Mr Li") == 0
    assert str(plant.today) in capsys.readouterr().out
    assert plant.run("list") == 0
    assert "adopted" in capsys.readouterr().out
    (case,) = plant.desk.book.cases()
    decision = case.decision()
    assert decision is not None and (decision.on, decision.note) == (str(plant.today), "timer of Mr Li")


def test_show_prints_the_whole_text_and_the_decision(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert plant.run("decline", "rx-1", "--reason", "risk", "--note", "the seals") == 0
    assert plant.run("show", "rx-1") == 0
    shown = capsys.readouterr().out
    for text in ("Wang Wei", "空载5分钟后停泵。", "idle_energy: press-1, digest 12", "declined: risk (the seals)"):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "clue"),
    [
        (("adopt", "rx-9"), "known here: rx-1"),
        (("adopt", "rx-1", "--on", "2999-01-01"), "in the future"),
        (("adopt", "rx-1", "--on", "2001-01-01"), "too long ago"),
        (("adopt", "rx-1", "--on", "today"), "2026-11-23"),
        (("adopt", "rx-1", "--note", "x" * 1001), "1000"),
        (("decline", "rx-1", "--reason", "we do not like it"), "no_means"),
        (("show", "../../etc/passwd"), "known here"),
    ],
)
def test_what_cannot_be_is_one_line_with_its_remedy(
    plant: Plant, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], clue: str
) -> None:
    assert plant.run(*arguments) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and clue in said and "→" in said
    (case,) = plant.desk.book.cases()
    assert case.decisions == ()


def test_what_is_over_cannot_be_adopted(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant.sign(2, until=str(plant.today))
    assert plant.run("adopt", "rx-1", "--on", str(plant.today)) == 0
    plant.sign(3, withdrawn=True)
    assert plant.run("adopt", "rx-1") == 1
    assert "withdrawn" in capsys.readouterr().err


def test_help_has_an_example_and_every_reason(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["prescription", "--help"], ["prescription", "decline", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
    said = capsys.readouterr().out
    assert "adopt rx-2026-014 --on" in said
    assert all(word in said for word in REASONS)


def test_before_anything_has_come_the_list_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(folder=tmp_path / "data"), encoding="utf-8")
    assert main(["prescription", "list", "--config", str(config)]) == 0
    assert "nothing" in capsys.readouterr().out
