"""A2: what a clock that nobody vouches for may do to what is kept and to what is reported. Real store, real digests."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.buffer.batch import Batch
from agent.buffer.housekeeping import Housekeeping
from agent.buffer.store import Event, Loss, Store
from agent.clock import BUILD_US, Clock
from agent.config.model import Configuration
from agent.digest.schedule import UNVOUCHED_WAIT_S
from agent.digest.service import DigestService
from tests.support.buffer_files import lost_samples, times_of
from tests.support.digest_plants import configuration, device, tag
from tests.support.digest_service import Unsigned, record

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = BUILD_US // DAY * DAY + 100 * DAY + 12 * HOUR
PLANT: Configuration = configuration([device("p", [tag("p.t", 0)])], share=["p.t"], period=60.0)


class World:
    """A gateway's clocks."""

    def __init__(self, system: int, synchronised: bool = False) -> None:
        self.system, self.mono, self.synchronised = system, 5 * SECOND, synchronised

    def pass_(self, us: int) -> None:
        self.system += us
        self.mono += us

    def clock(self, epoch: int = 1, high_water: int = 0) -> Clock:
        return Clock(
            system_us=lambda: self.system,
            monotonic_us=lambda: self.mono,
            synchronised=lambda: self.synchronised,
            epoch=epoch,
            high_water_us=high_water,
        )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "b.db", retention_us=30 * DAY)
    yield opened
    await opened.close()


async def passes(store: Store, world: World, clock: Clock, hours: int) -> None:
    """Housekeeping once an hour."""
    house = Housekeeping(store, clock)
    for _ in range(hours):
        world.pass_(HOUR)
        clock.check()
        await house.tidy()


def service(store: Store, clock: Clock, plant: Configuration = PLANT) -> DigestService:
    return DigestService(store, plant, clock, Unsigned())  # type: ignore[arg-type]


async def ends(store: Store) -> list[int]:
    return [each.end for each in reversed(await store.digests(10_000))]


@pytest.mark.parametrize("ahead", [31 * DAY, 3650 * DAY])
async def test_a2_a_battery_clock_ahead_deletes_nothing(store: Store, ahead: int) -> None:
    await record(store, NOON, 600, PLANT)
    await store.add_event(Event(NOON, "start"))
    await store.add_loss(Loss(NOON, NOON + 1, "overflow", count=7))
    world = World(NOON + ahead)
    await passes(store, world, world.clock(), 200)
    assert len(await times_of(store)) == 600
    assert await lost_samples(store) == 7
    assert len(await store.events(0, 2**62)) == 1


async def test_a2_a_clock_behind_does_not_make_fresh_readings_the_oldest(store: Store) -> None:
    await record(store, NOON, 60, PLANT)
    await record(store, NOON - 40 * DAY, 60, PLANT)  # after a start without a battery: fresh, whatever the stamp says
    world = World(NOON + HOUR, synchronised=True)
    await passes(store, world, world.clock(), 100)
    assert len(await times_of(store)) == 120


@pytest.mark.parametrize("years", [1, 25])
async def test_a2_even_a_time_that_is_vouched_for_takes_no_more_than_its_days(store: Store, years: int) -> None:
    for day in range(20):
        await record(store, NOON + day * DAY, 60, PLANT)
    world = World(NOON + 20 * DAY + years * 365 * DAY, synchronised=True)
    await passes(store, world, world.clock(), 48)
    left = len(await times_of(store))
    assert 15 * 60 <= left < 20 * 60, "two days of running: at most four or five days' worth may go"
    assert left + await lost_samples(store) == 20 * 60, "and every one of them is in the ledger"


async def test_retention_goes_on_at_its_pace_across_restarts(store: Store) -> None:
    for day in range(3):
        await record(store, NOON + day * DAY, 60, PLANT)
    world = World(NOON + 31 * DAY - HOUR, synchronised=True)
    for _ in range(4):
        await passes(store, world, world.clock(), 6)
    assert len(await times_of(store)) == 60


async def digested(store: Store, clock: Clock, world: World, minutes: int) -> None:
    """The gateway scans and reports for so long, in the running epoch of its clock."""
    digests = service(store, clock)
    for _ in range(minutes):
        begin = clock.now()
        await stamped(store, clock, begin)
        world.pass_(MINUTE)
        clock.check()
        for correction in clock.corrections():
            if correction.restamp:
                await digests.restamp(correction.epoch, correction.shift_us)
            digests.epoch_begins()
        await digests.build_due()


async def stamped(store: Store, clock: Clock, begin: int) -> None:
    """A reading a second for a minute, as the clock stamps them."""
    append = store.append

    async def with_epoch(batch: Batch) -> None:
        await append(batch, epoch=clock.epoch)

    store.append = with_epoch  # type: ignore[method-assign, assignment]
    try:
        await record(store, begin, 60, PLANT)
    finally:
        store.append = append  # type: ignore[method-assign]


async def test_a2_no_digests_of_periods_that_never_were(store: Store) -> None:
    world = World(NOON, synchronised=True)
    await digested(store, world.clock(), world, 5)
    before = await ends(store)
    world.system, world.synchronised = world.system + 31 * DAY, False
    await digested(store, world.clock(epoch=2), world, 30)
    assert await ends(store) == before


async def test_a2_the_minutes_of_a_wrong_clock_are_in_the_right_digests_once_ntp_arrives(store: Store) -> None:
    world = World(NOON, synchronised=True)
    await digested(store, world.clock(), world, 3)
    world.system, world.synchronised = world.system + 31 * DAY, False
    clock = world.clock(epoch=2)
    await digested(store, clock, world, 10)
    world.system, world.synchronised = NOON + 13 * MINUTE, True
    await digested(store, clock, world, 3)
    found = [json.loads(each.body) for each in reversed(await store.digests(100)) if each.kind == "period"]
    assert max(await ends(store)) <= NOON + 16 * MINUTE
    counts = {each["header"]["period"]["start"]: each["tags"][0]["good"] for each in found if each["tags"]}
    assert sum(counts.values()) >= 15 * 60
    assert all(count <= 61 for count in counts.values()), counts


async def test_a2_a_plant_that_nobody_vouches_for_goes_on_after_an_absence(store: Store) -> None:
    hourly = configuration([device("p", [tag("p.t", 0)])], share=["p.t"], period=3600.0)
    world = World(NOON)
    await record(store, NOON, 60, hourly)
    world.pass_(2 * HOUR)
    await service(store, world.clock(), hourly).build_due()
    built = len(await ends(store))
    world.pass_(40 * DAY)
    clock = world.clock(epoch=2)
    digests = service(store, clock, hourly)
    await digests.build_due()
    assert len(await ends(store)) == built > 0, "who knows whether forty days have passed?"
    world.pass_(round(UNVOUCHED_WAIT_S) * SECOND + MINUTE)
    clock.check()
    await digests.build_due()
    later = len(await ends(store)) - built
    assert 24 <= later <= 24 + 8, "a day of periods, one for the rest of the absence, and few of days and weeks"
    assert max(await ends(store)) > NOON + 40 * DAY


async def test_a2_a_closed_period_stays_closed_when_a_wrong_time_server_is_put_right(store: Store) -> None:
    plant = configuration([device("p", [tag("p.t", 0)])], share=["p.t"], period=900.0)
    world = World(NOON, synchronised=True)
    clock = world.clock()
    digests = DigestService(store, plant, clock, Unsigned())  # type: ignore[arg-type]
    await store.add_event(Event(NOON, "start"))
    for step in (0, 10 * MINUTE, 26 * HOUR, -26 * HOUR, 15 * MINUTE, 15 * MINUTE):
        world.pass_(max(step, 0) if abs(step) < HOUR else MINUTE)
        world.system += step if abs(step) > HOUR else 0  # in the middle of a period
        clock.check()
        await digests.build_due()
    periods = sorted((each.start, each.end) for each in await store.digests(10_000) if each.kind == "period")
    assert len(periods) > 100
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(periods)), periods[:3]
    assert (NOON + 15 * MINUTE, NOON + 30 * MINUTE) in periods
