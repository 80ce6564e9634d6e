"""The contract's requests, and the sandbox's own ``GET /gateways``."""

from __future__ import annotations

import ipaddress
import json
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from agent.core.loopback import is_loopback
from agent.uplink.contract import DIGEST_SCHEMA, OPENAPI, contract_file, examples
from scripts.sandbox.platform import contract
from scripts.sandbox.platform.intake import decompress, parse_json
from scripts.sandbox.platform.problems import Problem
from scripts.sandbox.platform.service import Platform
from scripts.sandbox.platform.store import Gateway

MAX_WAIT_S = 60
MAX_BUNDLE = 1_000_000
MAX_PAGE = 500
SEQ = r"{seq:[1-9]\d{0,14}}"
AUDIENCE = r"{audience:[a-z0-9][a-z0-9._-]{0,63}}"
PASSED_ON = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""Headers that proxies add."""
SANDBOX_ONLY = frozenset({"/gateways"})
"""Paths below the base path that are no part of the contract."""


def add_routes(router: web.UrlDispatcher, base: str, key: web.AppKey[Platform]) -> None:
    """Every request of the contract below ``base``, and the contract's files at the root."""
    api = Api(key)
    router.add_post(f"{base}/enrollments", api.enroll)
    for stream in ("", f"/streams/{AUDIENCE}"):
        router.add_get(f"{base}/gateways/{{id}}{stream}/digests/head", api.head, allow_head=False)
        router.add_put(f"{base}/gateways/{{id}}{stream}/digests/{SEQ}", api.put_digest)
    router.add_get(f"{base}/gateways/{{id}}/config", api.config, allow_head=False)
    router.add_put(f"{base}/gateways/{{id}}/status", api.put_status)
    router.add_get(f"{base}/gateways/{{id}}/prescriptions", api.prescriptions, allow_head=False)
    router.add_post(f"{base}/prescriptions", api.post_prescription)
    router.add_post(f"{base}/bundles", api.post_bundle)
    router.add_put(f"{base}/bundles/{{hash:[0-9a-f]{{64}}}}/offer", api.offer_bundle)
    router.add_get(f"{base}/fleet", api.fleet, allow_head=False)
    router.add_get(f"{base}/gateways", api.gateways, allow_head=False)
    for name in (OPENAPI, DIGEST_SCHEMA, *examples()):
        router.add_get(f"/{name}", partial(_contract_file, name))


async def _contract_file(name: str, request: web.Request) -> web.Response:
    return web.Response(body=contract_file(name), content_type="application/json", charset="utf-8")


class Api:
    """The handlers; all work is done by the :class:`Platform` found under ``key``."""

    def __init__(self, key: web.AppKey[Platform]) -> None:
        self._key = key

    def _platform(self, request: web.Request) -> Platform:
        return request.app[self._key]

    async def _gateway(self, request: web.Request) -> Gateway:
        return await self._platform(request).authenticate(
            request.match_info["id"], request.headers.get("Authorization", "")
        )

    async def _read(self, request: web.Request, limit: int) -> bytes:
        """The uncompressed body. The token was checked before a stranger could make us read it."""
        body = await request.read()
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        return await self._platform(request).run(decompress, body, encoding, limit)

    async def _json(self, request: web.Request, schema: str) -> tuple[bytes, Any]:
        body = await self._read(request, self._platform(request).settings.max_json)
        value = parse_json(body)
        problems = contract.problems(contract.component(schema), value)
        if problems:
            detail = "; ".join(f"{each['path'] or '/'}: {each['message']}" for each in problems)
            raise Problem("schema", detail, problems=problems)
        return body, value

    async def enroll(self, request: web.Request) -> web.Response:
        """POST /enrollments."""
        _, value = await self._json(request, "Enrollment")
        return web.json_response(await self._platform(request).enroll(value), status=201)

    async def put_digest(self, request: web.Request) -> web.Response:
        """PUT …/digests/{seq}."""
        gateway = await self._gateway(request)
        platform = self._platform(request)
        body = await self._read(request, platform.settings.max_digest)
        signature = request.headers.get("Digest-Signature", "")
        stream, seq = request.match_info.get("audience", ""), int(request.match_info["seq"])
        hash_, new = await platform.deliver(gateway, stream, seq, body, signature)
        return web.json_response({"seq": seq, "hash": hash_}, status=201 if new else 200)

    async def head(self, request: web.Request) -> web.Response:
        """GET …/digests/head."""
        gateway = await self._gateway(request)
        head = await self._platform(request).head(gateway.id, request.match_info.get("audience", ""))
        return web.json_response(head)

    async def config(self, request: web.Request) -> web.Response:
        """GET …/config?wait=."""
        gateway = await self._gateway(request)
        wait = request.query.get("wait", "0")
        if not (wait.isascii() and wait.isdigit() and len(wait) <= 3 and int(wait) <= MAX_WAIT_S):
            raise Problem("malformed", f"wait must be whole seconds from 0 to {MAX_WAIT_S}")
        known = partial(matches, request.headers.get("If-None-Match", ""))
        found = await self._platform(request).control.desired(gateway.id, known, float(wait))
        if found is None:
            return web.Response(status=204)
        if known(found.etag):
            return web.Response(status=304, headers={"ETag": found.etag})
        return web.Response(body=found.body, content_type="application/jose+json", headers={"ETag": found.etag})

    async def put_status(self, request: web.Request) -> web.Response:
        """PUT …/status."""
        gateway = await self._gateway(request)
        body, status = await self._json(request, "Status")
        await self._platform(request).put_status(gateway.id, status, body.decode("utf-8"))
        return web.Response(status=204)

    async def prescriptions(self, request: web.Request) -> web.Response:
        """GET …/prescriptions."""
        gateway = await self._gateway(request)
        body, etag = await self._platform(request).prescribing.offered(gateway.id)
        if matches(request.headers.get("If-None-Match", ""), etag):
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(body=body, content_type="application/json", headers={"ETag": etag})

    async def post_prescription(self, request: web.Request) -> web.Response:
        """POST /prescriptions."""
        body = await self._read(request, MAX_BUNDLE)
        receipt, new = await self._platform(request).prescribing.publish(body)
        return web.json_response(receipt, status=201 if new else 200)

    async def post_bundle(self, request: web.Request) -> web.Response:
        """POST /bundles."""
        control = self._platform(request).control
        offer = request.query.get("offer", "all")
        if offer not in ("all", "none"):
            raise Problem("malformed", "offer must be all or none")
        body = await self._read(request, MAX_BUNDLE)
        receipt, new = await control.publish(body, for_all=offer == "all")
        return web.json_response(receipt, status=201 if new else 200)

    async def offer_bundle(self, request: web.Request) -> web.Response:
        """PUT /bundles/{hash}/offer."""
        control = self._platform(request).control
        kid = await control.authenticate(request.headers.get("Authorization", ""))
        _, wanted = await self._json(request, "Offer")
        return web.json_response(await control.offer(kid, request.match_info["hash"], wanted))

    async def fleet(self, request: web.Request) -> web.Response:
        """GET /fleet."""
        control = self._platform(request).control
        await control.authenticate(request.headers.get("Authorization", ""))
        query = request.query
        limit = query.get("limit", str(MAX_PAGE))
        if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MAX_PAGE):
            raise Problem("malformed", f"limit must be a whole number from 1 to {MAX_PAGE}")
        selector = {name: query[name] for name in ("district", "town", "park", "chain") if name in query}
        rows = await control.fleet(selector, query.get("after", ""), query.get("id", ""))
        page = rows[: int(limit)]
        following = page[-1].gateway.id if len(rows) > len(page) else None
        return web.json_response({"gateways": [row.body() for row in page], "next": following})

    async def gateways(self, request: web.Request) -> web.Response:
        """GET /gateways: every chain, verified from the stored bytes. Sandbox only, loopback only."""
        only_loopback(request)
        reports = await self._platform(request).reports()
        return web.Response(
            text=json.dumps([report.body() for report in reports], indent=2) + "\n", content_type="application/json"
        )


def matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110: whether the entity tag is among those of an ``If-None-Match``."""
    names = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in names or "*" in names


def only_loopback(request: web.Request) -> None:
    """Refuse strangers what has no authentication. Raises Problem 403.

    Behind a proxy on this machine everybody seems to come from it: what says that it was passed on, or asks for
    another host's name, is a stranger's.
    """
    try:
        local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        local = False
    local = (
        local
        and is_loopback(urlsplit(f"//{request.host}").hostname or "")
        and not any(each in request.headers for each in PASSED_ON)
    )
    if not local:
        raise Problem("forbidden", "only from this machine")
