"""One item's trouble is its own: what is missing, refused, mute or too fast leaves all others as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import drivers.opcua
from drivers.quality import Quality
from tests.support.opcua_cut import Cut
from tests.support.opcua_devices import RETURN_S, until, watched
from tests.support.opcua_servers import LAB, Nursery, double, node, tag, variable

NODES = (double("a"), double("b", 100.0))
TAGS = (tag("a"), tag("b"))
TICK_S = 0.1
MODES = pytest.mark.parametrize("mode", ["subscribe", "poll"])


@MODES
async def test_L01_one_vanished_node_leaves_the_others(nursery: Nursery, mode: str) -> None:
    tags = (tag("a"), tag("gone"), tag("b"), tag("far", "urn:nobody"), {"name": "path", "address": "/Objects/2:Away"})
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *tags, mode=mode) as device:
            for _ in range(2):
                await device.flows("a", "b", within_s=RETURN_S)
                for name in ("gone", "far", "path"):
                    await device.is_bad(name, Quality.ADDRESS)
                assert (device.snapshot.state, device.snapshot.bad) == ("degraded", 3)
                said = "\n".join(device.snapshot.faults)
                assert all(each in said for each in ("gone:", "urn:nobody", "path:")), said
                server.kill()
                await device.down()
                server.start()
            assert not device.values("gone")


@MODES
async def test_a_deleted_node_leaves_the_others_and_comes_back(
    nursery: Nursery, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.opcua.watching.RETRY_S", 0.5)
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS, mode=mode) as device:
            await device.flows()
            server.do("delete", node=node("b"))
            await device.is_bad("b", Quality.ADDRESS)
            await device.flows("a")
            server.do("add", **double("b", 500.0))
            await until(lambda: any(value >= 500.0 for value in device.values("b")), "b's return")  # type: ignore[operator]
            server.do("tick", nodes=[node("a"), node("b")], every_s=TICK_S)
            await device.flows("a", "b")
            assert device.events == ["connect"], "nobody else was disturbed"


async def test_L02_a_node_deleted_and_made_again_without_a_word_is_noticed(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asyncua's server does it: the monitored item stays, says nothing, and is dead when the node is back."""
    monkeypatch.setattr("drivers.opcua.liveness.AUDIT_S", 0.5)
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS) as device:
            await device.flows()
            server.do("still")
            server.do("delete", node=node("b"), quiet=True)
            await device.is_bad("b", Quality.ADDRESS)
            server.do("add", **double("b", 500.0))
            await until(lambda: 500.0 in device.values("b"), "b's return")
            server.do("tick", nodes=[node("a"), node("b")], every_s=TICK_S)
            await device.flows("a", "b")


async def test_an_item_that_never_says_anything_is_read(nursery: Nursery) -> None:
    with nursery.server(*NODES, ticking=TICK_S, faults={"mute": [node("b")]}) as server:
        async with watched(server.url, *TAGS) as device:
            await device.flows("a")
            await until(lambda: bool(device.values("b")), "b's value")
            await device.flows("a")


async def test_what_overflows_a_queue_is_in_the_ledger(nursery: Nursery) -> None:
    with nursery.server(*NODES) as server:
        async with watched(server.url, *TAGS) as device:
            await device.is_("a", 0.0)
            server.do("burst", node=node("a"), values=[float(each) for each in range(1, 501)])
            await device.is_("a", 500.0)
            await until(lambda: bool(device.losses), "an entry in the ledger")
            assert {(loss.cause, loss.device, loss.series) for loss in device.losses} == {("overflow", "cnc", "cnc.a")}
            assert all(loss.count >= 1 and loss.start <= loss.end for loss in device.losses)
            assert device.seen["overflows"] >= 1
            assert all(row.quality is Quality.GOOD for row in device.rows["a"]), "a value behind a loss is good"
            assert [row.time for row in device.rows["a"]] == sorted(row.time for row in device.rows["a"])


async def test_a_deadband_is_the_servers_work_where_it_can(nursery: Nursery) -> None:
    with nursery.server(*NODES) as server:
        async with watched(server.url, tag("a", deadband=5.0), tag("b")) as device:
            await device.is_("a", 0.0)
            items = {item["node"]: item for item in server.do("subscriptions")[0]["items"]}
            assert items["ns=2;s=a"]["filter"]["DeadbandValue"] == 5.0
            assert items["ns=2;s=b"]["filter"] is None
            for value in (3.0, 6.0):
                server.do("write", node=node("a"), value=value)
            server.do("write", node=node("b"), value=1.0)
            await device.is_("b", 1.0)
            await device.is_("a", 6.0)
            assert device.values("a") == [0.0, 6.0]


@pytest.mark.parametrize("code", ["BadMonitoredItemFilterUnsupported", "BadFilterNotAllowed"])
async def test_a_refused_deadband_is_done_here(nursery: Nursery, code: str) -> None:
    with nursery.server(*NODES, faults={"refuse_filter": code}) as server:
        async with watched(server.url, tag("a", deadband=5.0), tag("b")) as device:
            await device.is_("a", 0.0)
            for value, after in ((3.0, 1.0), (6.0, 2.0)):
                server.do("write", node=node("a"), value=value)
                server.do("write", node=node("b"), value=after)
                await device.is_("b", after)
            await device.is_("a", 6.0)
            assert device.values("a") == [0.0, 6.0]
            assert device.snapshot.state == "running"


@MODES
async def test_calls_keep_to_the_servers_limits(nursery: Nursery, mode: str) -> None:
    names = [f"n{number}" for number in range(40)]
    limits = {"CreateMonitoredItems": 7, "Read": 6}
    with nursery.server(*(double(name, 1.5) for name in names), faults={"limits": limits}) as server:
        async with watched(server.url, *(tag(name) for name in names), mode=mode) as device:
            for name in names:
                await device.is_(name, 1.5)
            assert "disconnect" not in device.events


async def test_a_slow_server_delays_and_nothing_piles_up(nursery: Nursery) -> None:
    with nursery.server(*NODES, ticking=TICK_S, faults={"delay": {"Read": 0.3}}) as server:
        async with watched(server.url, *TAGS, mode="poll", interval="50ms") as device:
            await device.flows()
            server.do("requests")
            scans = device.scans
            await until(lambda: device.scans >= scans + 5, "five scans")
            assert server.do("requests")["Read"] <= device.scans - scans + 1, "one request in flight"
            assert device.snapshot.late > 0


async def test_sampling_and_queue_follow_the_tags_interval(nursery: Nursery) -> None:
    of = (tag("a", interval="100ms"), tag("b", interval="1s"))
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *of, publishing_interval="500ms") as device:
            await device.flows()
            (subscription,) = server.do("subscriptions")
            assert subscription["interval_ms"] == 500.0
            queues = {item["node"]: item["queue"] for item in subscription["items"]}
            assert queues["ns=2;s=a"] >= 6
            assert queues["ns=2;s=b"] >= 2
            await until(lambda: len(device.values("a")) >= 20, "the values between two notifications")
            rows = [row.value for row in device.rows["a"]]
            assert rows == sorted(rows)  # type: ignore[type-var]


async def test_a_browse_path_leads_to_the_node(nursery: Nursery) -> None:
    nodes = (double("Load", 42.0, path=["CNC", "Spindle", "Load"]), double("b"))
    addresses = ("/Objects/2:CNC/2:Spindle/2:Load", f"/Objects/nsu={LAB};CNC/nsu={LAB};Spindle/nsu={LAB};Load")
    tags = [{"name": f"t{number}", "address": address} for number, address in enumerate(addresses)]
    with nursery.server(*nodes) as server:
        for mode in ("subscribe", "poll"):
            async with watched(server.url, *tags, mode=mode) as device:
                await device.is_("t0", 42.0)
                await device.is_("t1", 42.0)


REFUSALS = pytest.mark.parametrize("code", ["BadServiceUnsupported", "BadTooManySubscriptions"])


@REFUSALS
async def test_auto_polls_where_subscriptions_are_refused_and_says_so_once(
    nursery: Nursery, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused = {"refuse": {"CreateSubscription": code}}
    with nursery.server(*NODES, ticking=TICK_S, faults=refused) as server:
        async with watched(server.url, *TAGS, mode="auto") as device:
            await device.flows()
            await device.flows()
            assert device.seen["mode"] == "poll"
            assert server.do("requests")["CreateSubscription"] == 1
            assert "disconnect" not in device.events
            said = [record.getMessage() for record in caplog.records if "subscri" in record.getMessage().lower()]
            assert len(said) <= 1


async def test_auto_subscribes_where_it_can(nursery: Nursery) -> None:
    with nursery.server(*NODES, ticking=TICK_S) as server:
        async with watched(server.url, *TAGS, mode="auto") as device:
            await device.flows()
            assert device.seen["mode"] == "subscribe"
            assert len(server.do("subscriptions")) == 1


@REFUSALS
async def test_subscribe_says_what_to_do_where_it_is_refused(nursery: Nursery, code: str) -> None:
    with nursery.server(*NODES, faults={"refuse": {"CreateSubscription": code}}) as server:
        async with watched(server.url, *TAGS) as device:
            await device.down()
            assert "ubscri" in device.snapshot.last_error
            assert "poll" in device.snapshot.remedy


@MODES
async def test_read_only_the_wire_carries_no_other_service(nursery: Nursery, mode: str) -> None:
    allowed = {
        *("OpenSecureChannel", "CloseSecureChannel", "GetEndpoints", "FindServers"),
        *("CreateSession", "ActivateSession", "CloseSession"),
        *("Read", "Browse", "BrowseNext", "TranslateBrowsePathsToNodeIds"),
        *("CreateSubscription", "ModifySubscription", "DeleteSubscriptions", "SetPublishingMode"),
        *("CreateMonitoredItems", "DeleteMonitoredItems", "Publish", "Republish"),
    }
    tags = (*TAGS, tag("gone"), tag("text"), {"name": "path", "address": "/Objects/2:a"}, tag("c", deadband=1.0))
    nodes = (*NODES, variable("text", "String", "x"), double("c"))
    with nursery.server(*nodes, ticking=TICK_S) as server:
        async with Cut(server.port) as cut:
            async with watched(cut.url, *tags, mode=mode) as device:
                await device.flows("a", "b", "path")
                server.kill()
                await device.down()
                server.start()
                await device.flows("a", "b", "path", within_s=RETURN_S)
            seen = {name.removesuffix("Request") for name in cut.requests}
    assert seen - allowed == set()
    assert {"CreateSession", "Publish" if mode == "subscribe" else "Read"} <= seen


def test_read_only_the_driver_knows_no_service_that_changes_anything() -> None:
    changing = ("WriteRequest", "CallRequest", "AddNodes", "DeleteNodes", "AddReferences", "HistoryUpdate")
    methods = ("write_value", "set_value", "call_method", "write_attribute", "set_writable")
    folder = Path(drivers.opcua.__file__).parent
    files = list(folder.glob("*.py"))
    assert len(files) > 10
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert [each for each in (*changing, *methods) if each in text] == [], file.name


async def test_n2_a_device_all_of_whose_nodes_are_unknown_is_up_and_says_which(nursery: Nursery) -> None:
    """Nothing is monitored, so no first value can be waited for: the subscription is alive all the same."""
    with nursery.server(double("a")) as server:
        async with watched(server.url, tag("gone"), mode="subscribe") as device:
            await device.is_bad("gone", Quality.ADDRESS)
            assert device.snapshot.state != "down"
            assert "disconnect" not in device.events
            assert "poll" not in device.snapshot.remedy
