"""Notifications are handed on in the order of their numbers, whatever was lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import pytest

from drivers.contract import DriverError
from drivers.opcua import services, subscription
from drivers.opcua.client import Connection, Fault
from drivers.opcua.columns import Columns, Publish
from drivers.opcua.learned import Learned
from drivers.opcua.poll import Counts
from drivers.opcua.services import Made, Terms, Wanted

LAST = 0xFFFFFFFF
GONE = 0x807B0000


def answer(sequence: int, *, keep_alive: bool = False) -> Publish:
    return Publish(1, sequence, False, 0, (), (), Columns.blank(0), keep_alive)


class Wire:
    """A subscription whose server still has the notifications in ``kept``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *kept: int) -> None:
        self.delivered: list[tuple[int, int]] = []
        self.asked: list[int] = []
        self.kept = set(kept)
        connection = cast("Connection", _Nowhere())
        self.made = subscription.Subscription(connection, lambda: 0, self._deliver, Counts(), Learned())
        self.made.terms = Terms(1, 1.0, 1)
        monkeypatch.setattr(services, "republish", self._republish)
        monkeypatch.setattr("drivers.opcua.decode.publish_response", lambda body: body)

    def _deliver(self, arrived: Publish, time: int) -> None:
        self.delivered.append((arrived.sequence, time))

    async def _republish(self, connection: Any, number: int, sequence: int) -> Publish:
        self.asked.append(sequence)
        if sequence not in self.kept:
            raise Fault(GONE, "plc", "Republish")
        return answer(sequence)

    def arrive(self, *sequences: int, keep_alive: bool = False) -> None:
        for sequence in sequences:
            self.made._order(answer(sequence, keep_alive=keep_alive), 100 + sequence)

    @property
    def order(self) -> list[int]:
        return [sequence for sequence, _ in self.delivered]


class _Nowhere:
    where = "plc"
    posted = 0

    def post(self, request: bytes) -> asyncio.Future[Any]:
        self.posted += 1
        return asyncio.get_running_loop().create_future()

    def head(self, type_id: int, timeout_s: float) -> bytes:
        return b""

    def body(self, answer: Any) -> Any:
        return answer

    ended = broken = False

    def classified(self, service: str) -> Any:
        return nullcontext()


async def test_what_comes_in_order_is_handed_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    wire.arrive(7, 8)
    wire.arrive(9, keep_alive=True)  # announces 9, which has not been sent
    wire.arrive(9, 10)
    assert wire.order == [7, 8, 9, 9, 10]
    await wire.made.repair()
    assert not wire.asked


async def test_what_was_lost_is_asked_for_again_and_comes_before_what_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch, 3, 4, 6)
    wire.arrive(1, 2, 5, 7)
    assert wire.order == [1, 2]
    await wire.made.repair()
    assert (wire.asked, wire.order) == ([3, 4, 6], [1, 2, 3, 4, 5, 6, 7])
    assert dict(wire.delivered)[3] == 105  # no earlier than what followed it arrived
    assert wire.made.republished == 3


async def test_a_keep_alive_shows_that_the_last_one_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch, 2)
    wire.arrive(1)
    wire.arrive(3, keep_alive=True)
    await wire.made.repair()
    wire.arrive(3)
    assert wire.order == [1, 2, 3, 3]


async def test_what_the_server_no_longer_has_ends_the_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    wire.arrive(1, 3)
    with pytest.raises(DriverError, match="lost"):
        await wire.made.repair()


def test_too_much_lost_ends_it_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    with pytest.raises(DriverError, match="lost"):
        wire.arrive(1, subscription.MOST_MISSING + 3)


def test_what_comes_twice_is_handed_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    wire.arrive(1, 2, 2, 1, 3)
    assert wire.order == [1, 2, 3]


async def test_numbers_begin_again_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch, LAST, 1)
    wire.arrive(LAST - 1, 2)
    await wire.made.repair()
    wire.arrive(3)
    assert wire.order == [LAST - 1, LAST, 1, 2, 3]


@pytest.mark.parametrize("sequence", [0, 1])
def test_keep_alives_numbered_against_the_rules_do_no_harm(monkeypatch: pytest.MonkeyPatch, sequence: int) -> None:
    wire = Wire(monkeypatch)
    wire.arrive(1)
    wire.arrive(sequence, keep_alive=True)  # the last one's number, or none
    wire.arrive(2)
    assert wire.order == [1, sequence, 2]


Creating = Callable[..., Any]


async def monitored(monkeypatch: pytest.MonkeyPatch, create: Creating) -> tuple[dict[int, int], dict[int, int]]:
    monkeypatch.setattr(services, "monitor", create)
    wanted = [Wanted(handle, f"node {handle}", 1.0, 2, float(handle % 2)) for handle in range(5)]
    made, refused = await Wire(monkeypatch).made.monitor(wanted, 5)
    return {handle: item.id for handle, item in made.items()}, refused


async def test_batches_shrink_to_what_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    async def create(connection: Any, number: int, items: list[Wanted]) -> list[Made]:
        sizes.append(len(items))
        if len(items) > 2:
            raise Fault(0x80100000, "plc", "CreateMonitoredItems")
        return [Made(0, 100 + item.handle, 1.0) for item in items]

    made, refused = await monitored(monkeypatch, create)
    assert made == {handle: 100 + handle for handle in range(5)} and not refused
    assert sizes == [5, 3, 2, 2, 1]


async def test_a_refused_filter_is_left_out_and_a_refused_node_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    async def create(connection: Any, number: int, items: list[Wanted]) -> list[Made]:
        bad = {3: 0x80340000}
        return [Made(0x80450000 if item.deadband else bad.get(item.handle, 0), item.handle + 1, 1.0) for item in items]

    made, refused = await monitored(monkeypatch, create)
    assert (sorted(made), refused) == ([0, 1, 2, 4], {3: 0x80340000})


async def storm(monkeypatch: pytest.MonkeyPatch, answers: Callable[[int], Any]) -> int:
    """How often a server is asked that answers each of 2000 requests at once."""
    wire = Wire(monkeypatch)
    wire.made._ask()
    for number in range(2000):
        if not wire.made._outstanding:
            break
        arrived = answers(number)
        future = asyncio.get_running_loop().create_future()
        if isinstance(arrived, Exception):
            future.set_exception(arrived)
        else:
            future.set_result(arrived)
        wire.made._answered(future)
    assert wire.made._failure is None
    return cast("_Nowhere", wire.made._connection).posted


@pytest.mark.parametrize("kind", ["keep-alives", "numbered keep-alives", "notifications", "time-outs"])
async def test_a8_a_server_that_answers_at_once_for_ever_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def answers(number: int) -> Any:
        if kind == "time-outs":
            return Fault(0x800A0000, "plc", "Publish")
        return answer(
            number + 1 if kind == "notifications" else 7 * (kind != "keep-alives"), keep_alive=kind != "notifications"
        )

    assert await storm(monkeypatch, answers) < 150


async def test_a8_parts_of_one_large_notification_are_fetched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(number: int) -> Publish:
        return replace(answer(number + 1), more=True, items=Columns.blank(20))

    assert await storm(monkeypatch, answers) > 400


async def test_a8_lost_notifications_are_bounded_however_they_are_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    wire.arrive(1)
    with pytest.raises(DriverError, match="lost"):
        for gap in range(1, 50):
            wire.arrive(1 + gap * 60)
