"""``buffered ∪ ledgered = produced``, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buffer.store import Store
from tests.support.buffer_files import damage_block, lost_samples, sound, times_of
from tests.support.buffers import batch_at

SECOND = 1_000_000
CAP = 500_000

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 6000)),
        st.tuples(st.just("append"), st.just(6000)),
        st.tuples(st.just("damage"), st.integers(0, 100)),
        st.tuples(st.just("reopen"), st.just(0)),
        st.tuples(st.just("expire"), st.integers(1, 40)),
        st.tuples(st.just("restamp"), st.integers(1, 40)),
    ),
    min_size=5,
    max_size=40,
)


class Model:
    """Everything that was produced, and the store beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.produced = 0
        self.number = 0
        self.epoch = 1

    async def open(self) -> None:
        self.store = await Store.open(self.path, max_bytes=CAP, retention_us=10_000 * SECOND)

    async def append(self, count: int) -> None:
        await self._append(count, slow_by=0)

    async def _append(self, count: int, slow_by: int) -> None:
        at = (self.number + 100_000) * SECOND - slow_by
        await self.store.append(batch_at(at, count, noisy=True, step=10), epoch=self.epoch)
        self.produced += count
        self.number += 1

    async def damage(self, choice: int) -> None:
        await self.store.close()
        with sqlite3.connect(self.path) as database:
            numbers = [number for (number,) in database.execute("SELECT id FROM block")]
        database.close()
        if numbers:
            damage_block(self.path, numbers[choice % len(numbers)])
        await self.open()

    async def reopen(self, _: int) -> None:
        await self.store.close()
        await self.open()

    async def expire(self, blocks: int) -> None:
        await self.store.enforce((100_000 + blocks + 10_000) * SECOND)

    async def restamp(self, seconds: int) -> None:
        """In an epoch of its own the clock was slow; some of it arrives when that is known already."""
        self.epoch += 1
        await self._append(50, slow_by=seconds * SECOND)
        await self.store.restamp(self.epoch, seconds * SECOND)
        await self._append(50, slow_by=seconds * SECOND)
        self.epoch += 1

    async def check(self) -> None:
        times = await times_of(self.store)
        assert len(times) + await lost_samples(self.store) == self.produced
        assert times == sorted(times)
        assert (await self.store.stats()).samples == len(times)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_L4_what_was_produced_is_buffered_or_in_the_ledger(steps: list[tuple[str, int]]) -> None:
    async def play(path: Path) -> None:
        model = Model(path)
        await model.open()
        for name, number in steps:
            await getattr(model, name)(number)
        await model.check()
        await model.store.close()
        assert sound(path)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder) / "b.db"))
