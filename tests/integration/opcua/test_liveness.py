"""Restarts, cuts, silence and lost messages: what is dead is noticed, and everything flows again by itself."""

from __future__ import annotations

import pytest

from tests.support.opcua_cut import Cut
from tests.support.opcua_devices import ENOUGH_S, RETURN_S, until, watched
from tests.support.opcua_servers import LAB, OTHER, Nursery, Server, double, node, tag

NODES = (double("a"), double("b", 100.0))
TAGS = (tag("a"), tag("b"))
TICK_S = 0.1
MODES = pytest.mark.parametrize("mode", ["subscribe", "poll"])


@MODES
async def test_L03_a_restarted_server_with_new_subscription_ids_is_read_again(nursery: Nursery, mode: str) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS, mode=mode) as device:
            await device.flows()
            for first in (5_000, 90_000):
                server.kill()
                await device.down()
                server.start(first_subscription=first)
                await device.flows(within_s=RETURN_S)
            assert device.snapshot.reconnects >= 2


@MODES
async def test_L03_a_server_that_ends_in_order_is_read_again(nursery: Nursery, mode: str) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS, mode=mode) as device:
            await device.flows()
            server.stop()
            await device.down()
            assert not any(row.good for row in (device.last("a"), device.last("b")) if row)
            server.start()
            await device.flows(within_s=RETURN_S)


async def test_a_server_that_is_away_at_the_start_is_read_when_it_comes(nursery: Nursery) -> None:
    with nursery.server(*NODES, started=False, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS) as device:
            await device.down()
            assert str(server.port) in device.snapshot.last_error
            assert device.snapshot.remedy
            server.start()
            await device.flows(within_s=RETURN_S)


async def test_a_server_that_was_away_for_long_is_read_soon_after_its_return(nursery: Nursery) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS) as device:
            await device.flows()
            server.kill()
            await until(lambda: device.snapshot.reconnects >= 6, "six attempts", within_s=60.0)
            server.start()
            await device.flows(within_s=RETURN_S)


async def test_namespaces_in_another_order_after_a_restart(nursery: Nursery) -> None:
    nodes = (double("a", 1.0), double("a", 1000.0, uri=OTHER))
    tags = (tag("a"), tag("a", OTHER) | {"name": "other"})
    with nursery.server(*nodes) as server:
        async with watched(server.url, *tags) as device:
            await device.is_("a", 1.0)
            await device.is_("other", 1000.0)
            server.kill()
            await device.down()
            server.start(namespaces=["urn:gongfu:new", OTHER, LAB])
            await device.is_("a", 1.0, within_s=RETURN_S)
            await device.is_("other", 1000.0)
            server.do("write", node=node("a"), value=2.0)
            await device.is_("a", 2.0)
            assert set(device.values("other")) == {1000.0}


@MODES
async def test_L17_a_cut_without_a_word_is_noticed_and_every_return_is_a_new_connection(
    nursery: Nursery, mode: str
) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with Cut(server.port) as cut, watched(cut.url, *TAGS, mode=mode) as device:
            for count in (1, 2):
                await device.flows(within_s=RETURN_S)
                made = cut.connections
                assert made >= count
                cut.blackhole()
                await device.down()
                cut.heal()
                await device.flows(within_s=RETURN_S)
                assert cut.connections > made


@MODES
async def test_a_connection_that_is_reset_is_made_again(nursery: Nursery, mode: str) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with Cut(server.port) as cut, watched(cut.url, *TAGS, mode=mode) as device:
            await device.flows()
            made = cut.connections
            cut.reset()
            if mode == "subscribe":
                await device.down()
            # Between two reads of a poll nobody need notice: the next one is over a new connection.
            await until(lambda: cut.connections > made, "another connection")
            await device.flows(within_s=RETURN_S)


@MODES
async def test_a_server_that_hangs_is_noticed(nursery: Nursery, mode: str) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS, mode=mode) as device:
            await device.flows()
            server.hang()
            await device.down()
            assert not any(row.good for row in (device.last("a"), device.last("b")) if row)
            server.resume()
            await device.flows(within_s=RETURN_S)


@MODES
async def test_a_session_that_the_server_forgot_is_made_again(nursery: Nursery, mode: str) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS, mode=mode) as device:
            await device.flows()
            assert server.do("expire_sessions") == 1
            await until(lambda: "disconnect" in device.events, "the loss of the session")
            await device.flows(within_s=RETURN_S)


async def test_L02_a_subscription_that_the_server_forgot_is_made_again(nursery: Nursery) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS) as device:
            await device.flows()
            assert server.do("expire_subscriptions") >= 1
            await until(lambda: len(server.do("subscriptions")) == 1, "a new subscription")
            await device.flows(within_s=RETURN_S)


async def test_L02_a_subscription_that_falls_silent_is_noticed_and_made_again(nursery: Nursery) -> None:
    """Connected, and every service answers; but nothing is published any more."""
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS) as device:
            await device.flows()
            server.do("set", silent=True)
            await device.is_bad("a")
            await device.is_bad("b")
            server.do("set", silent=False)
            await device.flows(within_s=RETURN_S)


async def test_L02_a_subscription_that_only_keeps_alive_is_noticed_and_made_again(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keep-alives say that nothing changed, and the server's own clock stands still: it lies."""
    monkeypatch.setattr("drivers.opcua.liveness.AUDIT_S", 1.0)
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS) as device:
            await device.flows()
            server.do("set", frozen=True)
            await device.down(within_s=2 * ENOUGH_S)
            server.do("set", frozen=False)
            await device.flows(within_s=RETURN_S)


async def test_quiet_values_are_vouched_for_by_keep_alives(nursery: Nursery) -> None:
    """Nothing changes, and that is known: no value grows old, none is invented, nothing is read instead."""
    with nursery.server(*NODES) as server:
        async with Cut(server.port) as cut, watched(cut.url, *TAGS) as device:
            await device.is_("b", 100.0)
            cut.requests.clear()
            scans, connections = device.scans, cut.connections
            await until(lambda: device.scans >= scans + 20, "twenty scans")
            assert device.snapshot.state == "running"
            assert device.values("b") == [100.0]
            assert cut.requests["ReadRequest"] == 0
            assert cut.connections == connections


async def test_a_missed_sequence_number_is_fetched_again(nursery: Nursery) -> None:
    with nursery.server(*NODES) as server:
        async with watched(server.url, *TAGS) as device:
            await device.is_("a", 0.0)
            for value in (1.0, 2.0, 3.0):
                await _lose_one(server, value)
                server.do("write", node=node("b"), value=value)
                await device.is_("b", value)
                await device.is_("a", value)
            assert device.seen["republished"] >= 3
            assert device.events == ["connect"], "nothing was rebuilt"
            assert server.do("requests")["Republish"] >= 3


async def test_a_missed_message_that_the_server_forgot_leads_to_a_new_beginning(nursery: Nursery) -> None:
    with nursery.server(*NODES, faults={"forget": True}) as server:
        async with watched(server.url, *TAGS) as device:
            await device.is_("a", 0.0)
            await _lose_one(server, 7.0)
            server.do("write", node=node("b"), value=7.0)
            await device.is_("a", 7.0, within_s=RETURN_S)
            await device.is_("b", 7.0)


async def test_a_publish_response_lost_by_the_cable_is_fetched_again(nursery: Nursery) -> None:
    with nursery.server(*NODES) as server:
        async with Cut(server.port) as cut, watched(cut.url, *TAGS) as device:
            await device.is_("a", 0.0)
            cut.lose("PublishResponse")
            server.do("write", node=node("a"), value=1.0)
            await until(lambda: not cut.losing("PublishResponse"), "the loss")
            server.do("write", node=node("b"), value=1.0)
            await device.is_("b", 1.0)
            await device.is_("a", 1.0, within_s=RETURN_S)


@MODES
async def test_the_secure_channel_is_renewed_and_nothing_is_missed(
    nursery: Nursery, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.opcua.channel.LIFETIME_S", 1.0)
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with Cut(server.port) as cut, watched(cut.url, *TAGS, mode=mode) as device:
            await device.flows()
            opened = cut.requests["OpenSecureChannelRequest"]
            await until(lambda: cut.requests["OpenSecureChannelRequest"] >= opened + 4, "four renewals")
            await device.flows()
            assert device.events == ["connect"]


async def _lose_one(server: Server, value: float) -> None:
    server.do("set", lose=1)
    server.do("write", node=node("a"), value=value)
    await until(lambda: not server.do("losing"), "the loss of a message")
