"""How the gateway itself is: processor, memory, disk, temperature."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import psutil

SAMPLE_EVERY_S = 10.0
_CPU_SENSORS = ("cpu_thermal", "cpu-thermal", "coretemp", "k10temp", "soc_thermal", "acpitz")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway as it is now; sizes in bytes, None where the system cannot say."""

    cpu_percent: float
    """Of all cores together, since the last sample."""
    load_1m: float
    memory_total: int
    memory_available: int
    disk_total: int
    """Of the file system that holds the data directory."""
    disk_free: int
    temperature_c: float | None
    rss: int
    """Memory of the agent itself."""
    agent_cpu_s: float
    """Processor seconds of the agent since it started."""


class HostProbe:
    """Asks the system, at most every ten seconds."""

    def __init__(self, data_dir: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._data_dir = data_dir
        self._monotonic = monotonic
        self._process: psutil.Process | None = None
        self._taken = float("-inf")
        self._last: Host | None = None

    def sample(self) -> Host:
        """The host now, or as it was up to ten seconds ago."""
        now = self._monotonic()
        if self._last is None or now - self._taken >= SAMPLE_EVERY_S:
            self._taken, self._last = now, self._ask()
        return self._last

    def _ask(self) -> Host:
        import psutil  # an agent whose status nobody asks for does without

        if self._process is None:
            self._process = psutil.Process()
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self._data_dir))
        cpu = self._process.cpu_times()
        return Host(
            cpu_percent=psutil.cpu_percent(interval=None),
            load_1m=round(os.getloadavg()[0], 2),
            memory_total=memory.total,
            memory_available=memory.available,
            disk_total=disk.total,
            disk_free=disk.free,
            temperature_c=_temperature(),
            rss=self._process.memory_info().rss,
            agent_cpu_s=round(cpu.user + cpu.system, 2),
        )


def _temperature() -> float | None:
    """°C of the processor, or of whatever sensor there is; a virtual machine has none."""
    import psutil

    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    for name in (*_CPU_SENSORS, *sensors):
        if sensors.get(name):
            return round(float(sensors[name][0].current), 1)
    return None
