"""The platform as an aiohttp application, and as a running server for tests."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from scripts.sandbox.platform import api, pages
from scripts.sandbox.platform.faults import Faults, Handler
from scripts.sandbox.platform.problems import Problem
from scripts.sandbox.platform.service import Platform, Settings

log = logging.getLogger(__name__)

API = "/api/v1"
PLATFORM = web.AppKey("platform", Platform)
FAULTS = web.AppKey("faults", Faults)
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(data_dir: Path, base_url: str, settings: Settings | None = None) -> web.Application:
    """The application over ``data_dir``; ``base_url`` is the platform URL (with ``/api/v1``), the tokens' audience."""
    settings = settings or Settings()
    app = web.Application(
        client_max_size=settings.max_compressed,
        middlewares=[_headers, _problems, _pages_are_local, _faults],
        # The body arrives as it was sent: decompression has its own limit in intake.py.
        handler_args={"auto_decompress": False},
    )
    app[PLATFORM] = Platform(data_dir, base_url.rstrip("/"), settings)
    app[FAULTS] = Faults()
    app.on_cleanup.append(_close)
    api.add_routes(app.router, API, PLATFORM)
    pages.add_routes(app.router, PLATFORM)
    if settings.faults:
        app.router.add_put("/sandbox/faults", _start_fault)
        app.router.add_delete("/sandbox/faults", _stop_fault)
    return app


async def _close(app: web.Application) -> None:
    await app[PLATFORM].close()


@web.middleware
async def _headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if not response.prepared:
        response.headers.update(SECURITY_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
    return response


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return _answer(problem)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kind = {404: "not-found", 405: "method", 413: "too-large"}.get(error.status, "malformed")
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _answer(
            Problem(kind, f"{request.method} {request.path}: {error.reason}", status=error.status, headers=headers)
        )
    except sqlite3.Error as error:
        log.error("the database failed: %s", error)
        return _answer(Problem("busy", "the database failed", headers={"Retry-After": "10"}))


def _answer(problem: Problem) -> web.Response:
    return web.Response(
        status=problem.status,
        headers=problem.headers,
        text=json.dumps(problem.body()),
        content_type="application/problem+json",
    )


@web.middleware
async def _pages_are_local(request: web.Request, handler: Handler) -> web.StreamResponse:
    """They show every plant, and know no login: they are for this machine. The contract's files are for everybody."""
    if not request.path.startswith(API + "/") and not request.path.endswith(".json"):
        api.only_loopback(request)
    return await handler(request)


@web.middleware
async def _faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith(API + "/") or request.path == API + "/gateways":
        return await handler(request)
    return await request.app[FAULTS].handle(request, handler)


async def _start_fault(request: web.Request) -> web.Response:
    api.only_loopback(request)
    try:
        request.app[FAULTS].start(**json.loads(await request.text()))
    except (TypeError, ValueError) as error:
        raise Problem("malformed", str(error)) from error
    return web.Response(status=204)


async def _stop_fault(request: web.Request) -> web.Response:
    api.only_loopback(request)
    request.app[FAULTS].stop()
    return web.Response(status=204)


@dataclass(frozen=True, slots=True)
class RunningPlatform:
    """A platform that serves on a loopback port. ``url`` is the platform URL, ``root`` the page's."""

    url: str
    root: str
    platform: Platform
    faults: Faults


@asynccontextmanager
async def serve(
    data_dir: Path, *, host: str = "127.0.0.1", port: int = 0, url: str = "", settings: Settings | None = None
) -> AsyncIterator[RunningPlatform]:
    """Serve until the block ends; ``port`` 0 takes a free one. ``url``: public URL where it is another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        root = f"http://{_for_url(host)}:{listener.getsockname()[1]}"
        app = create_app(data_dir, url or root + API, settings)
    except BaseException:
        listener.close()
        raise
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield RunningPlatform(app[PLATFORM].url, root, app[PLATFORM], app[FAULTS])
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)  # closed transports say so in the next turn of the loop


def _for_url(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1"
    return f"[{host}]" if address.version == 6 else host
