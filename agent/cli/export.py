"""``gongfu-edge export``: recorded samples as CSV or JSON lines."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.cli.main import parser_for
from agent.cli.stores import reading
from agent.cli.times import iso, nearest, parse_time
from agent.errors import GongfuError

COLUMNS = ("time", "tag", "value", "quality", "quality_cause")
_FORMULA = tuple("=+-@\t\r\n'")
Row = tuple[str, str, float | str | None, str, str]


def main(arguments: Sequence[str]) -> int:
    """Write every recorded sample of the interval, oldest first, to standard output."""
    parser = parser_for(
        "export",
        example="  gongfu-edge export --from 2h --to now --tag press-1.oil_temp > oil.csv\n"
        "  gongfu-edge export --from 2026-11-23T08:00 --to 2026-11-23T16:00 --format jsonl",
        description="write recorded samples; unchanged values are recorded once, and in full now and then",
    )
    parser.add_argument(
        "--from", dest="start", default="1h", metavar="T", help="begin, by the plant's clock (default: 1h ago)"
    )
    parser.add_argument("--to", dest="end", default="now", metavar="T", help="end, exclusive (default: now)")
    parser.add_argument("--tag", action="append", default=[], help="full name; may be given again (default: all)")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="CSV: text exactly as it was read; else an apostrophe is put"
        " before text that a spreadsheet would take for a formula (= + - @)",
    )
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    options = parser.parse_args(arguments)
    return asyncio.run(_export(options))


async def _export(options: Namespace) -> int:
    from agent.config.parse import load

    configuration = load(options.config)
    zone, now = configuration.file.gateway.timezone, time.time_ns() // 1000
    start, end = parse_time(options.start, zone, now), parse_time(options.end, zone, now)
    async with reading(configuration) as store:
        known = {*(await store.series_names()).values(), *(t.series for d in configuration.devices for t in d.tags)}
        for tag in options.tag:
            if tag not in known:
                raise GongfuError(f"no tag {tag!r} is configured or was ever recorded", remedy=nearest(tag, known))
        local = (datetime.fromtimestamp(each / 1e6, ZoneInfo(zone)).isoformat(" ", "seconds") for each in (start, end))
        print(f"from {' to '.join(local)} ({zone}); the times of the rows are UTC", file=sys.stderr)
        write = _csv_writer(raw=options.raw) if options.format == "csv" else _write_json
        async for row in _rows(store, start, end, options.tag):
            write(row)
    return 0


async def _rows(store: object, start: int, end: int, tags: Sequence[str]) -> AsyncIterator[Row]:
    from agent.buffer.query import export_rows
    from drivers.quality import cause, level

    async for time_us, series, value, quality in export_rows(store, start, end, tags):  # type: ignore[arg-type]
        number = None if isinstance(value, float) and value != value else value
        yield iso(time_us), series, number, level(quality), cause(quality)


def _csv_writer(*, raw: bool) -> Callable[[Row], None]:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(row: Row) -> None:
        value = row[2]
        text = _plain(value) if isinstance(value, float) else value if raw or value is None else harmless(value)
        writer.writerow((row[0], row[1], text, *row[3:]))

    return write


def harmless(text: str) -> str:
    """Text of a device that no spreadsheet takes for a formula: with an apostrophe before it. One that begins with an
    apostrophe gets another, so that taking one away always gives what was read."""
    return f"'{text}" if text[:1] in _FORMULA else text


def _plain(value: float) -> str:
    # Every float64 comes back exactly; a whole number is written as one.
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _write_json(row: Row) -> None:
    print(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False))
