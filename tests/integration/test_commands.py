"""Commands where nothing runs yet: one line that helps, and nothing made by looking."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.agents import gongfu_edge, write_config


@pytest.mark.parametrize("order", [("--config", "{}", "check"), ("--config={}", "check"), ("check", "--config", "{}")])
def test_the_configuration_may_be_named_before_the_command(tmp_path: Path, order: tuple[str, ...]) -> None:
    config = write_config(tmp_path)
    done = gongfu_edge(*(each.format(config) for each in order))
    assert (done.returncode, done.stderr) == (0, "") and "the configuration is valid" in done.stdout


def test_a_command_that_is_missing_or_unknown_is_said(tmp_path: Path) -> None:
    for arguments in (("--config", "x.toml"), ("--config", "x.toml", "chekc"), ("chekc",)):
        done = gongfu_edge(*arguments)
        assert done.returncode == 2 and "unknown command" in done.stderr and "check" in done.stderr


@pytest.mark.parametrize(
    "command",
    [("status",), ("export",), ("ledger",), ("digest", "list"), ("digest", "preview"), ("digest", "export", "out")],
)
def test_looking_where_nothing_ran_makes_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    config = write_config(tmp_path)
    arguments = [str(tmp_path / each) if each == "out" else each for each in command]
    done = gongfu_edge(*arguments, "--config", str(config))
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert " → " in done.stderr and "Errno" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_a_missing_keys_file_is_named_plainly(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("{}")
    done = gongfu_edge("digest", "verify", str(tmp_path), "--keys", str(tmp_path / "none.jwks"))
    assert done.returncode == 1 and "No such file" in done.stderr and "Errno" not in done.stderr
