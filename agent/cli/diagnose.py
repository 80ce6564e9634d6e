"""``gongfu-edge diagnose``: the diagnosis of a span of days, as a page for people or as a summary on the terminal."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import time
from argparse import Namespace
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from agent.cli.main import parser_for
from agent.cli.progress import progress
from agent.cli.stores import in_force, reading
from agent.cli.times import parse_time
from agent.errors import GongfuError

if TYPE_CHECKING:
    from agent.config.model import Configuration
    from agent.diagnosis.model import Report
    from agent.diagnosis.words import Words
    from agent.digest.windows import Period

EXAMPLE = """  gongfu-edge diagnose --from 2026-11-16 --to 2026-11-22
  gongfu-edge diagnose --from 2026-11-16 --to 2026-11-22 --html diagnosis.html
  gongfu-edge diagnose --from today
  gongfu-edge diagnose --from 7d --html diagnosis.html --lang en --equipment press-1"""
_DAYS = 7
_EXTRA = "pip install 'gongfu-edge[report]', on an installed gateway: sudo ./scripts/install --with-report"


def main(arguments: Sequence[str]) -> int:
    """Show the diagnosis, or write it into a file."""
    parser = parser_for(
        "diagnose",
        example=EXAMPLE,
        description="the diagnosis of a span of days: states, OEE, energy, stops, coverage, findings and evidence",
    )
    parser.add_argument(
        "--from", dest="start", metavar="T", help="first day of the plant, or a time (default: seven days with --to)"
    )
    parser.add_argument(
        "--to", dest="end", default="now", metavar="T", help="last day, inclusive, or a time (default: now)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures, in one file that prints")
    parser.add_argument(
        "--lang",
        choices=["zh", "en"],
        help="default: en on the terminal; of a page en where the locale is English, else zh",
    )
    parser.add_argument("--equipment", default="", metavar="NAME", help="this machine only")
    options = parser.parse_args(arguments)
    if options.html is not None:
        _check_target(options.html)
    return asyncio.run(_diagnose(options))


def _check_target(path: Path) -> None:
    """Before minutes of work. Raises GongfuError where the page could not be made or written."""
    if importlib.util.find_spec("matplotlib") is None:
        raise GongfuError("diagnose --html needs matplotlib", remedy=_EXTRA)
    if path.is_dir():
        raise GongfuError(f"{path} is a directory", remedy="name a file, such as diagnosis.html")
    if not path.parent.is_dir():
        raise GongfuError(f"{path.parent} is no directory", remedy="make it first, or name another")
    if not os.access(path.parent, os.W_OK):
        raise GongfuError(f"cannot write into {path.parent}", remedy="name a file where you may write")


async def _diagnose(options: Namespace) -> int:
    from agent.diagnosis.gather import gather
    from agent.diagnosis.words import Words, language_of

    configuration = in_force(options.config)
    now = time.time_ns() // 1000
    span = span_of(options.start, options.end, configuration.file.gateway.timezone, now)
    # On the terminal as all commands speak; a page is for whoever reads it.
    words = Words(options.lang or ("en" if options.html is None else language_of()))
    try:
        async with reading(configuration) as store:
            report = await gather(
                store,
                configuration,
                span,
                made=now,
                fingerprint=_fingerprint(configuration),
                machine=options.equipment,
                tell=progress,
            )
        if options.html is None:
            _print(report, words)
        else:
            _write(report, words, options.html)
    finally:
        progress("")
    return 0


def _fingerprint(configuration: Configuration) -> str:
    """Of the gateway's key; empty where nothing has run yet."""
    from agent.cli.owner import acting_as_owner
    from agent.evidence.identity import Identity

    folder = Path(configuration.file.gateway.data_dir) / "identity"
    with acting_as_owner(folder.parent):
        return Identity.load_or_create(folder).thumbprint if (folder / "key.json").exists() else ""


def span_of(start: str | None, end: str, zone: str, now_us: int) -> Period:
    """Dates are days of the plant, the last one inclusive; else times as :func:`parse_time` takes them.

    Raises GongfuError for what is none, and where nothing is left between them.
    """
    from agent.digest.windows import Period

    last = datetime.fromtimestamp(now_us // 1_000_000, ZoneInfo(zone)).date() if end == "today" else _date(end)
    until = _midnight(last + timedelta(days=1), zone) if last else parse_time(end, zone, now_us)
    if start is None:
        day = last or datetime.fromtimestamp(until // 1_000_000, ZoneInfo(zone)).date()
        since = _midnight(day - timedelta(days=_DAYS - 1), zone)
    else:
        since = parse_time(start, zone, now_us)
    if since >= until:
        raise GongfuError(f"--from {start} is not before --to {end}", remedy="exchange them, or name a later --to")
    return Period(since, until)


def _date(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year < 3000 else None


def _midnight(day: date, zone: str) -> int:
    return round(datetime.combine(day, datetime.min.time(), ZoneInfo(zone)).timestamp()) * 1_000_000


def _print(report: Report, words: Words) -> None:
    from agent.diagnosis.terminal import text

    progress("")
    print(text(report, words))


def _write(report: Report, words: Words, path: Path) -> None:
    from agent.diagnosis.page import page
    from agent.evidence.files import write_atomically

    body = page(report, words, progress)
    progress("")
    write_atomically(path, body, mode=0o644, remedy="name another file, or free some space")
    print(words("done", file=path, kilobytes=len(body) // 1000))
