"""Several audiences at two platforms: each gets its own chain, and none waits for, or hears of, another."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.backoff import Backoff
from agent.buffer.records import Event
from agent.buffer.store import Store
from agent.cli.digest import main as digest_command
from agent.cli.ledger import main as ledger_command
from agent.config.model import AudienceSection, ByteSize, Configuration, EquipmentSection, PlatformSection, Secret
from agent.digest.service import DigestService
from agent.evidence.identity import Identity
from agent.evidence.verify import verify_paths
from agent.uplink.enrol import enroll
from agent.uplink.outbox import Uplink
from scripts.sandbox.platform import RunningPlatform, Settings, serve
from tests.support.digest_plants import SECOND, START, configuration, device, tag
from tests.support.digest_service import record
from tests.support.uplink_gateway import SetClock, until

MINUTE = 60 * SECOND
CLOSED = 7 * SECOND
MACHINES = [EquipmentSection(name="press", produced="p.n"), EquipmentSection(name="saw", produced="s.n")]
BARE = configuration(
    [device("p", [tag("p.t", 0), tag("p.n", 1, kind="counter")]), device("s", [tag("s.n", 0, kind="counter")])],
    share=["p.t", "s.n"],
    equipment=MACHINES,
)


def told(*audiences: AudienceSection) -> Configuration:
    file = msgspec.structs.replace(BARE.file, audience=audiences)
    return Configuration(file=file, path=BARE.path, devices=BARE.devices, hash=BARE.hash)


PARK = AudienceSection(
    name="park", url="platform", sections=("coverage", "equipment", "tags"), equipment=("press",), tags=("p.t",)
)
OWNER = AudienceSection(name="owner", url="https://owner.example/api", sections=("equipment",), equipment=("saw",))


class Clock(SetClock):
    source = "ntp"
    offset_us = 0


class Site:
    """A gateway on one disk, and the two platforms; ``owner``: that of the chain owner."""

    def __init__(self, store: Store, folder: Path, clock: Clock, main: str, owner: str) -> None:
        self.store = store
        self.clock = clock
        self.identity = Identity.load_or_create(folder / "identity")
        self.digests = DigestService(store, told(PARK, OWNER), clock, self.identity)
        self._urls = {"": main, "park": main, "owner": owner}
        self.wakes = {name: self.digests.listen() for name in self._urls}

    async def start(self, minute: int) -> None:
        self.clock.now_us = START + minute * MINUTE
        await self.store.add_event(Event(self.clock.now(), "start"))
        await self.digests.build_due()

    async def run(self, since: int, until: int) -> None:
        """Read the plant from minute ``since`` to ``until``, and build what is due then."""
        await record(self.store, START + since * MINUTE, (until - since) * 60, BARE)
        self.clock.now_us = START + until * MINUTE + CLOSED
        await self.digests.build_due()

    @asynccontextmanager
    async def connected(self, *names: str) -> AsyncIterator[dict[str, Uplink]]:
        uplinks: dict[str, Uplink] = {}

        async def soon(seconds: float) -> None:
            await asyncio.sleep(0.002)

        for name in names:
            section = PlatformSection(url=self._urls[name], proxy=Secret(""), max_bytes_per_day=ByteSize(50_000_000))
            uplinks[name] = Uplink(
                self.store.stream_of(name), self.identity.persona(name) if name == "owner" else self.identity,
                section, self.clock, stream=name, wake=self.wakes[name], sleep=soon, backoff=Backoff(rng=lambda: 0.5),
                audiences=("", "park") if not name else (name,), budget=uplinks[""].budget if name == "park" else None,
            )  # fmt: skip
        tasks = [asyncio.create_task(each.run()) for each in uplinks.values()]
        try:
            yield uplinks
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    async def pending(self, *names: str) -> list[int]:
        await self.digests.build_due()
        return [(await self.store.stream_of(name).digest_counts())["pending"] for name in names]

    async def deliver(self, *names: str) -> None:
        """Until the platforms have everything for these, whatever has to be linked anew for that."""

        async def left() -> tuple[list[int], bool]:
            counts = await self.pending(*names)
            return counts, any([await self.store.stream_of(name).undecided() for name in names])

        async with self.connected(*names) as uplinks:
            for each in uplinks.values():
                await each.reconciled.wait()
            await until(left, ([0] * len(names), False))


ALL = ("", "park", "owner")


@asynccontextmanager
async def site_on(folder: Path, clock: Clock, main: str, owner: str) -> AsyncIterator[Site]:
    store = await Store.open(folder / "buffer.db", now=clock.now)
    try:
        yield Site(store, folder, clock, main, owner)
    finally:
        await store.close()


@asynccontextmanager
async def two_platforms(tmp_path: Path, clock: Clock) -> AsyncIterator[tuple[RunningPlatform, RunningPlatform, Path]]:
    settings = Settings(clock=lambda: clock.now_us / 1e6)
    # Another platform may call the gateway what it likes.
    other = Settings(clock=lambda: clock.now_us / 1e6, assign_id=lambda _: "supplier-7")
    async with (
        serve(tmp_path / "main", settings=settings) as main,
        serve(tmp_path / "owner", settings=other) as owner,
    ):
        folder = tmp_path / "gateway"
        await asyncio.to_thread(enroll, main.url, await main.platform.make_token(), folder / "identity")
        await asyncio.to_thread(
            lambda token: enroll(owner.url, token, folder / "identity", audience="owner"),
            await owner.platform.make_token(),
        )
        yield main, owner, folder


async def chains(platform: RunningPlatform) -> dict[str, list[Any]]:
    """The digests of each chain that a platform has, each of them verified."""
    found = {}
    for report in await platform.platform.reports():
        assert report.ok and report.rejected == 0, report.line()
        stored = await platform.platform.run(
            lambda report=report: list(platform.platform._store.chain(report.gateway, report.stream))
        )
        found[report.stream] = [json.loads(each.body) for each in stored]
    return found


def get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def starts(chain: list[Any]) -> list[int]:
    from datetime import datetime

    times = [datetime.fromisoformat(each["header"]["period"]["start"]).timestamp() for each in chain]
    return [round(time * SECOND - START) // MINUTE for time in times]


async def test_each_audience_has_its_own_chain_of_what_it_was_granted(tmp_path: Path) -> None:
    clock = Clock(START)
    async with two_platforms(tmp_path, clock) as (main, owner, folder):
        async with site_on(folder, clock, main.url, owner.url) as site:
            await site.start(0)
            for minute in range(3):
                await site.run(minute, minute + 1)
            await site.deliver(*ALL)
            uploads = await site.store.uploads(0, 2**62)
        at_main, at_owner = await chains(main), await chains(owner)
        page = await asyncio.to_thread(get, f"{main.root}/gateways/{site.identity.gateway_id}")
    assert b"Further audiences" in page and b"park" in page and b"owner" not in page
    assert [*at_main] == ["", "park"] and [*at_owner] == ["owner"]
    assert [len(each) for each in (*at_main.values(), *at_owner.values())] == [3, 3, 3]
    park, supplier = at_main["park"][2], at_owner["owner"][2]
    assert [each["name"] for each in park["equipment"]] == ["press"] == [*park["granted"]["equipment"]]
    assert [each["name"] for each in park["tags"]] == ["p.t"] and "findings" not in park and "affiliation" not in park
    assert [each["name"] for each in park["coverage"]["devices"]] == ["p"] and "saw" not in json.dumps(park)
    assert (supplier["header"]["audience"], supplier["header"]["gateway"]) == ("owner", "supplier-7")
    assert [each["name"] for each in supplier["equipment"]] == ["saw"] and "coverage" not in supplier
    hosts = {each.audience: each.host for each in uploads}
    assert hosts == {"": main.url.split("/")[2], "park": main.url.split("/")[2], "owner": owner.url.split("/")[2]}
    assert {each.seq for each in uploads if each.audience == "owner" and each.kind == "digest"} == {1, 2, 3}


async def test_a_platform_that_is_away_costs_the_others_nothing(tmp_path: Path) -> None:
    clock = Clock(START)
    async with two_platforms(tmp_path, clock) as (main, owner, folder):
        async with site_on(folder, clock, main.url, "http://127.0.0.1:9/api/v1") as site:
            await site.start(0)
            async with site.connected(*ALL) as uplinks:
                for minute in range(2):
                    await site.run(minute, minute + 1)
                await until(lambda: site.pending("", "park"), [0, 0])

                async def state() -> str:
                    return uplinks["owner"].snapshot().state

                await until(state, "failing")
                assert await site.pending("owner") == [2]
                assert {uplinks[name].snapshot().state for name in ("", "park")} == {"connected"}
                assert uplinks["park"].budget is uplinks[""].budget
                assert uplinks[""].budget.bytes_today == await site.store.uploaded_bytes(0, "", ["", "park"])
        async with site_on(folder, clock, main.url, owner.url) as site:
            await site.deliver("owner")
        assert starts((await chains(owner))["owner"]) == [0, 1]


async def test_an_old_copy_of_the_disk_goes_on_behind_each_head(tmp_path: Path) -> None:
    clock = Clock(START)
    async with two_platforms(tmp_path, clock) as (main, owner, folder):
        copy = tmp_path / "copy"
        async with site_on(folder, clock, main.url, owner.url) as site:
            await site.start(0)
            await site.run(0, 1)
            await site.deliver(*ALL)
        shutil.copytree(folder, copy)
        async with site_on(folder, clock, main.url, owner.url) as site:
            for minute in (1, 2, 3):
                await site.run(minute, minute + 1)
            # The owner's platform has two periods more than the other one, which was away.
            await site.deliver("owner")
        async with site_on(copy, clock, main.url, owner.url) as site:
            await site.start(5)
            await site.run(5, 6)  # builds a branch of each chain: no platform has been asked yet
            await site.deliver(*ALL)
            aside = {name: len(await site.store.stream_of(name).set_aside()) for name in ALL}
            await site.run(6, 7)
            await site.deliver(*ALL)
        at_main, at_owner = await chains(main), await chains(owner)
    assert starts(at_main[""]) == starts(at_main["park"]) == [0, 1, 2, 3, 4, 5, 6]
    assert starts(at_owner["owner"]) == [0, 1, 2, 3, 4, 5, 6]  # 1 to 3 as the first disk told them
    assert [each["equipment"][0]["pieces"]["produced"] for each in at_owner["owner"]][1:4] == [59.0, 59.0, 59.0]
    assert aside == {"": 0, "park": 0, "owner": 5}


async def test_who_is_granted_later_hears_from_the_running_period_on(tmp_path: Path) -> None:
    clock = Clock(START)
    store = await Store.open(tmp_path / "b.db", now=clock.now)
    identity = Identity.load_or_create(tmp_path / "identity")
    digests = DigestService(store, told(), clock, identity)
    await digests.build_due()
    await record(store, START, 180, BARE)
    clock.now_us = START + 2 * MINUTE + CLOSED + SECOND
    await digests.configure(told(PARK))
    await digests.build_due()
    park = store.stream_of("park")
    assert (await store.digest_counts())["pending"] == 2 and await park.digests(9) == []
    clock.now_us = START + 3 * MINUTE + CLOSED
    await digests.build_due()
    (first,) = await park.digests(9)
    assert (first.seq, first.start) == (1, START + 2 * MINUTE)
    await digests.configure(told())
    clock.now_us = START + 4 * MINUTE + CLOSED
    await digests.build_due()
    assert [each.seq for each in await park.digests(9)] == [1] and (await store.digest_counts())["pending"] == 4
    await store.close()


async def test_a_digest_for_all_or_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(START)
    store = await Store.open(tmp_path / "b.db", now=clock.now)
    digests = DigestService(store, told(PARK, OWNER), clock, Identity.load_or_create(tmp_path / "identity"))
    await digests.build_due()
    await record(store, START, 60, BARE)
    clock.now_us = START + MINUTE + CLOSED
    insert, left = "agent.buffer.digests.insert_digest", 2
    from agent.buffer.digests import insert_digest

    async def dies(transaction: Any, each: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError
        await insert_digest(transaction, each)

    monkeypatch.setattr(insert, dies)
    with pytest.raises(asyncio.CancelledError):
        await digests.build_due()
    assert await store.streams() == [] and await store.rollups("period", 0) == []
    monkeypatch.undo()
    await digests.build_due()
    assert await store.streams() == ["", "owner", "park"]
    await store.close()


CONFIG = """
[gateway]
name = "test"
data_dir = "{folder}"
[digest]
period = "1m"
share = ["p.t"]
[[device]]
name = "p"
driver = "simulated"
tag = [{{ name = "t", address = "sine:1,1,1" }}, {{ name = "n", address = "counter:50", kind = "counter" }}]
[[equipment]]
name = "press"
produced = "p.n"
[[audience]]
name = "owner"
url = "https://owner.example/api"
sections = ["equipment"]
equipment = ["press"]
"""


def test_commands_say_what_goes_to_whom(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    from agent.buffer.records import Upload
    from agent.cli.main import main
    from agent.config.parse import load

    path, out = tmp_path / "config.toml", tmp_path / "out"
    path.write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")

    async def built() -> None:
        plan, clock = load(path), Clock(START)
        store = await Store.open(tmp_path / "buffer.db", now=clock.now)
        digests = DigestService(store, plan, clock, Identity.load_or_create(tmp_path / "identity"))
        await digests.build_due()
        await record(store, START, 60, plan)
        clock.now_us = START + MINUTE + CLOSED
        await digests.build_due()
        await store.add_upload(Upload(START, 1, "digest", 777, 201, "owner", "owner.example"))
        await store.close()

    asyncio.run(built())
    there = ["--config", str(path)]
    assert digest_command(["show", "1", "--audience", "owner", *there]) == 0
    shown = capfdbinary.readouterr().out
    assert digest_command(["preview", "--audience", "owner", *there]) == 0
    previewed = json.loads(capfdbinary.readouterr().out)
    assert (previewed["header"]["seq"], previewed["header"]["audience"]) == (2, "owner")
    assert {*previewed} == {"schema", "kind", "header", "granted", "equipment"} == {*json.loads(shown)}
    assert digest_command(["list", "--audience", "owner", *there]) == 0
    assert b"pending" in capfdbinary.readouterr().out
    assert digest_command(["export", str(out), *there]) == 0
    assert (out / "owner" / "1.json").read_bytes() == shown != (out / "1.json").read_bytes()
    results = verify_paths([out], out / "keys.jwks")
    assert [result.problem for result in results] == ["", ""] and len({result.chain for result in results}) == 2
    assert ledger_command(["--uploads", "--from", "2020-01-01", *there]) == 0
    assert b"777" in (said := capfdbinary.readouterr().out) and b"owner.example" in said
    for command in (["digest", "preview"], ["digest", "list"], ["enroll", "--url", "https://x", "--token", "t"]):
        assert main([*command, "--audience", "ovner", *there]) == 1
        assert b'did you mean "owner"?' in capfdbinary.readouterr().err
