"""A4, A5: a damaged file is mended where it can be; what is saved of it is whole before anything of it goes."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from agent.buffer import salvage
from agent.buffer.store import Store, StoreUnavailable
from tests.integration.buffer.test_damage import filled
from tests.support.buffer_files import lost_samples, overwrite_table, sound, times_of


def flip(path: Path, page: int) -> None:
    """64 bytes at the beginning of a page, as a failing card does it."""
    with path.open("r+b") as file:
        file.seek((page - 1) * 1024)
        data = file.read(64)
        file.seek((page - 1) * 1024)
        file.write(bytes(each ^ 0x5A for each in data))


def pages_of(path: Path, kinds: str) -> list[int]:
    with sqlite3.connect(path) as database:
        roots = database.execute(f"SELECT rootpage FROM sqlite_master WHERE name IN ({kinds})").fetchall()
    database.close()
    return [root for (root,) in roots]


async def used(path: Path) -> tuple[int, int, list[int]]:
    """Samples that are there and in the ledger, and the digests; after whatever the store does about damage."""
    store = await Store.open(path, now=lambda: 10**12)
    for _ in range(3):
        with suppress(StoreUnavailable):
            await times_of(store)
            await store.span()
            await store.digests(9)
    found = len(await times_of(store)), await lost_samples(store), [each.seq for each in await store.digests(9)]
    await store.close()
    assert sound(path)
    return found


async def test_a4_damage_in_an_index_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    await filled(path, blocks=300)
    for page in pages_of(path, "'block_time', 'digest_state'"):
        flip(path, page)
    assert await used(path) == (30_000, 0, [3, 2, 1])


async def test_a4_whatever_page_of_blocks_is_damaged_the_rest_and_the_digests_stay(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    await filled(path, blocks=100)
    whole = path.read_bytes()
    (root,) = pages_of(path, "'block'")
    leaves = [page for page in range(2, len(whole) // 1024 + 1) if b"GFB\x01" in whole[(page - 1) * 1024 : page * 1024]]
    for page in (root, leaves[0], *leaves[1 : -1 : max(len(leaves) // 10, 1)], leaves[-1]):
        path.write_bytes(whole)
        flip(path, page)
        there, lost, digests = await used(path)
        assert there + lost == 10_000, page
        assert digests == [3, 2, 1], page


@pytest.mark.parametrize("step", ["save", "sync_folder", "take_over", "set_aside"])
async def test_a5_a_cut_at_any_step_of_salvage_loses_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "b.db"
    await filled(path, blocks=300)
    overwrite_table(path, "block")
    with monkeypatch.context() as patch:

        def cut(*_: object) -> None:
            raise OSError(5, "the power goes")

        patch.setattr(salvage, step, cut)
        with suppress(StoreUnavailable):
            store = await Store.open(path)
            try:
                await times_of(store)
            finally:
                await store.close()
    assert await used(path) == (0, 30_000, [3, 2, 1])
    assert not [*tmp_path.glob("*.salvage*")]
