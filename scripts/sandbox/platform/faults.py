"""Faults on purpose: what an uplink must get over. For tests and the demo; off until switched on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from scripts.sandbox.platform.problems import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FAULT_KINDS = {
    "error": "500 for every request",
    "unavailable": "503 with Retry-After",
    "busy": "429 with Retry-After",
    "slow": "answers rightly, but only after `delay` seconds",
    "garbage": "200 with a page that no platform would send, as from a captive portal",
    "swallow": "takes the request and never answers, storing nothing",
    "lost_answer": "does what was asked, then closes the connection without an answer",
    "reset": "closes the connection at once",
}


@dataclass(slots=True)
class Fault:
    """One fault in force; ``until`` on the monotonic clock, ``left`` requests (-1: any number)."""

    kind: str
    until: float
    left: int
    delay: float
    retry_after: int
    path: str


class Faults:
    """The switchboard. The last fault started is the one in force."""

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self.hits = 0
        """How many requests met a fault."""

    def start(
        self,
        kind: str,
        *,
        seconds: float = 3600.0,
        count: int = -1,
        delay: float = 1.0,
        retry_after: int = 1,
        path: str = "",
    ) -> None:
        """Put a fault in force for ``seconds`` and at most ``count`` requests whose path contains ``path``."""
        if kind not in FAULT_KINDS:
            raise ValueError(f"unknown fault {kind!r}; there are: {', '.join(FAULT_KINDS)}")
        self._fault = Fault(kind, time.monotonic() + seconds, count, delay, retry_after, path)

    def stop(self) -> None:
        """Behave well again."""
        self._fault = None

    @property
    def active(self) -> str:
        """The kind of fault in force; empty: none."""
        fault = self._fault
        if fault is None or fault.left == 0 or time.monotonic() >= fault.until:
            return ""
        return fault.kind

    def _take(self, path: str) -> Fault | None:
        fault = self._fault
        if not self.active or fault is None or fault.path not in path:
            return None
        fault.left -= 1 if fault.left > 0 else 0
        self.hits += 1
        return fault

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer ``request``, or do to it what the fault in force says."""
        fault = self._take(request.path)
        if fault is None:
            return await handler(request)
        if fault.kind == "slow":
            await asyncio.sleep(fault.delay)
            return await handler(request)
        if fault.kind == "lost_answer":
            with contextlib.suppress(Problem):
                await handler(request)
        if fault.kind in ("lost_answer", "reset"):
            return _cut(request)
        if fault.kind == "swallow":
            await request.read()
            await asyncio.Event().wait()  # until the client gives up, which cancels this handler
        return _answer(fault)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # which goes nowhere


def _answer(fault: Fault) -> web.Response:
    if fault.kind == "garbage":
        return web.Response(
            text="<!doctype html><title>Welcome</title>Please log in to use the Wi-Fi", content_type="text/html"
        )
    if fault.kind == "error":
        raise Problem("failure", "switched on as a fault")
    status = 503 if fault.kind == "unavailable" else 429
    raise Problem("busy", "switched on as a fault", status=status, headers={"Retry-After": str(fault.retry_after)})
