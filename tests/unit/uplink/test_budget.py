"""A day's bytes are kept: over a restart, over midnight, for what is on its way, and a part for each kind."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.buffer.records import Upload
from agent.errors import GongfuError
from agent.uplink.budget import DAY_US, LONGEST_WAIT_S, SHARES, Budget
from agent.uplink.held import Held

NOON = 20_000 * DAY_US + DAY_US // 2


class Ledger:
    def __init__(self) -> None:
        self.uploads: list[Upload] = []
        self.fails = False

    async def add_upload(self, upload: Upload) -> None:
        if self.fails:
            raise GongfuError("the disk is full", remedy="free some")
        self.uploads.append(upload)

    async def uploaded_bytes(self, since_us: int, kind: str = "", audiences: Sequence[str] | None = None) -> int:
        if self.fails:
            raise GongfuError("the disk is full", remedy="free some")
        mine = [each for each in self.uploads if audiences is None or each.audience in audiences]
        return sum(each.bytes for each in mine if each.time >= since_us and kind in ("", each.kind))


class Clock:
    def __init__(self) -> None:
        self.now_us = NOON

    def now(self) -> int:
        return self.now_us


class Bench:
    """A budget with its ledger and clock."""

    def __init__(self, max_bytes: int = 1000) -> None:
        self.ledger, self.clock = Ledger(), Clock()
        self.budget = Budget(self.ledger, self.clock, max_bytes)

    def restart(self) -> None:
        self.budget = Budget(self.ledger, self.clock, self.budget.max_bytes)

    async def send(self, size: int, kind: str = "digest", *, sent: int | None = None) -> None:
        reserved = await self.budget.reserve(size, kind)
        upload = Upload(self.clock.now(), 1, kind, size if sent is None else sent, 201)
        await self.budget.settle(reserved, upload)


async def test_what_fits_goes_and_what_does_not_waits_for_midnight() -> None:
    bench = Bench()
    await bench.send(600)
    with pytest.raises(Held, match="used up") as caught:
        await bench.send(401)
    assert caught.value.kind == "waiting" and caught.value.after_s == LONGEST_WAIT_S and caught.value.remedy
    await bench.send(400)
    assert bench.budget.bytes_today == 1000 and [each.bytes for each in bench.ledger.uploads] == [600, 400]
    bench.clock.now_us += DAY_US // 2 - 30_000_000
    with pytest.raises(Held) as caught:
        await bench.send(1)
    assert caught.value.after_s == 30.0
    bench.clock.now_us += 30_000_000
    assert bench.budget.bytes_today == 0  # also before anything is sent
    await bench.send(1000)


async def test_a_restart_forgets_nothing() -> None:
    bench = Bench()
    await bench.send(900)
    bench.restart()
    with pytest.raises(Held):
        await bench.send(101)
    assert bench.budget.bytes_today == 900


async def test_what_is_on_its_way_counts_and_what_never_left_does_not() -> None:
    bench = Bench()
    first = await bench.budget.reserve(600, "digest")
    with pytest.raises(Held):
        await bench.budget.reserve(600, "digest")
    await bench.budget.settle(first, Upload(NOON, 1, "digest", 0, 0))
    assert bench.budget.bytes_today == 0 and bench.ledger.uploads == []
    await bench.send(600, sent=550)
    assert bench.budget.bytes_today == 550


async def test_a_request_over_midnight_counts_for_the_new_day() -> None:
    bench = Bench()
    reserved = await bench.budget.reserve(600, "digest")
    bench.clock.now_us += DAY_US
    await bench.budget.settle(reserved, Upload(bench.clock.now(), 1, "digest", 600, 201))
    assert bench.budget.bytes_today == 600


@pytest.mark.parametrize("kind", SHARES)
async def test_what_can_wait_has_a_part_and_leaves_the_rest(kind: str) -> None:
    bench = Bench()
    part = int(1000 * SHARES[kind])
    for restarted in (False, True):
        await bench.send(part // 2, kind)
        if not restarted:
            bench.restart()
    with pytest.raises(Held, match="part"):
        await bench.send(1, kind)
    await bench.send(1000 - part)
    assert bench.budget.bytes_today == 1000


async def test_a_request_that_no_day_has_room_for_is_named() -> None:
    bench = Bench()
    with pytest.raises(Held, match="whole day") as caught:
        await bench.send(1001)
    assert "max_bytes_per_day" in caught.value.remedy


async def test_what_cannot_be_noted_is_not_sent() -> None:
    bench = Bench()
    bench.ledger.fails = True
    with pytest.raises(Held, match="disk is full") as caught:
        await bench.budget.reserve(1, "digest")
    assert caught.value.kind == "failing" and caught.value.remedy == "free some"
