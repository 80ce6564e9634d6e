"""``gongfu-edge ledger``: what was lost or shed, and every byte that left."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Sequence

from agent.cli.main import parser_for
from agent.cli.stores import reading
from agent.cli.times import iso, parse_time
from agent.table import table


def main(arguments: Sequence[str]) -> int:
    """Print the loss ledger, or with ``--uploads`` the upload ledger."""
    parser = parser_for("ledger", example="  gongfu-edge ledger --from 7d\n  gongfu-edge ledger --uploads")
    parser.add_argument("--from", dest="start", default="7d", metavar="T", help="begin (default: 7d ago)")
    parser.add_argument("--to", dest="end", default="now", metavar="T", help="end (default: now)")
    parser.add_argument(
        "--uploads", action="store_true", help="every request that left the plant: when, how much, to whom"
    )
    return asyncio.run(_show(parser.parse_args(arguments)))


async def _show(options: Namespace) -> int:
    from agent.config.parse import load

    configuration = load(options.config)
    zone, now = configuration.file.gateway.timezone, time.time_ns() // 1000
    start, end = parse_time(options.start, zone, now), parse_time(options.end, zone, now)
    async with reading(configuration) as store:
        if options.uploads:
            rows = [
                (
                    iso(each.time),
                    each.kind,
                    "" if each.seq is None else str(each.seq),
                    each.audience or "platform",
                    each.host,
                    str(each.bytes),
                    str(each.status),
                )
                for each in await store.uploads(start, end)
            ]
            print(table(("time", "kind", "seq", "to", "at", "bytes", "answer"), rows))
        else:
            losses = [
                (iso(each.start), iso(each.end), each.cause, each.device, each.series, str(each.count))
                for each in await store.losses(start, end)
            ]
            print(table(("from", "to", "cause", "device", "tag", "samples"), losses))
    return 0
