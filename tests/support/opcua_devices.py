"""Waiting for what comes in its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

ENOUGH_S = 20.0
"""So long may anything take on a slow machine that builds at the same time."""


async def until(condition: Callable[[], bool], what: str = "it", within_s: float = ENOUGH_S) -> None:
    """Wait until something is so; the clock decides that it never will."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while True:
        if condition():
            return
        assert loop.time() < end, f"{what} did not come within {within_s:g} s"
        await asyncio.sleep(0.02)
