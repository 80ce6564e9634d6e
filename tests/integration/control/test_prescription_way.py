"""A prescription from an administrator's file to the plant and back: received, adopted, measured, shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
import pytest

from agent.backoff import Backoff
from agent.buffer.database import Transaction
from agent.buffer.records import Event, RollupRecord
from agent.buffer.rollups import insert_rollups
from agent.buffer.store import Store
from agent.cli.main import main
from agent.config.model import ByteSize, EquipmentSection, PlatformSection, Secret
from agent.control.inbox import Addressee, Inbox
from agent.control.prescriptions import Decision, Prescriptions
from agent.control.trust import load_trust
from agent.digest.service import DigestService
from agent.evidence.identity import Identity
from agent.uplink.client import NotOffered
from agent.uplink.enrol import enroll
from agent.uplink.outbox import Uplink
from scripts.sandbox.platform import RunningPlatform, Settings, serve
from tests.support.control_bundles import Signer
from tests.support.digest_plants import SECOND, configuration, device, tag
from tests.support.effects import day
from tests.support.prescriptions import signed
from tests.support.uplink_gateway import SetClock, until
from tests.support.uplink_platform import ScriptedPlatform, running, says

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

ZONE = ZoneInfo("Asia/Shanghai")
ADOPTED, TODAY = date(2026, 11, 12), date(2026, 11, 24)
NOON_US = round(datetime(2026, 11, 24, 12, tzinfo=ZONE).timestamp()) * SECOND
PLANT = configuration(
    [device("p", [tag("p.state", kind="state")])], period=60.0, equipment=[EquipmentSection(name="press-1")]
)
DRAFT = """
id = "rx-1"
revision = 1
from = 2026-11-01
until = 2026-12-31
text = { en = "A third of the energy is used while idle.", zh = "三分之一的电能消耗于空载。" }
measure = { en = "Switch the pump off <after> 5 min.", zh = "空载5分钟后停泵。" }
target = { indicator = "ENPI.IDLE_SHARE", machine = "press-1", at_most = 0.15 }
finding = [{ rule = "idle_energy", name = "press-1", seq = 1 }]
"""


class Clock(SetClock):
    source = "ntp"
    offset_us = 0


class Site:
    """A gateway's rooms on one disk, its platform, and the administrator's folder."""

    def __init__(self, folder: Path, store: Store, clock: Clock, running: RunningPlatform) -> None:
        self.folder = folder
        self.store = store
        self.clock = clock
        self.running = running
        self.identity = Identity.load_or_create(folder / "identity")
        self.book = Prescriptions(folder / "prescriptions")
        addressee = Addressee(
            id=lambda: self.identity.gateway_id,
            trust=lambda: load_trust(folder / "admins.jwks", None),
            zone=lambda: ZONE,
            wanted=lambda: None,
        )
        self.inbox = Inbox(self.book, clock, addressee)
        self.digests = DigestService(store, PLANT, clock, self.identity, prescribed=self.book.prescribed)
        section = PlatformSection(url=running.url, proxy=Secret(""), max_bytes_per_day=ByteSize(50_000_000))

        async def soon(seconds: float) -> None:
            await asyncio.sleep(0.002)

        self.uplink = Uplink(
            store, self.identity, section, clock, wake=self.digests.built, sleep=soon, backoff=Backoff(rng=lambda: 0.5)
        )

    async def admin(self, *arguments: str) -> int:
        """``gongfu-edge admin prescribe …`` as Wang."""
        key = str(self.folder / "wang.key")
        return await asyncio.to_thread(main, ["admin", "prescribe", *arguments, "--key", key])

    async def prescribe(self, draft: str = DRAFT) -> int:
        """Sign a draft for this gateway and hand it in."""
        (self.folder / "rx.toml").write_text(draft, encoding="utf-8")
        return await self.admin(
            str(self.folder / "rx.toml"), "--gateway", self.identity.gateway_id, "--url", self.running.url
        )

    async def ask(self, etag: str = "") -> str:
        """Ask the platform once and judge its answer; the entity tag."""
        client = self.uplink.beside()
        try:
            answer, new = await client.prescriptions(etag)
        finally:
            client.close()
        assert answer is None or await asyncio.to_thread(self.inbox.take, answer)
        return new

    async def report(self) -> None:
        """Go on by a period, and have its digest delivered."""
        self.clock.now_us += 67 * SECOND

        async def left() -> int:
            await self.digests.build_due()
            return (await self.store.digest_counts())["pending"]

        task = asyncio.create_task(self.uplink.run())
        try:
            await until(left, 0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def page(self) -> str:
        """The gateway's page at the platform."""
        url = f"{self.running.root}/gateways/{self.identity.gateway_id}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            return await answer.text()


async def measured_days(store: Store) -> None:
    """7 days before the adoption with 30 of 100 kWh idle, 11 after it with 10."""
    runs = [*((-7 + each, 30.0) for each in range(7)), *((1 + each, 10.0) for each in range(11))]
    days = [
        day(ADOPTED + timedelta(days=offset), h={"span": 24, "energy_known": 24}, idle_kwh=idle, joined_kwh=100.0)
        for offset, idle in runs
    ]

    async def work(transaction: Transaction) -> None:
        records = [RollupRecord("day", each.start, each.end, msgspec.json.encode(each)) for each in days]
        await insert_rollups(transaction, records)

    await store._db.write(work, size=1000)


@asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[Site]:
    clock = Clock(NOON_US)
    key, trust = folder / "wang.key", folder / "admins.jwks"
    keygen = ["admin", "keygen", "--name", "Wang Wei", "--out", str(key), "--trust", str(trust)]
    assert await asyncio.to_thread(main, keygen) == 0
    (folder / "platform").mkdir()
    (folder / "platform" / "admins.jwks").write_bytes(trust.read_bytes())
    async with serve(folder / "platform", settings=Settings(clock=lambda: clock.now_us / 1e6)) as running:
        token = await running.platform.make_token()
        await asyncio.to_thread(enroll, running.url, token, folder / "identity")
        store = await Store.open(folder / "buffer.db", now=clock.now)
        try:
            await measured_days(store)
            await store.add_event(Event(clock.now(), "start"))
            yield Site(folder, store, clock, running)
        finally:
            await store.close()


async def test_received_adopted_measured_and_shown(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        assert await site.prescribe() == 0
        etag = await site.ask()
        assert await site.ask(etag) == etag
        (case,) = site.book.cases()
        assert case.newest.signers == ("Wang Wei",)
        await site.report()
        page = await site.page()
        assert "received 已接收" in page and "空载5分钟后停泵。" in page
        assert "Switch the pump off &lt;after&gt; 5 min." in page and "<after>" not in page

        now = site.clock.now()
        site.book.decide("rx-1", Decision(revision=1, state="adopted", at_us=now, on=str(ADOPTED), note="Mr Li"))
        await site.report()
        page = await site.page()
        for shown in ("adopted 已采纳", "since 自 2026-11-12", "0.3", "210 ÷ 700", "7 d 天", "known 已知 100.0 %",
                      "110 ÷ 1,100", "11 d 天", "reached 已达标", "change 变化 -0.2"):  # fmt: skip
            assert shown in page, shown
        assert "Mr Li" not in page
        uploads = [each.kind for each in await site.store.uploads(0, 2**62)]
        assert uploads.count("prescriptions") == 2
        (report,) = await site.running.platform.reports()
        assert report.ok and report.rejected == 0 and report.verified == report.digests


async def test_refused_ones_are_reported_by_their_reason(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        assert await site.prescribe() == 0
        await site.ask()
        # The gateway trusts the platform in nothing: here it pins nobody whom the platform knows.
        (tmp_path / "admins.jwks").write_text('{"keys": []}')
        assert await site.prescribe(DRAFT.replace("revision = 1", "revision = 2")) == 0
        await site.ask()
        assert [each.reason.partition(":")[0] for each in site.book.refused()] == ["not_trusted"]
        (case,) = site.book.cases()
        assert case.newest.revision == 1
        await site.report()
        page = await site.page()
        assert "refused 被拒收" in page and "not_trusted" in page
        assert "received 已接收" in page


async def test_withdrawn_in_a_newer_revision(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        assert await site.prescribe() == 0
        await site.ask()
        assert await site.prescribe(DRAFT.replace("revision = 1", "revision = 2\nwithdrawn = true")) == 0
        await site.ask()
        await site.report()
        assert "withdrawn 已撤回" in await site.page()


async def test_one_of_another_gateway_is_none_of_this_gateways_business(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        foreign = signed(Signer("Mallory"), gateway_id="gw-other")
        answer = b'{"prescriptions": [' + foreign + b"]}"
        other = ScriptedPlatform(faults=[says(200, answer.decode(), "application/json"), says(404)])
        async with running(other):
            section = PlatformSection(url=other.url, proxy=Secret(""), max_bytes_per_day=ByteSize(50_000_000))
            client = Uplink(site.store, site.identity, section, site.clock).beside()
            try:
                found, _ = await client.prescriptions("")
                assert found is not None and await asyncio.to_thread(site.inbox.take, found)
                with pytest.raises(NotOffered):  # an older platform: quietly not supported
                    await client.prescriptions("")
            finally:
                client.close()
        assert site.book.cases() == [] and [each.id for each in site.book.refused()] == ["rx-1"]
