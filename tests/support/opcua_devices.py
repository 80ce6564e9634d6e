"""An OPC UA device as the agent runs it: configured, supervised, retried; and waiting for what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.buffer.records import Loss
from agent.clock import Clock
from agent.config.parse import loads
from agent.supervisor import DeviceRunner, DeviceSnapshot
from drivers.contract import Samples
from drivers.quality import Quality

ENOUGH_S = 60.0
"""So long may anything take on a slow machine that builds at the same time."""
POLL_S = 0.02
RETURN_S = 10.0
"""What has come back flows again within that time: the promise of issue and README."""
FULL_EVERY_US = 3_600_000_000

Tag = dict[str, Any]


async def until(condition: Callable[[], bool], what: str = "it", within_s: float = ENOUGH_S) -> None:
    """Wait until something is so. Time in which this process was kept from looking does not count."""
    for _ in range(round(within_s / POLL_S)):
        if condition():
            return
        await asyncio.sleep(POLL_S)
    assert condition(), f"{what} did not come within {within_s:g} s"


@dataclass(frozen=True, slots=True)
class Row:
    """A sample as the buffer would get it."""

    time: int
    value: float | str
    """A number, NaN where the quality is bad; or text."""
    quality: Quality
    source_time: int
    """The device's own stamp; the arrival's where it has none."""

    @property
    def good(self) -> bool:
        """Whether it may be used."""
        return self.quality.level != "bad"


class Watched:
    """A device that the agent's supervision runs, with everything that would have been recorded, by tag."""

    def __init__(self, name: str = "cnc") -> None:
        self.name = name
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self.losses: list[Loss] = []
        self.events: list[str] = []
        """``connect`` and ``disconnect``, as they were reported."""
        self.scans = 0
        self._runner: DeviceRunner
        self._tags: list[str] = []

    # -- as a Sink -----------------------------------------------------------------------------------

    def add_samples(self, series: NDArray[np.int32], samples: Samples) -> None:
        """What is worth recording."""
        source = samples.source_time
        for row, number in enumerate(series.tolist()):
            value = samples.text.get(row, float(samples.value[row]))
            stamp = 0 if source is None else int(source[row])
            self.rows[self._tags[number]].append(
                Row(int(samples.time[row]), value, Quality(int(samples.quality[row])), stamp)
            )

    def add_scan(self, group_id: int, time_us: int, late: int) -> None:
        """A scan that came to its end."""
        self.scans += 1

    def add_loss(self, loss: Loss) -> None:
        """Something that the ledger must have."""
        self.losses.append(loss)

    # -- what is so ----------------------------------------------------------------------------------

    @property
    def snapshot(self) -> DeviceSnapshot:
        """The device's status."""
        return self._runner.snapshot()

    @property
    def seen(self) -> Mapping[str, Any]:
        """What the driver observed."""
        return self.snapshot.observations

    def last(self, tag: str) -> Row | None:
        """The last row of a tag."""
        return self.rows[tag][-1] if self.rows[tag] else None

    def values(self, tag: str) -> list[float | str]:
        """Every good value of a tag, in order."""
        return [row.value for row in self.rows[tag] if row.good]

    async def is_(self, tag: str, value: float | str, within_s: float = ENOUGH_S) -> None:
        """Wait until a tag is good and has that value."""

        def so() -> bool:
            last = self.last(tag)
            return last is not None and last.good and last.value == value

        await until(so, f"{tag} = {value!r} (last: {self.last(tag)})", within_s)

    async def is_bad(self, tag: str, quality: Quality | None = None, within_s: float = ENOUGH_S) -> None:
        """Wait until a tag is bad (for that reason)."""

        def so() -> bool:
            last = self.last(tag)
            return last is not None and (not last.good if quality is None else last.quality == quality)

        await until(so, f"{tag} bad", within_s)

    async def flows(self, *tags: str, within_s: float = ENOUGH_S) -> None:
        """Wait until each tag has had good values newer than now; the server must be changing them."""
        wanted = tags or tuple(self._tags)
        before = {tag: len(self.rows[tag]) for tag in wanted}

        def so() -> bool:
            return all(any(row.good for row in self.rows[tag][before[tag] :]) for tag in wanted)

        await until(so, f"the flow of {', '.join(wanted)}", within_s)

    async def down(self, within_s: float = ENOUGH_S) -> None:
        """Wait until the device is known to be down."""
        await until(lambda: self.snapshot.state == "down", "the end", within_s)

    async def run(self, text: str, folder: Path) -> None:
        """Run until cancelled."""
        (device,) = loads(text, folder / "config.toml", {}).devices
        self._tags = [tag.series.partition(".")[2] for tag in device.tags]
        groups: dict[float, int] = {}
        self._runner = DeviceRunner(
            device,
            np.arange(len(device.tags), dtype=np.int32),
            lambda interval: groups.setdefault(interval, len(groups)),
            self,
            Clock(),
            data_dir=folder,
            shared={},
            full_every_us=FULL_EVERY_US,
            on_scan=lambda: None,
            report=lambda kind, device, detail: self.events.append(kind),
        )
        await self._runner.run()


@contextlib.asynccontextmanager
async def watched(url: str, *tags: Tag, interval: str = "100ms", **connection: Any) -> AsyncIterator[Watched]:
    """A device with these tags (configuration keys), under supervision until the block ends.

    ``connection``: options of the driver; security is none and the timeout short unless they say otherwise.
    """
    device = Watched()
    with tempfile.TemporaryDirectory() as folder:
        text = configuration(url, *tags, interval=interval, name=device.name, **connection)
        task = asyncio.create_task(device.run(text, Path(folder)), name="watched")
        await asyncio.sleep(0)
        try:
            yield device
        finally:
            task.cancel()
            ended = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(ended[0], asyncio.CancelledError), ended


def configuration(url: str, *tags: Tag, interval: str = "100ms", name: str = "cnc", **connection: Any) -> str:
    """The agent's configuration for one OPC UA device."""
    options = {"url": url, "security": "none", "timeout": "1s"} | connection
    listed = ",\n".join(f"  {_table(tag)}" for tag in tags)
    return (
        '[gateway]\nname = "lab"\n\n[[device]]\n'
        f'name = "{name}"\ndriver = "opcua"\ninterval = "{interval}"\n'
        f"connection = {_table(options)}\ntag = [\n{listed}\n]\n"
    )


def _table(values: Mapping[str, Any]) -> str:
    # JSON's strings, numbers and lists are TOML's as well.
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items()) + " }"
