"""A clock that tests set, an identity without keys, and a store with a plant's recordings in it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from agent.buffer.store import Store
from agent.config.model import Configuration
from agent.digest.spec import group_interval
from tests.support.digest_plants import SECOND, batch, configuration, device, tag

PLANT = configuration([device("p", [tag("p.t", 0), tag("p.n", 1, kind="counter")])], share=["p.t", "p.n"], period=60.0)


@dataclass
class SetClock:
    """Stands still where it was set, or runs from there."""

    time: int
    trusted: bool = True
    source: str = "ntp"
    offset_us: int = 0
    running: bool = False
    epoch_age_s: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> int:
        return self.time + (round((time.monotonic() - self._began) * 1e6) if self.running else 0)


class Unsigned:
    """Signs with a word."""

    gateway_id = "gw-test"

    def sign_detached(self, payload: bytes) -> str:
        return f"signed..{len(payload)}"


async def record(store: Store, first: int, seconds: int, plant: Configuration = PLANT) -> None:
    """Scans each second from ``first`` (us), a block of 5 scans each: every tag counts the seconds."""
    for device_ in plant.devices:
        series = await store.series_ids([each.series for each in device_.tags])
        group = await store.group_id(device_.name, group_interval(1.0))
        for begin in range(0, seconds, 5):
            times = [first + second * SECOND for second in range(begin, min(begin + 5, seconds))]
            await store.append(
                batch(
                    [(int(one), at + 1000, (at - first) / SECOND, 0) for one in series for at in times],
                    [(group, at, 0) for at in times],
                )
            )
