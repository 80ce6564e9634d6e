"""Numbers for series and scan groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.buffer.database import Database, Transaction
from agent.buffer.settings import Settings


class Names(Settings):
    """A name keeps its number for ever: blocks know numbers only."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        super().__init__(database, now)
        # What was handed out stays valid even if the file has to be started anew.
        self._series: dict[str, int] = {}
        self._groups: dict[tuple[str, int], int] = {}

    async def refill(self, transaction: Transaction) -> None:
        await super().refill(transaction)
        await transaction.run_each(
            "INSERT OR REPLACE INTO series (id, name) VALUES (?, ?)",
            [(number, name) for name, number in self._series.items()],
        )
        await transaction.run_each(
            "INSERT OR REPLACE INTO scan_group (id, device, interval) VALUES (?, ?, ?)",
            [(number, *key) for key, number in self._groups.items()],
        )

    async def series_ids(self, names: Sequence[str]) -> NDArray[np.int32]:
        """int32 ids of the series, in the order of ``names``; unknown ones are made."""
        if any(name not in self._series for name in names):
            known = {name: number for number, name in (await self.series_names()).items()}
            new = [(name,) for name in dict.fromkeys(names) if name not in known]
            if new:
                await self._db.write(
                    lambda transaction: transaction.run_each(
                        "INSERT INTO series (name) VALUES (?) ON CONFLICT DO NOTHING", new
                    ),
                    size=sum(200 + 2 * len(name) for (name,) in new),
                )
                known = {name: number for number, name in (await self.series_names()).items()}
            self._series |= {name: known[name] for name in names}
        return np.array([self._series[name] for name in names], np.int32)

    async def series_names(self) -> dict[int, str]:
        """Every series: id → full name."""
        return dict(await self._db.read("SELECT id, name FROM series"))

    async def group_id(self, device: str, interval_us: int) -> int:
        """Id of a scan group; made when it is new."""
        key = (device, interval_us)
        if key not in self._groups:
            known = {each: number for number, each in (await self.groups()).items()}
            if key not in known:
                await self._db.put(
                    "INSERT INTO scan_group (device, interval) VALUES (?, ?) ON CONFLICT DO NOTHING", key
                )
                known = {each: number for number, each in (await self.groups()).items()}
            self._groups[key] = known[key]
        return self._groups[key]

    async def groups(self) -> dict[int, tuple[str, int]]:
        """Every scan group: id → (device, interval in microseconds)."""
        rows = await self._db.read("SELECT id, device, interval FROM scan_group")
        return {number: (device, interval) for number, device, interval in rows}
