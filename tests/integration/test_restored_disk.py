"""An old copy of the gateway's disk is put back: nothing is lost, nothing is reported twice, nothing forks."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from agent.backoff import Backoff
from agent.buffer.records import Event
from agent.buffer.store import Store
from agent.cli.digest import main as export
from agent.config.model import ByteSize, PlatformSection, Secret
from agent.digest.additive import disagreements
from agent.digest.report import Digest, Numbers, decode
from agent.digest.rolling import Rolling
from agent.digest.service import DigestService
from agent.evidence.identity import Identity
from agent.evidence.verify import verify_paths
from agent.uplink.enrol import enroll
from agent.uplink.outbox import Uplink
from scripts.sandbox.platform import RunningPlatform, Settings, serve
from scripts.sandbox.platform.service import Platform
from tests.support.digest_plants import SECOND, START
from tests.support.digest_service import PLANT, record
from tests.support.uplink_gateway import SetClock, until

MINUTE = 60 * SECOND
CLOSED = 7 * SECOND
"""So long after its end a period is closed."""
WHOLE = 120
"""Good values of a minute: two tags, read each second."""


class Clock(SetClock):
    source = "ntp"
    offset_us = 0


class Gateway:
    """Store, builder and outbox on one disk; ``at`` is the minute that the clock shows."""

    def __init__(self, store: Store, folder: Path, clock: Clock, url: str) -> None:
        self.store = store
        self.clock = clock
        self.identity = Identity.load_or_create(folder / "identity")
        self.digests = DigestService(store, PLANT, clock, self.identity)
        self.url = url

    async def start(self, minute: float) -> None:
        self.clock.now_us = START + round(minute * MINUTE)
        await self.store.add_event(Event(self.clock.now(), "start"))

    async def run(self, since: float, until: float) -> None:
        """Read the plant from ``since`` to ``until``, and build what is due then."""
        await record(self.store, START + round(since * MINUTE), round((until - since) * 60))
        self.clock.now_us = START + round(until * MINUTE) + CLOSED
        await self.digests.build_due()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Uplink]:
        section = PlatformSection(url=self.url, proxy=Secret(""), max_bytes_per_day=ByteSize(50_000_000))

        async def soon(seconds: float) -> None:
            await asyncio.sleep(0.002)

        uplink = Uplink(
            self.store, self.identity, section, self.clock,
            wake=self.digests.built, sleep=soon, backoff=Backoff(rng=lambda: 0.5),
        )  # fmt: skip
        task = asyncio.create_task(uplink.run())
        try:
            yield uplink
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def deliver(self) -> None:
        """Until the platform has everything, whatever has to be set aside and built again for that."""

        async def left() -> tuple[int, bool]:
            await self.digests.build_due()
            return (await self.store.digest_counts())["pending"], await self.store.undecided()

        async with self.connected() as uplink:
            await uplink.reconciled.wait()
            await until(left, (0, False))


@asynccontextmanager
async def gateway_on(folder: Path, clock: Clock, url: str) -> AsyncIterator[Gateway]:
    store = await Store.open(folder / "buffer.db", now=clock.now)
    try:
        yield Gateway(store, folder, clock, url)
    finally:
        await store.close()


@asynccontextmanager
async def lost_disk(tmp_path: Path, begin: int = 0) -> AsyncIterator[tuple[RunningPlatform, Clock, Path]]:
    """A platform that has the digests of eight minutes from ``begin`` on of a disk that is gone, and a copy of that
    disk, made 20 s into the sixth."""
    clock = Clock(START)
    settings = Settings(clock=lambda: clock.now_us / 1e6)
    async with serve(tmp_path / "platform", settings=settings) as platform:
        first, copy = tmp_path / "first", tmp_path / "copy"
        await asyncio.to_thread(enroll, platform.url, await platform.platform.make_token(), first / "identity")
        async with gateway_on(first, clock, platform.url) as gateway:
            await gateway.start(begin)
            for minute in range(begin, begin + 5):
                await gateway.run(minute, minute + 1)
            await gateway.deliver()
            await record(gateway.store, START + (begin + 5) * MINUTE, 20)
        shutil.copytree(first, copy)
        async with gateway_on(first, clock, platform.url) as gateway:
            await gateway.run(begin + 5 + 20 / 60, begin + 6)
            for minute in (begin + 6, begin + 7):
                await gateway.run(minute, minute + 1)
            await gateway.deliver()
            periods = [each for each in await gateway.store.places(99) if each.kind == "period"]
            assert (await gateway.store.digest_counts())["pending"] == 0 and len(periods) == 8
        yield platform, clock, copy


async def good_by_minute(platform: RunningPlatform) -> dict[int, list[int]]:
    """Minute → what each digest about it counted as good. Everything the platform has is verified first."""
    (report,) = await platform.platform.reports()
    assert report.ok and report.rejected == 0 and report.verified == report.digests == report.head_seq
    counted: dict[int, list[int]] = {}
    for digest in await _chain(platform, report.gateway):
        if digest["kind"] != "period":
            continue
        start = _minute(digest["header"]["period"]["start"])
        counted.setdefault(start, []).append(digest["coverage"]["total"]["good"])
    return counted


async def ledger(platform: RunningPlatform) -> list[str]:
    (report,) = await platform.platform.reports()
    return [entry["cause"] for digest in await _chain(platform, report.gateway) for entry in digest["ledger"]]


async def _chain(platform: RunningPlatform, gateway: str) -> list[Any]:
    chain = await platform.platform.run(lambda: list(platform.platform._store.chain(gateway, "")))
    return [json.loads(digest.body) for digest in chain]


def _minute(time: str) -> int:
    from datetime import datetime

    return int((datetime.fromisoformat(time).timestamp() * SECOND - START) // MINUTE)


FIRST_DISK = {minute: [WHOLE] for minute in range(8)}


async def test_the_platform_is_up_when_the_copy_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with lost_disk(tmp_path) as (platform, clock, copy), gateway_on(copy, clock, platform.url) as gateway:
        await gateway.start(9.25)
        caplog.clear()
        async with gateway.connected() as uplink:
            await uplink.reconciled.wait()
        await gateway.run(9.25, 10)
        await gateway.run(10, 12)
        await gateway.deliver()
        assert await good_by_minute(platform) == FIRST_DISK | {8: [0], 9: [90], 10: [WHOLE], 11: [WHOLE]}
        assert await gateway.store.set_aside() == []
        assert await ledger(platform) == ["head_ahead"]
        assert sum(each.levelno >= logging.WARNING for each in caplog.records) == 1


async def test_the_platform_is_down_at_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with lost_disk(tmp_path) as (platform, clock, copy), gateway_on(copy, clock, platform.url) as gateway:
        await gateway.start(9.25)
        await gateway.run(9.25, 10)  # builds 6 to 10 anew, for minutes 5 to 9
        caplog.clear()
        await gateway.deliver()
        await gateway.run(10, 11)
        await gateway.deliver()
        assert await good_by_minute(platform) == FIRST_DISK | {8: [0], 9: [90], 10: [WHOLE]}
        aside = await gateway.store.set_aside()
        assert [(each.record.seq, each.became) for each in aside] == [(6, 0), (7, 0), (8, 0), (9, 9), (10, 10)]
        assert sorted(await ledger(platform)) == ["digest_set_aside", "head_ahead"]
        (said,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
        assert "5 digests from 6 on" in said


@pytest.mark.parametrize("restarts", [0, 2])
async def test_the_platform_is_down_for_long_and_the_raw_data_is_gone(tmp_path: Path, restarts: int) -> None:
    async with lost_disk(tmp_path) as (platform, clock, copy):
        minute = 9.25
        for _ in range(restarts + 1):
            async with gateway_on(copy, clock, platform.url) as gateway:
                await gateway.start(minute)
                for end in range(int(minute) + 1, int(minute) + 11):
                    await gateway.run(minute, end)
                    minute = end
                if minute == 19:  # some of it has been shed since
                    gateway.store.retention_us = 5 * MINUTE
                    await gateway.store.enforce(clock.now())
        async with gateway_on(copy, clock, platform.url) as gateway:
            await gateway.start(minute)
            await gateway.deliver()
            await gateway.run(minute, minute + 1)
            await gateway.deliver()
        found = await good_by_minute(platform)
        expected = {each: [WHOLE] for each in range(10, int(minute) + 1)}
        assert found == FIRST_DISK | {8: [0], 9: [90]} | expected
        causes = await ledger(platform)
        assert causes.count("head_ahead") == causes.count("digest_set_aside") == 1 and "retention" in causes


async def test_a_branch_that_is_longer_than_the_platforms_chain_is_set_aside_while_it_grows(tmp_path: Path) -> None:
    async with lost_disk(tmp_path) as (platform, clock, copy), gateway_on(copy, clock, platform.url) as gateway:
        await gateway.start(9.25)
        await gateway.run(9.25, 15)
        async with gateway.connected() as uplink:
            building = [asyncio.create_task(gateway.run(minute, minute + 1)) for minute in range(15, 25)]
            await uplink.reconciled.wait()
            await asyncio.gather(*building)
        await gateway.deliver()
        found = await good_by_minute(platform)
        assert found == FIRST_DISK | {8: [0], 9: [90]} | {each: [WHOLE] for each in range(10, 25)}


async def test_the_relinking_is_cut_short_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with lost_disk(tmp_path) as (platform, clock, copy):
        async with gateway_on(copy, clock, platform.url) as gateway:
            await gateway.start(9.25)
            await gateway.run(9.25, 15)
            relink, left = gateway.store.relink, 2

            async def dies(number: int, record: Any) -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    raise asyncio.CancelledError
                await relink(number, record)

            monkeypatch.setattr(gateway.store, "relink", dies)
            async with gateway.connected() as uplink:
                await uplink.reconciled.wait()
            with pytest.raises(asyncio.CancelledError):
                await gateway.digests.build_due()
        async with gateway_on(copy, clock, platform.url) as gateway:
            await gateway.start(16)
            await gateway.run(16, 17)
            await gateway.deliver()
        found = await good_by_minute(platform)
        assert found == FIRST_DISK | {8: [0], 9: [90], 15: [0], 16: [WHOLE]} | {each: [WHOLE] for each in range(10, 15)}


async def test_an_empty_disk_with_the_old_identity_goes_on_too(tmp_path: Path) -> None:
    async with lost_disk(tmp_path) as (platform, clock, copy):
        (copy / "buffer.db").unlink()
        async with gateway_on(copy, clock, platform.url) as gateway:
            await gateway.start(9.25)
            await gateway.run(9.25, 12)
            await gateway.deliver()
        assert await good_by_minute(platform) == FIRST_DISK | {9: [90], 10: [WHOLE], 11: [WHOLE]}


async def test_what_was_set_aside_is_exported_beside_the_chain(tmp_path: Path) -> None:
    async with lost_disk(tmp_path) as (platform, clock, copy), gateway_on(copy, clock, platform.url) as gateway:
        await gateway.start(9.25)
        await gateway.run(9.25, 10)
        await gateway.deliver()
    config, out = tmp_path / "config.toml", tmp_path / "out"
    config.write_text(f'[gateway]\nname = "test"\ndata_dir = "{copy}"\n', encoding="utf-8")
    assert await asyncio.to_thread(export, ["export", str(out), "--config", str(config)]) == 0
    assert sorted(int(path.stem) for path in out.glob("*.json")) == [1, 2, 3, 4, 5, 9, 10]
    results = verify_paths(sorted((out / "set-aside").glob("*.json"))[:1], out / "keys.jwks")
    assert [result.problem for result in results] == [""]
    assert len(list((out / "set-aside").glob("*.jws"))) == 5


# -- over the end of a day ---------------------------------------------------------------------------------

MIDNIGHT = 105
"""The minute in which the plant's day ends."""
BEFORE = MIDNIGHT - 7
"""The day ends with the seventh of the eight minutes."""
SEEN = {BEFORE + minute: [WHOLE] for minute in range(8)}


async def days(platform: RunningPlatform) -> list[Digest]:
    """The digests of days that the platform has, each of which says what its parts there make."""
    (report,) = await platform.platform.reports()
    chain = [decode(json.dumps(each).encode()) for each in await _chain(platform, report.gateway)]
    found = [each for each in chain if each.kind != "period"]
    for day in found:
        told = day.parts
        assert told is not UNSET
        left_out = () if told.without is UNSET else told.without
        places = range(told.first_seq, told.last_seq + 1)
        others = {seq for each in left_out for seq in range(each.first_seq, each.last_seq + 1)}
        parts = [each for each in chain if each.kind == told.kind and each.header.seq in {*places} - others]
        assert disagreements(day, parts) == []
    return found


@pytest.fixture(params=["the platform tells", "the gateway reckons"])
def told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the gateway's own signature of the head; and without, where the engineer says that it may be followed."""
    if request.param == "the gateway reckons":
        shown = Platform.head

        async def head(self: Platform, gateway_id: str, stream: str) -> dict[str, Any]:
            found = await shown(self, gateway_id, stream)
            return {name: found[name] for name in ("seq", "hash")}

        monkeypatch.setattr(Platform, "head", head)
        monkeypatch.setattr(Identity, "may_follow", lambda *_: True)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("up", [True, False])
async def test_a_day_that_the_platform_has_is_not_told_again(tmp_path: Path, up: bool) -> None:
    async with lost_disk(tmp_path, BEFORE) as (platform, clock, copy):
        assert [each.kind for each in await days(platform)] == ["day"]
        async with gateway_on(copy, clock, platform.url) as gateway:
            await gateway.start(BEFORE + 9.25)
            if up:
                async with gateway.connected() as uplink:
                    await uplink.reconciled.wait()
            await gateway.run(BEFORE + 9.25, BEFORE + 10)
            await gateway.deliver()
            await gateway.run(BEFORE + 10, BEFORE + 11)
            await gateway.deliver()
        assert await good_by_minute(platform) == SEEN | {BEFORE + 8: [0], BEFORE + 9: [90], BEFORE + 10: [WHOLE]}
        (day,) = await days(platform)
        assert day.parts is not UNSET and (day.parts.count, day.header.seq) == (7, 8)


@pytest.mark.usefixtures("told")
async def test_a_day_that_the_lost_disk_did_not_tell_of_is_told_of_by_its_copy(tmp_path: Path) -> None:
    early = pytest.MonkeyPatch()
    early.setattr(Rolling, "spans", lambda self, time: [])
    try:
        disk = lost_disk(tmp_path, BEFORE - 1)  # its last minute is that before midnight
        async with disk as (platform, clock, copy), gateway_on(copy, clock, platform.url) as gateway:
            early.undo()
            await gateway.start(MIDNIGHT + 1.25)
            async with gateway.connected() as uplink:
                await uplink.reconciled.wait()
            await gateway.run(MIDNIGHT + 1.25, MIDNIGHT + 2)
            await gateway.deliver()
            found = await good_by_minute(platform)
            assert found == {minute - 1: good for minute, good in SEEN.items()} | {MIDNIGHT: [0], MIDNIGHT + 1: [90]}
            (day,) = await days(platform)
    finally:
        early.undo()
    assert day.header.seq == 9 and day.parts is not UNSET
    assert (day.parts.first_seq, day.parts.last_seq, day.parts.count, day.parts.without) == (1, 5, 5, UNSET)


async def test_a_day_of_a_branch_is_made_again_of_what_is_in_the_chain(tmp_path: Path) -> None:
    """The platform is down over midnight; what follows its head is linked anew, and the day is made of that."""
    async with lost_disk(tmp_path, MIDNIGHT - 11) as (platform, clock, copy):  # it has the minutes up to midnight - 3
        async with gateway_on(copy, clock, platform.url) as gateway:
            await gateway.start(MIDNIGHT - 1.75)
            await gateway.run(MIDNIGHT - 1.75, MIDNIGHT)
            await gateway.run(MIDNIGHT, MIDNIGHT + 1)
            assert [each.kind for each in reversed(await gateway.store.places(2))] == ["day", "period"]
            await gateway.deliver()
        found = await good_by_minute(platform)
        assert found == {MIDNIGHT - 11 + minute: [WHOLE] for minute in range(8)} | {
            MIDNIGHT - 3: [0], MIDNIGHT - 2: [90], MIDNIGHT - 1: [WHOLE], MIDNIGHT: [WHOLE],
        }  # fmt: skip
        (day,) = await days(platform)
        assert day.parts is not UNSET and day.parts.count == 8
        assert day.parts.without == (Numbers(first_seq=6, last_seq=8),)
