"""Several chains in one database: what concerns one leaves the others alone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.buffer.store import DigestRecord, Loss, Store, StoreConflict, Upload
from tests.support.old_buffers import old_buffer


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "b.db", now=lambda: 77)
    yield opened
    await opened.close()


def digest(seq: int, stream: str = "", *, body: bytes = b"{}") -> DigestRecord:
    return DigestRecord(seq, "period", seq, seq + 1, f"{stream}{seq}", "p", body, "j", stream=stream)


async def test_each_stream_counts_and_settles_for_itself(store: Store) -> None:
    await store.add_digests([digest(1), digest(1, "park"), digest(1, "owner")])
    await store.add_digests([digest(2), digest(2, "park")])
    park, owner = store.stream_of("park"), store.stream_of("owner")
    await park.mark(1, "accepted", time_us=5)
    assert [each.seq for each in await store.pending(9)] == [1, 2]
    assert [each.seq for each in await park.pending(9)] == [2]
    assert (await park.last_settled("accepted")) == DigestRecord(
        1, "period", 1, 2, "park1", "p", b"{}", "j", "accepted", settled=5, stream="park"
    )
    assert (await owner.digest_counts(), await owner.digest(2)) == ({"pending": 1, "accepted": 0, "rejected": 0}, None)
    assert await store.streams() == ["", "owner", "park"] and store.stream_of("") is store


async def test_digests_of_one_period_are_kept_together_or_not_at_all(store: Store) -> None:
    await store.add_digest(digest(1, "park"))
    with pytest.raises(StoreConflict):
        await store.add_digests([digest(1), digest(1, "owner"), digest(1, "park")])
    assert await store.streams() == ["park"]


async def test_a_stream_has_settings_of_its_own(store: Store) -> None:
    park = store.stream_of("park")
    await store.set_meta("k", "ours")
    assert await park.meta("k") is None
    await park.set_meta("k", "theirs")
    assert (await store.meta("k"), await park.meta("k")) == ("ours", "theirs")


async def test_setting_one_branch_aside_leaves_the_others_where_they_are(store: Store) -> None:
    await store.add_loss(Loss(1, 1, "retention", "press"))
    await store.close_losses(9)
    await store.add_digests([digest(1), digest(1, "park")])
    park = store.stream_of("park")
    assert await park.set_aside_digests(0, ("head", "x")) == 1
    assert [each.seq for each in await store.digests(9)] == [1] and await park.digests(9) == []
    assert (await park.meta("head"), await store.meta("head")) == ("x", None)
    assert (await park.undecided(), await store.undecided(), await store.set_aside()) == (True, False, [])
    told = await store.unreported(9)
    assert [(each.cause, each.stream) for each in told] == [("digest_set_aside", "park")]
    (aside,) = await park.set_aside()
    await park.relink(aside.number, digest(5, "park"))
    assert [each.seq for each in await park.digests(9)] == [5] and not await park.undecided()


async def test_what_is_shed_leaves_each_chain_its_head(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "b.db", max_bytes=500_000)
    park = store.stream_of("park")
    for seq in range(1, 25):
        await store.add_digests([digest(seq, name, body=os.urandom(20_000)) for name in ("", "park")])
    counts = [(await each.digest_counts())["pending"] for each in (store, park)]
    assert 0 < counts[0] < 24 and abs(counts[0] - counts[1]) <= 1
    for each in (store, park):
        (newest, *_) = await each.digests(1)
        assert newest.seq == 24
    shed = [(loss.stream, loss.count) for loss in await store.losses(0, 99) if loss.cause == "digest_shed"]
    assert {stream for stream, _ in shed} == {"", "park"}
    assert sum(count for _, count in shed) == 48 - sum(counts)
    await store.close()


async def test_the_ledger_of_uploads_says_to_whom(store: Store) -> None:
    await store.add_upload(Upload(5, 1, "digest", 100, 201, "", "platform.example"))
    await store.add_upload(Upload(6, 1, "digest", 70, 201, "park", "park.example:8443"))
    assert [(each.audience, each.host) for each in await store.uploads(0, 9)] == [
        ("", "platform.example"),
        ("park", "park.example:8443"),
    ]
    assert await store.uploaded_bytes(0) == 170
    assert await store.uploaded_bytes(0, "digest", ["park"]) == 70
    assert await store.uploaded_bytes(0, "", ["", "park"]) == 170 and await store.uploaded_bytes(0, "", []) == 0


async def test_the_digests_of_an_older_file_are_the_gateways_own(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    old_buffer(path, 3)
    store = await Store.open(path)
    assert [
        (each.seq, each.hash, each.body, each.state, each.settled, each.stream) for each in await store.digests(9)
    ] == [
        (3, "h3", b"{}", "pending", 9, ""),
        (2, "h2", b"{}", "rejected", 9, ""),
        (1, "h1", b"{}", "accepted", 9, ""),
    ]
    await store.add_digests([digest(4), digest(1, "park")])
    assert await store.streams() == ["", "park"]
    await store.close()
