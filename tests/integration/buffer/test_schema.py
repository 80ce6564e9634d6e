"""A newer version opens what an older one left, whatever state that is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.buffer.database import schema
from agent.buffer.store import DigestRecord, Loss, Store
from agent.errors import GongfuError
from tests.support.buffer_files import files_size, lost_samples, overwrite_table, sound, times_of
from tests.support.old_buffers import SECOND, old_buffer

VERSIONS = range(1, len(schema()) + 1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_older_file_is_brought_up_to_date_and_keeps_everything(tmp_path: Path, version: int) -> None:
    path = tmp_path / "b.db"
    old_buffer(path, version)
    if version < len(schema()):
        with pytest.raises(GongfuError, match="older schema"):
            await Store.open(path, read_only=True)
    for _ in range(2):
        store = await Store.open(path)
        assert len(await times_of(store)) == 500 == (await store.stats()).samples
        assert await store.meta("clock_epoch") == "4" and await store.series_names() == {1: "a.x"}
        assert [each.state for each in await store.digests(9)] == ["pending", "rejected", "accepted"]
        assert len(await store.losses(0, 2**60)) == 2
        await store.close()
    assert sound(path)


async def test_losses_that_a_digest_could_tell_of_before_count_as_told(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    old_buffer(path, 1)
    store = await Store.open(path)
    assert await store.unreported(2**60) == [Loss(10 * SECOND, 10 * SECOND + 1, "shed_cap", count=7)]
    await store.close()


async def test_a_branch_of_an_older_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    old_buffer(path, 1)
    store = await Store.open(path, now=lambda: 77)
    assert await store.set_aside_digests(1, ("k", "v")) == 2 and await store.meta("k") == "v"
    assert [each.seq for each in await store.digests(9)] == [1]
    (second, third) = await store.set_aside(undecided=True)
    assert (second.record.seq, second.record.state, second.noted, third.record.hash) == (2, "rejected", 77, "h3")
    await store.supersede(second.number)
    await store.relink(third.number, DigestRecord(8, "period", 3, 4, "h8", "p", b"{}", "j"))
    assert not await store.undecided() and [each.became for each in await store.set_aside()] == [0, 8]
    losses = [(loss.cause, loss.count, loss.start, loss.end) for loss in await store.losses_noted(77, 78)]
    assert losses == [("digest_set_aside", 2, 2 * SECOND, 4 * SECOND)]
    await store.close()


async def test_a_file_that_is_full_to_the_cap_is_brought_up_to_date(tmp_path: Path) -> None:
    path, cap = tmp_path / "b.db", 500_000
    old_buffer(path, 1, blocks=400)
    assert files_size(path) > 300_000
    store = await Store.open(path, max_bytes=cap)
    assert files_size(path) <= cap
    assert len(await times_of(store)) + await lost_samples(store) - 14 == 40_000
    await store.close()


async def test_L6_an_older_file_that_is_damaged_saves_what_it_can(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    old_buffer(path, 1)
    overwrite_table(path, "loss")  # which the upgrade would read
    store = await Store.open(path)
    assert [each.seq for each in await store.digests(9)] == [3, 2, 1]
    assert await store.meta("clock_epoch") == "4" and await store.series_names() == {1: "a.x"}
    assert len(await times_of(store)) == 500 and await store.losses(0, 2**62) == []
    await store.close()
