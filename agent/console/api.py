"""What the local API answers, as a function from path and query to a reply; HTTP is the server's."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import msgspec

from agent.buffer.query import export_rows
from agent.buffer.store import DigestRecord, StoreUnavailable
from agent.console import metrics
from agent.console.sources import Latest, Sources
from agent.health.status import encode, iso, stamp
from drivers.quality import cause, level

JSON = "application/json"
REFRESH_S = 5.0
"""What only the disk knows is asked for at most this often."""
LONGEST_SERIES_US = 24 * 3_600_000_000
"""Reading a longer time would keep the gateway busy; ``gongfu-edge export`` is made for that."""
MOST_SAMPLES = 20_000
MOST_DIGESTS = 500
FOREVER = 2**62
_AGO = re.compile(r"(\d{1,9})(s|m|h|d)")
_UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
LATEST_US = 32_503_680_000_000_000
"""The year 3000: later times are no request that anybody means."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Query = Mapping[str, str]


class Reply(msgspec.Struct, frozen=True):
    """An answer."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: dict[str, str] = {}


class Refused(Exception):
    """A request that cannot be answered: status, and what to ask instead."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def problem(status: int, detail: str) -> Reply:
    """An error in the form of RFC 9457."""
    body = msgspec.json.encode({"status": status, "detail": detail})
    return Reply(body, "application/problem+json", status)


class Api:
    """Every path there is. Reads only: there is nothing to change from here."""

    def __init__(
        self,
        sources: Sources,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        prescriptions: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        """``prescriptions``: what the platform advises, ready for JSON; may read files."""
        self._sources = sources
        self._prescriptions_of = prescriptions
        self._monotonic = monotonic
        self._refreshed = float("-inf")
        self._one_series = asyncio.Lock()
        self._paths: dict[str, Callable[[Query], Awaitable[Reply]]] = {
            "/healthz": self._healthz,
            "/metrics": self._metrics,
            "/api/status": self._status,
            "/api/latest": self._latest,
            "/api/series": self._series,
            "/api/digests": self._digests,
            "/api/prescriptions": self._prescriptions,
        }

    async def answer(self, path: str, query: Query) -> Reply:
        """The reply to ``GET path``; never raises for a bad request."""
        if path in _PAGE:
            return _file(*_PAGE[path])
        if path not in self._paths:
            return problem(404, f"there is no {path}; try / or {', '.join(self._paths)}")
        try:
            return await self._paths[path](query)
        except Refused as refused:
            return problem(refused.status, str(refused))
        except StoreUnavailable as error:
            return problem(503, error.line())

    async def _refresh(self) -> None:
        if self._monotonic() - self._refreshed < REFRESH_S:
            return
        self._refreshed = self._monotonic()
        with suppress(StoreUnavailable):  # the status says so itself
            await self._sources.refresh()

    async def _healthz(self, _query: Query) -> Reply:
        await self._refresh()
        health = self._sources.status().health
        return Reply(msgspec.json.encode(health), status=200 if health.healthy else 503)

    async def _metrics(self, _query: Query) -> Reply:
        await self._refresh()
        return Reply(metrics.render(self._sources.status()).encode(), metrics.CONTENT_TYPE)

    async def _status(self, _query: Query) -> Reply:
        await self._refresh()
        return Reply(encode(self._sources.status()))

    async def _latest(self, query: Query) -> Reply:
        match, limit = query.get("match", "").casefold(), _count(query, "limit", 10**9)
        found = [each for each in self._sources.latest() if match in each.series.casefold()]
        values = [_latest_value(each) for each in found[:limit]]
        return Reply(msgspec.json.encode({"total": len(found), "values": values}))

    async def _series(self, query: Query) -> Reply:
        now = self._now_us()
        tag = query.get("tag", "")
        start, end = _moment(query, "from", now, now - _UNIT_US["h"]), _moment(query, "to", now, now)
        if start >= end or end - start > LONGEST_SERIES_US:
            raise Refused(400, "from must be before to, by 24 hours at most; gongfu-edge export gives more")
        if tag not in set((await self._sources.store.series_names()).values()):
            raise Refused(404, f"no tag {tag!r} was ever recorded; /api/latest lists them")
        async with self._one_series:  # each takes memory and time; one after the other
            return Reply(msgspec.json.encode(await self._read_series(tag, start, end)))

    async def _read_series(self, tag: str, start: int, end: int) -> dict[str, Any]:
        samples: list[dict[str, Any]] = []
        truncated = False
        rows = export_rows(self._sources.store, start, end, [tag])
        async for time_us, _, value, quality in rows:
            if len(samples) == MOST_SAMPLES:
                truncated = True
                break
            samples.append({"time": stamp(time_us), "value": _plain(value), **_quality(quality)})
        return {"tag": tag, "from": stamp(start), "to": stamp(end), "truncated": truncated, "samples": samples}

    async def _digests(self, query: Query) -> Reply:
        limit = min(_count(query, "limit", 50), MOST_DIGESTS)
        records = await self._sources.store.digests(limit, _count(query, "before", FOREVER))
        return Reply(msgspec.json.encode({"digests": [_digest(record) for record in records]}))

    async def _prescriptions(self, _query: Query) -> Reply:
        found = await asyncio.to_thread(self._prescriptions_of) if self._prescriptions_of else []
        return Reply(msgspec.json.encode({"prescriptions": found}))

    def _now_us(self) -> int:
        return (datetime.fromisoformat(self._sources.status().time) - _EPOCH) // timedelta(microseconds=1)


_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


def _file(name: str, content_type: str) -> Reply:
    return Reply(resources.files("agent.console").joinpath("page", name).read_bytes(), content_type)


def _latest_value(each: Latest) -> dict[str, Any]:
    return {
        "tag": each.series,
        "time": iso(each.time_us),
        "value": _plain(each.value),
        "unit": each.unit,
        "age_s": each.age_s,
        **_quality(each.quality),
    }


def _quality(code: int) -> dict[str, str]:
    return {"quality": level(code), "quality_cause": cause(code)}


def _plain(value: float | str | None) -> float | str | None:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and value != value else value


def _digest(record: DigestRecord) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "kind": record.kind,
        "start": stamp(record.start),
        "end": stamp(record.end),
        "hash": record.hash,
        "previous": record.previous,
        "bytes": len(record.body),
        "state": record.state,
        "reason": record.reason,
        "settled": iso(record.settled),
    }


def _count(query: Query, key: str, default: int) -> int:
    text = query.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Refused(400, f"{key} must be a whole number")
    return int(text)


def _moment(query: Query, key: str, now_us: int, default: int) -> int:
    """UTC microseconds of ISO 8601 (without a zone: UTC), or of ``15m`` ago."""
    text = query.get(key, "").strip()
    if not text:
        return default
    try:
        if ago := _AGO.fullmatch(text):
            found = now_us - int(ago[1]) * _UNIT_US[ago[2]]
        else:
            # A plus sign arrives as a blank where the client did not quote it.
            moment = datetime.fromisoformat(re.sub(r" (?=\d\d:?\d\d$)", "+", text))
            found = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Refused(400, f'{key} must be like "2026-11-23T08:00:00Z", or "15m" for that long ago') from None
    if not 0 <= found <= LATEST_US:
        raise Refused(400, f"{key} must be from 1970 to 2999")
    return found
