"""``gongfu-edge export``: recorded samples as CSV or JSON lines."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Sequence

from agent.cli.main import parser_for
from agent.cli.stores import reading
from agent.cli.times import iso, parse_time

COLUMNS = ("time", "tag", "value", "quality", "quality_cause")
Row = tuple[str, str, float | str | None, str, str]


def main(arguments: Sequence[str]) -> int:
    """Write every recorded sample of the interval, oldest first, to standard output."""
    parser = parser_for(
        "export",
        example="  gongfu-edge export --from 2h --to now --tag press-1.oil_temp > oil.csv\n"
        "  gongfu-edge export --from 2026-11-23T08:00 --to 2026-11-23T16:00 --format jsonl",
        description="write recorded samples; unchanged values are recorded once, and in full now and then",
    )
    parser.add_argument("--from", dest="start", default="1h", metavar="T", help="begin (default: 1h ago)")
    parser.add_argument("--to", dest="end", default="now", metavar="T", help="end, exclusive (default: now)")
    parser.add_argument("--tag", action="append", default=[], help="full name; may be given again (default: all)")
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    options = parser.parse_args(arguments)
    return asyncio.run(_export(options))


async def _export(options: Namespace) -> int:
    from agent.config.parse import load

    configuration = load(options.config)
    zone, now = configuration.file.gateway.timezone, time.time_ns() // 1000
    start, end = parse_time(options.start, zone, now), parse_time(options.end, zone, now)
    async with reading(configuration) as store:
        write = _csv_writer() if options.format == "csv" else _write_json
        async for row in _rows(store, start, end, options.tag):
            write(row)
    return 0


async def _rows(store: object, start: int, end: int, tags: Sequence[str]) -> AsyncIterator[Row]:
    from agent.buffer.query import export_rows
    from drivers.quality import cause, level

    async for time_us, series, value, quality in export_rows(store, start, end, tags):  # type: ignore[arg-type]
        number = None if isinstance(value, float) and value != value else value
        yield iso(time_us), series, number, level(quality), cause(quality)


def _csv_writer() -> Callable[[Row], None]:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(row: Row) -> None:
        value = row[2]
        writer.writerow((row[0], row[1], _plain(value) if isinstance(value, float) else value, *row[3:]))

    return write


def _plain(value: float) -> str:
    # Every float64 comes back exactly; a whole number is written as one.
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _write_json(row: Row) -> None:
    print(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False))
