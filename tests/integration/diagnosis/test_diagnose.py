"""``gongfu-edge diagnose`` as a user types it, over a real store; and its page in a real browser."""

from __future__ import annotations

import asyncio
import html
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.diagnose import span_of
from agent.cli.main import main
from agent.config.parse import load
from agent.digest.windows import DAY, Period
from agent.errors import GongfuError
from tests.support.diagnosis_plants import HOUR, at, filled

CONFIG = """
[gateway]
name = "press-shop"
data_dir = "{data}"

[enterprise]
name = "示例冲压厂"

[[device]]
name = "press-1"
driver = "modbus"
connection = {{ transport = "tcp", host = "192.0.2.1", unit = 1 }}
tag = [{{ name = "total", address = "holding:0", type = "uint32", kind = "counter" }}]

[[equipment]]
name = "press-1"
produced = "press-1.total"
ideal_cycle = "4s"
calendar = {{ days = ["mon", "tue", "wed", "thu", "fri"], shifts = ["08:00-16:00", "16:00-24:00"] }}
"""
MONDAY = at("2026-11-16")
WEEK = ["--from", "2026-11-16", "--to", "2026-11-22"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((found for name in BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a configuration, and two days in its store."""
    (tmp_path / "config.toml").write_text(CONFIG.format(data=tmp_path), encoding="utf-8")

    async def fill() -> None:
        store = await filled(tmp_path, load(tmp_path / "config.toml"), MONDAY, MONDAY + 2 * DAY)
        await store.close()

    asyncio.run(fill())
    return tmp_path


def diagnose(site: Path, *arguments: str) -> int:
    return main(["diagnose", "--config", str(site / "config.toml"), *arguments])


def test_without_a_file_the_terminal_is_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(site, *WEEK, "--lang", "en") == 0
    out, err = capsys.readouterr()
    assert "示例冲压厂" in out and "press-1" in out and "Micro-stops · press-1" in out
    assert err == ""  # no progress in a pipe


@pytest.mark.parametrize(("language", "word"), [("zh", "可用率"), ("en", "Availability")])
def test_a_page_is_written_whole(site: Path, capsys: pytest.CaptureFixture[str], language: str, word: str) -> None:
    page = site / "page.html"
    page.write_text("of last week")
    assert diagnose(site, *WEEK, "--html", str(page), "--lang", language) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>") and word in text
    assert str(page) in capsys.readouterr().out
    assert not [each for each in site.iterdir() if each.name.startswith(".")]  # no half of a page is left


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--html", "."], "is a directory"),
        (["--html", "missing/page.html"], "is no directory"),
        (["--from", "yesterday"], "cannot read the time 'yesterday'"),
        (["--from", "2026-11-22", "--to", "2026-11-16"], "is not before"),
        (["--from", "2026-01-01", "--to", "2026-01-02"], "no digest has been built"),
        ([*WEEK, "--equipment", "mill"], "there is no equipment 'mill' → one of: press-1"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(site)
    assert diagnose(site, *arguments) == 1
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and not out


def test_where_nothing_was_recorded_it_says_so(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "buffer.db").unlink()
    assert diagnose(site, *WEEK) == 1
    assert "nothing recorded yet" in capsys.readouterr().err


def test_without_matplotlib_the_remedy_is_named_and_the_summary_works(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert diagnose(site, *WEEK, "--html", str(site / "page.html")) == 1
    err = capsys.readouterr().err
    assert "needs matplotlib → pip install 'gongfu-edge[report]'" in err and "--with-report" in err
    assert not (site / "page.html").exists()
    assert diagnose(site, *WEEK) == 0


def test_neither_the_daemon_nor_the_summary_loads_matplotlib(site: Path) -> None:
    code = (
        "import sys, agent.app, agent.cli.run\n"
        "from agent.cli.main import main\n"
        f"assert main(['diagnose', '--config', {str(site / 'config.toml')!r}, *{WEEK!r}]) == 0\n"
        "assert not [name for name in sys.modules if name.startswith(('matplotlib', 'agent.diagnosis.pictures'))]\n"
    )
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-16", "2026-11-16", (0, 24)),
        ("2026-11-16", "2026-11-17", (0, 48)),
        ("2026-11-16T08:00", "2026-11-16T16:30", (8, 16.5)),
        ("2026-11-16T00:00Z", "2026-11-16", (8, 24)),
        (None, "2026-11-22", (0, 7 * 24)),
        ("8h", "now", (4, 12)),
        (None, "now", (-6 * 24, 12)),
    ],
)
def test_days_are_those_of_the_plant_and_the_last_one_is_whole(
    start: str | None, end: str, expected: tuple[float, float]
) -> None:
    span = span_of(start, end, "Asia/Shanghai", MONDAY + 12 * HOUR)
    assert span == Period(*(MONDAY + round(each * HOUR) for each in expected))


def test_a_day_on_which_the_clocks_change_is_whole() -> None:
    span = span_of("2026-10-25", "2026-10-25", "Europe/Berlin", MONDAY)
    assert span.length == 25 * HOUR


@pytest.mark.parametrize(("start", "end"), [("today", "now"), ("today", "today")])
def test_n16_today_is_a_day(start: str, end: str) -> None:
    span = span_of(start, end, "Asia/Shanghai", MONDAY + 12 * HOUR)
    assert span == Period(MONDAY, MONDAY + (12 if end == "now" else 24) * HOUR)


@pytest.mark.parametrize("end", ["9999-12-31", "0001-01-01"])
def test_c_a_day_beyond_all_times_is_one_clear_line(end: str) -> None:
    with pytest.raises(GongfuError, match="cannot read the time"):
        span_of(None, end, "Asia/Shanghai", MONDAY)


def test_n16_the_terminal_speaks_as_all_commands_do(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(site, *WEEK) == 0
    assert "diagnosis report" in capsys.readouterr().out


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(GongfuError, match="is not before"):
        span_of("2026-11-16T08:00", "2026-11-16T08:00", "Asia/Shanghai", MONDAY)


def printed(page: Path, limit_s: float) -> list[str]:
    """Print a page as PDF beside it; returns what the browser complained of."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--enable-logging=stderr", "--log-level=0", "--no-pdf-header-footer",
        f"--user-data-dir={page.parent / 'profile'}", f"--print-to-pdf={page.with_suffix('.pdf')}", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=True)
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_prints_it_without_a_complaint_or_a_request(site: Path) -> None:
    probe = site / "probe.html"
    # What the page's own policy forbids, such as a request, is complained of; so this one is.
    probe.write_text(
        "<!doctype html><meta http-equiv=Content-Security-Policy content=\"default-src 'none'\"><img src=x.png>"
    )
    try:
        complaints = printed(probe, 90)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Chromium does not run here: {type(error).__name__}")
    if "x.png" not in "".join(complaints):
        pytest.skip("this Chromium keeps its complaints to itself")
    page = site / "page.html"
    assert diagnose(site, *WEEK, "--html", str(page), "--lang", "zh") == 0
    assert "default-src 'none'" in html.unescape(page.read_text(encoding="utf-8"))
    assert printed(page, 180) == []
    pdf = (site / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and len(pdf) > 20_000
