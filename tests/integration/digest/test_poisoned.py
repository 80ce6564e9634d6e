"""A buffer that version 0.1 poisoned with whatever a platform called its head recovers by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.buffer.records import DigestRecord, Event
from agent.buffer.store import Store
from agent.core.bounds import MAX_JUMP, MAX_SEQ
from agent.digest.chain import next_link
from agent.digest.report import decode
from agent.digest.service import DigestService
from agent.evidence.chain import digest_hash
from tests.support.digest_plants import SECOND, START
from tests.support.digest_service import PLANT, SetClock, Unsigned, record

MINUTE = 60 * SECOND
LIE = "cd" * 32


def service(store: Store, minutes: float) -> DigestService:
    return DigestService(store, PLANT, SetClock(START + round(minutes * MINUTE)), Unsigned())


@pytest.mark.parametrize(
    "head", [2**63 - 1, 2**63 - 2, 2**63 - 30, MAX_SEQ + 1, MAX_SEQ, 3 + MAX_JUMP + 1, -4, "x", 1.5]
)
async def test_a1_a_head_that_was_noted_and_cannot_be_is_not_followed(tmp_path: Path, head: object) -> None:
    store = await Store.open(tmp_path / "buffer.db")
    try:
        await store.add_event(Event(START, "start"))
        await record(store, START, 240)
        await service(store, 2.5).build_due()
        await store.set_meta("chain_head", json.dumps({"seq": head, "hash": LIE}))
        assert await service(store, 3.5).build_due() == 1
        assert [each.seq for each in await store.digests(9)] == [3, 2, 1]
    finally:
        await store.close()


@pytest.mark.parametrize("state", ["pending", "accepted", "rejected"])
@pytest.mark.parametrize("first", [2**63 - 1, 2**63 - 2, MAX_SEQ + 1])
async def test_a1_digests_with_impossible_numbers_are_said_again_in_their_place(
    tmp_path: Path, first: int, state: str
) -> None:
    store = await Store.open(tmp_path / "buffer.db")
    try:
        await store.add_event(Event(START, "start"))
        await record(store, START, 300)
        await service(store, 3.5).build_due()
        await store.set_meta("chain_head", json.dumps({"seq": first - 1, "hash": LIE}))
        third = await store.digest(3)
        assert third is not None
        await store.set_aside_digests(2)  # as if the third had been built behind the lie
        (aside,) = await store.set_aside()
        await store.supersede(aside.number)
        told = json.loads(third.body)
        told["header"] |= {"seq": first, "previous": LIE}
        body = json.dumps(told).encode()
        await store.add_digest(
            DigestRecord(first, "period", third.start, third.end, digest_hash(body), LIE, body, "x..y", state)  # type: ignore[arg-type]
        )
    finally:
        await store.close()
    store = await Store.open(tmp_path / "buffer.db")  # the new version starts
    try:
        assert await service(store, 4.5).build_due() == 1
        digests = list(reversed(await store.digests(9)))
        assert [each.seq for each in digests] == [1, 2, 3, 4]
        assert [each.previous for each in digests[1:]] == [each.hash for each in digests[:-1]]
        assert [each.start for each in digests] == [START + minute * MINUTE for minute in range(4)]
        assert decode(digests[2].body).coverage == decode(third.body).coverage
        assert (await next_link(store))[0] == 5
    finally:
        await store.close()
