"""Two clocks: the stamp of the source is kept, the gateway's is what counts, and an absurd one is marked."""

from __future__ import annotations

import time

import pytest

from drivers.quality import Quality
from tests.support.opcua_devices import until, watched
from tests.support.opcua_servers import Nursery, double, node, tag

MODES = pytest.mark.parametrize("mode", ["subscribe", "poll"])
SECOND_US = 1_000_000


def now_us() -> int:
    return time.time_ns() // 1000


@MODES
async def test_L28_a_value_is_stamped_at_its_arrival_and_keeps_its_sources_time(nursery: Nursery, mode: str) -> None:
    with nursery.server(double("a"), double("b")) as server:
        async with watched(server.url, tag("a"), tag("b"), mode=mode) as device:
            await device.is_("a", 0.0)
            source, before = now_us() - 90 * SECOND_US, now_us()
            server.do("write", node=node("a"), value=1.0, source_us=source)
            await device.is_("a", 1.0)
            row = device.rows["a"][-1]
            assert row.source_time == source
            assert before <= row.time <= now_us()
            assert row.quality is Quality.GOOD


async def test_L28_values_of_one_notification_keep_each_its_own_source_time(nursery: Nursery) -> None:
    with nursery.server(double("a"), double("b")) as server:
        async with watched(server.url, tag("a", interval="50ms"), tag("b"), publishing_interval="500ms") as device:
            await device.is_("a", 0.0)
            stamps = [now_us() - each * SECOND_US for each in (9, 6, 3)]
            for number, stamp in enumerate(stamps, 1):
                server.do("write", node=node("a"), value=float(number), source_us=stamp)
            await device.is_("a", 3.0)
            rows = device.rows["a"][-3:]
            assert [row.value for row in rows] == [1.0, 2.0, 3.0]
            assert [row.source_time for row in rows] == stamps


@MODES
async def test_a_source_without_a_clock_has_the_gateways_time(nursery: Nursery, mode: str) -> None:
    with nursery.server(double("a")) as server:
        async with watched(server.url, tag("a"), mode=mode) as device:
            server.do("write", node=node("a"), value=1.0, source_us=None, server_us=None)
            await device.is_("a", 1.0)
            row = device.rows["a"][-1]
            assert row.source_time == row.time, "the gateway's own, and no other"
            assert row.quality is Quality.GOOD


@MODES
async def test_L29_a_clock_at_2000_is_marked_and_not_trusted(nursery: Nursery, mode: str) -> None:
    year_2000_us = 946_684_800 * SECOND_US
    with nursery.server(double("a")) as server:
        async with watched(server.url, tag("a"), mode=mode) as device:
            await device.is_("a", 0.0)
            before = now_us()
            server.do("write", node=node("a"), value=1.0, source_us=year_2000_us)
            await device.is_("a", 1.0)
            row = device.rows["a"][-1]
            assert row.quality is Quality.CLOCK
            assert before <= row.time <= now_us()
            server.do("write", node=node("a"), value=2.0)
            await device.is_("a", 2.0)
            assert device.rows["a"][-1].quality is Quality.GOOD


@pytest.mark.parametrize("clock_s", [0.0, 120.0, -3600.0])
async def test_the_offset_of_the_servers_clock_is_measured(nursery: Nursery, clock_s: float) -> None:
    with nursery.server(double("a"), faults={"clock_s": clock_s}) as server:
        async with watched(server.url, tag("a")) as device:
            await device.is_("a", 0.0)
            await until(lambda: device.seen.get("server_clock_offset_s") is not None, "the offset")
            # The server's clock moves in steps of a second.
            assert device.seen["server_clock_offset_s"] == pytest.approx(clock_s, abs=5.0)
            server.do("write", node=node("a"), value=1.0)
            await device.is_("a", 1.0)
            assert device.rows["a"][-1].quality is Quality.GOOD
            assert device.rows["a"][-1].source_time == pytest.approx(now_us() + clock_s * SECOND_US, abs=60e6)


async def test_a_server_years_behind_is_marked_and_its_offset_shown(nursery: Nursery) -> None:
    years = -3000 * 86400.0
    with nursery.server(double("a", 5.0), faults={"clock_s": years}) as server:
        async with watched(server.url, tag("a")) as device:
            await device.is_("a", 5.0)
            server.do("write", node=node("a"), value=6.0)
            await device.is_("a", 6.0)
            assert device.rows["a"][-1].quality is Quality.CLOCK, "what changed just now was stamped years ago"
            await until(lambda: device.seen.get("server_clock_offset_s") is not None, "the offset")
            assert device.seen["server_clock_offset_s"] == pytest.approx(years, abs=5.0)
