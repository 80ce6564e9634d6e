"""``gongfu-edge run``: the agent in the foreground, as systemd starts it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import sys
from collections.abc import Sequence

from agent.cli.main import parser_for

_M_ARENA_MAX = -8
"""Of glibc's ``malloc.h``."""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; everything read is on disk when it returns."""
    # Set before numpy is imported: the agent's arrays are small, and threads cost memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _share_one_heap()
    parser = parser_for("run", example="  gongfu-edge run --config /etc/gongfu-edge/config.toml")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options = parser.parse_args(arguments)
    _set_up_logging(options.log_level)

    from agent.app import run
    from agent.cli.owner import loaded

    configuration = loaded(options.config)
    for each in configuration.warnings:
        logging.getLogger(__name__).warning("%s", each)
    asyncio.run(run(configuration))
    return 0


def _share_one_heap() -> None:
    """Let threads share the heap: glibc gives each its own, and what was freed there stays there."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _set_up_logging(level: str) -> None:
    # journald stamps lines itself; a person at a terminal wants the time.
    stamp = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format=f"{stamp}%(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    for chatty in ("aiosqlite", "asyncio", "urllib3", "aiohttp.access", "pymodbus"):
        logging.getLogger(chatty).setLevel(logging.WARNING if chatty != "pymodbus" else logging.CRITICAL)
