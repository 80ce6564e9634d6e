"""Commands where nothing runs yet: one line that helps, and nothing made by looking."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent.buffer.records import DigestRecord, RollupRecord
from agent.buffer.store import Store
from agent.config.parse import load
from agent.digest.rollups import Sums
from agent.digest.summary import span_of
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
    [
        ("status",),
        ("export",),
        ("ledger",),
        ("digest", "list"),
        ("digest", "preview"),
        ("digest", "export", "out"),
        ("digest", "show", "--day", "2026-11-23"),
    ],
)
def test_looking_where_nothing_ran_makes_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    config = write_config(tmp_path)
    arguments = [str(tmp_path / each) if each == "out" else each for each in command]
    done = gongfu_edge(*arguments, "--config", str(config))
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert " → " in done.stderr and "Errno" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


async def test_n14_a_tag_that_never_was_is_an_error_and_the_zone_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    folder = Path(load(config).file.gateway.data_dir)
    folder.mkdir()
    await (await Store.open(folder / "buffer.db")).close()
    done = gongfu_edge("export", "--tag", "no.such", "--config", str(config))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "no tag 'no.such'" in done.stderr and " → " in done.stderr
    done = gongfu_edge("export", "--from", "06:48", "--to", "07:00", "--config", str(config))
    assert done.returncode == 0 and "06:48:00" in done.stderr and "UTC" in done.stderr


def test_a_missing_keys_file_is_named_plainly(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("{}")
    done = gongfu_edge("digest", "verify", str(tmp_path), "--keys", str(tmp_path / "none.jwks"))
    assert done.returncode == 1 and "No such file" in done.stderr and "Errno" not in done.stderr


@pytest.mark.parametrize(
    ("extra", "word"), [("", "kept here"), ('[platform]\nurl = "https://platform.example/api/v1"\n', "pending")]
)
async def test_n21_without_a_platform_digests_are_listed_as_kept(tmp_path: Path, extra: str, word: str) -> None:
    config = write_config(tmp_path, extra=extra)
    folder = Path(load(config).file.gateway.data_dir)
    folder.mkdir()
    store = await Store.open(folder / "buffer.db")
    await store.add_digest(DigestRecord(1, "period", 0, 900 * 10**6, "h", "p", b"{}", "j"), [])
    await store.close()
    done = gongfu_edge("digest", "list", "--config", str(config))
    assert done.returncode == 0 and f"  {word}  " in done.stdout, done.stdout + done.stderr


async def test_a_day_is_shown_from_what_was_kept(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    configuration = load(config)
    folder = Path(configuration.file.gateway.data_dir)
    folder.mkdir()
    store = await Store.open(folder / "buffer.db")
    begin = span_of("day", "2026-11-23", ZoneInfo(configuration.file.gateway.timezone)).start
    sums = Sums(start=begin, end=begin + 900 * 10**6, covered_us=900 * 10**6)
    record = DigestRecord(1, "period", sums.start, sums.end, "h", "p", b"{}", "j")
    await store.add_digest(record, [RollupRecord("day", begin, sums.end, msgspec.json.encode(sums))])
    await store.close()
    done = gongfu_edge("digest", "show", "--day", "2026-11-23", "--config", str(config))
    shown = json.loads(done.stdout)
    assert (shown["schema"], shown["kind"], shown["recorded_s"]) == ("gongfu.summary/1", "day", 900.0)
    other = gongfu_edge("digest", "show", "--week", "2026-11-30", "--config", str(config))
    assert other.returncode == 1 and "no digest has been built for the week of 2026-11-30" in other.stderr
    both = gongfu_edge("digest", "show", "1", "--day", "2026-11-23", "--config", str(config))
    assert both.returncode == 2 and "not allowed with argument" in both.stderr
