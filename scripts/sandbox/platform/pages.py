"""The pages for people: what the platform has, and whether it is proven."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from aiohttp import web

from scripts.sandbox.platform import control_views, digest_view, parts, views
from scripts.sandbox.platform.digest_view import DigestRow
from scripts.sandbox.platform.problems import Problem
from scripts.sandbox.platform.service import Platform
from scripts.sandbox.platform.store import Gateway, Store, StoredDigest
from scripts.sandbox.platform.views import GatewayRow

PAGE_SIZE = 50
MOST_SPANS = 7
"""Of each kind: the digests of so many shifts, days … are listed above all others."""
NO_LIMIT = 10**15
FILES = {
    "/style.css": ("style.css", "text/css"),
    "/live.js": ("live.js", "text/javascript"),
    "/favicon.ico": ("icon.svg", "image/svg+xml"),
}
"""What the pages load: path → file and its type."""


def add_routes(router: web.UrlDispatcher, key: web.AppKey[Platform]) -> None:
    """The pages and what they load."""
    pages = Pages(key)
    router.add_get("/", pages.index)
    for path, (name, kind) in FILES.items():
        router.add_get(path, _file(name, kind))
    router.add_get("/fleet", pages.fleet)
    router.add_get("/audit", pages.audit)
    router.add_get("/gateways/{id}", pages.gateway)
    router.add_get(r"/gateways/{id}/digests/{seq:[1-9]\d{0,14}}", pages.digest)


class Pages:
    """The handlers; data from the :class:`Platform` found under ``key``, looks from ``views``."""

    def __init__(self, key: web.AppKey[Platform]) -> None:
        self._key = key

    def _platform(self, request: web.Request) -> Platform:
        return request.app[self._key]

    async def _known(self, request: web.Request) -> Gateway:
        gateway = await self._platform(request).call(Store.gateway, request.match_info["id"])
        if gateway is None:
            raise Problem("not-found", "there is no such gateway")
        return gateway

    async def index(self, request: web.Request) -> web.Response:
        """Every gateway."""
        platform = self._platform(request)
        rows = []
        for gateway in await platform.call(Store.gateways):
            latest = await platform.call(Store.latest_accepted, gateway.id, "")
            rows.append(GatewayRow(gateway, await platform.report(gateway), content(latest)))
        return _html(views.index(rows, platform.settings.clock()))

    async def gateway(self, request: web.Request) -> web.Response:
        """One gateway's digests, newest first; ``?before=`` a number for older ones."""
        platform, gateway = self._platform(request), await self._known(request)
        before = request.query.get("before", "")
        limit = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else NO_LIMIT
        page = await platform.call(Store.page, gateway.id, "", limit, PAGE_SIZE)
        rows = [DigestRow(each, content(each)) for each in page]
        report = await platform.report(gateway)
        spans = [
            DigestRow(each, content(each))
            for kind in parts.SPANS
            for each in (await platform.call(Store.of_kind, gateway.id, "", kind, MOST_SPANS))
        ]
        told = await platform.control.history(gateway)
        prescribed = await platform.prescribing.shown(gateway.id)
        now = platform.settings.clock()
        newest = limit == NO_LIMIT
        names = await platform.call(Store.streams, gateway.id) if newest else []
        streams = [await platform.report(gateway, name) for name in names if name]
        return _html(views.gateway(gateway, report, rows, spans, streams, told, prescribed, now, newest=newest))

    async def fleet(self, request: web.Request) -> web.Response:
        """What every gateway shall run and runs; ``?drift=1`` those only where that differs."""
        platform = self._platform(request)
        rows = await platform.control.fleet({})
        return _html(control_views.fleet(rows, platform.now(), only_drift="drift" in request.query))

    async def audit(self, request: web.Request) -> web.Response:
        """What administrators did."""
        return _html(control_views.audit(await self._platform(request).control.audit()))

    async def digest(self, request: web.Request) -> web.Response:
        """One digest."""
        platform, gateway = self._platform(request), await self._known(request)
        stored = await platform.call(Store.digest, gateway.id, "", int(request.match_info["seq"]))
        if stored is None:
            raise Problem("not-found", "there is no such digest")
        report = await platform.report(gateway)
        return _html(digest_view.digest(gateway, report, DigestRow(stored, content(stored))))


def _file(name: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = resources.files(__package__ or "").joinpath(name).read_bytes()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, headers={"Cache-Control": "no-cache"})

    return answer


def content(stored: StoredDigest | None) -> dict[str, Any]:
    """The digest as an object; empty for a tombstone and for bytes that were damaged on this disk."""
    try:
        value = json.loads(stored.body) if stored is not None and stored.body else {}
    except ValueError:
        value = {}
    return value if isinstance(value, dict) else {}


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")
