"""Processes under measurement: the C server, the agent, a bare client; their CPU, memory and writes."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
LONGEST_WARM_UP = 8.0


def warm_up(seconds: float) -> None:
    """Let what is measured for so many seconds settle first; no longer than it is measured."""
    time.sleep(min(LONGEST_WARM_UP, seconds))


AGENT = [str(Path(sys.executable).parent / "gongfu-edge"), "run", "--log-level", "warning"]


def free_port() -> int:
    """A TCP port on the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build_server(folder: Path) -> Path:
    """Compile the C Modbus server."""
    program = folder / "modbus_server"
    if shutil.which("gcc") is None:
        raise SystemExit("bench: no C compiler → apt install gcc libmodbus-dev")
    command = ["gcc", "-O2", "-I/usr/include/modbus", str(HERE / "modbus_server.c"), "-o", str(program), "-lmodbus"]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("bench: the C server does not compile → apt install libmodbus-dev")
    return program


@contextlib.contextmanager
def started(command: list[str], *, port: int | None = None, **options: Any) -> Iterator[psutil.Popen]:
    """A process that ends with the block; with ``port``, once it listens."""
    process = psutil.Popen(command, **options)
    try:
        while port is not None and not _listens(port):
            if process.poll() is not None:
                raise SystemExit(f"bench: {command[0]} ended at once with code {process.returncode}")
            time.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Usage:
    """What a process used over a span of time."""

    seconds: float
    cpu: float
    written: int
    rss: int

    @property
    def cpu_per_minute(self) -> float:
        """CPU-seconds in 60 s."""
        return self.cpu * 60 / self.seconds


def watch(process: psutil.Process, seconds: float) -> Usage:
    """Measure a running process for a while; memory is the peak of samples taken each second."""
    before, wrote, began = _cpu(process), process.io_counters().write_bytes, time.monotonic()
    rss = 0
    while time.monotonic() - began < seconds:
        time.sleep(min(1.0, seconds))
        rss = max(rss, process.memory_info().rss)
    return Usage(time.monotonic() - began, _cpu(process) - before, process.io_counters().write_bytes - wrote, rss)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class Agent:
    """A running agent and its local API."""

    def __init__(self, process: psutil.Process, api: int) -> None:
        self.process = process
        self.api = api

    def get(self, path: str) -> Any:
        """JSON from the local API."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api}{path}", timeout=10) as answer:
            return json.load(answer)

    def status(self) -> Any:
        """The agent's status."""
        return self.get("/api/status")


@contextlib.contextmanager
def agent(folder: Path, devices: str, *, period: str = "15m", platform: str = "") -> Iterator[Agent]:
    """An agent with the given devices, once every device delivers; its folder is a new one, named after ``folder``."""
    folder = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    api = free_port()
    (folder / "config.toml").write_text(
        f'[gateway]\nname = "bench"\ndata_dir = "{folder / "data"}"\n{platform}\n'
        f'[digest]\nperiod = "{period}"\n[console]\nlisten = "127.0.0.1:{api}"\n{devices}',
        encoding="utf-8",
    )
    with started([*AGENT, "--config", str(folder / "config.toml")], port=api) as process:
        running = Agent(process, api)
        deadline = time.monotonic() + 60
        while any(device["state"] != "running" for device in running.status()["devices"]):
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: not every device delivers: {running.status()['devices'][:3]}")
            time.sleep(0.1)
        yield running
