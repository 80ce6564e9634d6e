"""``python -m scripts.sandbox.platform``: serve the reference platform, make tokens, verify what it holds."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from scripts.sandbox.platform.app import API, serve
from scripts.sandbox.platform.service import Settings, make_token
from scripts.sandbox.platform.store import Store
from scripts.sandbox.platform.verify import verify_all

EXAMPLES = """examples:
  python -m scripts.sandbox.platform --port 8471 --data /tmp/platform --make-token 1
  python -m scripts.sandbox.platform token --data /tmp/platform
  python -m scripts.sandbox.platform verify --data /tmp/platform"""


def main(arguments: Sequence[str]) -> int:
    """Run a command; the default one serves."""
    command, rest = (
        (arguments[0], arguments[1:]) if arguments[:1] and arguments[0] in COMMANDS else ("serve", arguments)
    )
    parser = argparse.ArgumentParser(
        prog="python -m scripts.sandbox.platform",
        description="Gongfu Edge's reference platform. Commands: serve (default), token, verify.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the platform's database")
    if command == "serve":
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
        parser.add_argument("--port", type=int, default=8471, help="0 takes a free one (default: 8471)")
        parser.add_argument(
            "--url", default="", help="public platform URL, where gateways see another than host and port"
        )
        parser.add_argument(
            "--admins", type=Path, metavar="JWKS", help="trust file of those who may sign configuration"
        )
        parser.add_argument("--faults", action="store_true", help="for tests: faults may be switched on over HTTP")
        parser.add_argument("--make-token", type=int, default=0, metavar="N", help="print N one-time tokens first")
    if command == "token":
        parser.add_argument("--count", type=int, default=1)
    if command in ("serve", "token"):
        parser.add_argument(
            "--token-lifetime", type=float, default=86_400.0, metavar="S", help="seconds (default: a day)"
        )
        parser.add_argument("--enterprise", default="", help="enterprise that the tokens are for")
    if command == "verify":
        parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    return COMMANDS[command](parser.parse_args(rest))


def _serve(options: Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_until_stopped(options))
    return 0


async def _serve_until_stopped(options: Namespace) -> None:
    if options.admins is not None:
        options.data.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.admins, options.data / "admins.jwks")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings, url = Settings(faults=options.faults), _with_path(options.url)
    async with serve(options.data, host=options.host, port=options.port, url=url, settings=settings) as running:
        for _ in range(options.make_token):
            token = await running.platform.make_token(lifetime_s=options.token_lifetime, enterprise=options.enterprise)
            print(f"token {token}")
        print(f"page {running.root}/")
        print(f"ready {running.url}", flush=True)
        await stop.wait()


def _with_path(url: str) -> str:
    """``url`` with the contract's base path, if it has no path of its own."""
    return url.rstrip("/") + API if url and urlsplit(url).path in ("", "/") else url


def _token(options: Namespace) -> int:
    with contextlib.closing(Store(options.data)) as store:
        for _ in range(options.count):
            print(make_token(store, time.time(), options.token_lifetime, options.enterprise))
    return 0


def _verify(options: Namespace) -> int:
    if not (options.data / "platform.db").is_file():
        print(f"verify: there is no platform.db in {options.data} → name the folder that --data named", file=sys.stderr)
        return 2
    with contextlib.closing(Store(options.data)) as store:
        reports = verify_all(store)
    if options.json:
        print(json.dumps([report.body() for report in reports], indent=2))
    else:
        for report in reports:
            print(report.line())
    return 0 if all(report.ok for report in reports) else 1


COMMANDS = {"serve": _serve, "token": _token, "verify": _verify}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
