"""OPC UA: the whole agent beside asyncua alone, on one server in a process of its own."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import linear_regression

from scripts.sandbox.bench.process import Agent, agent, free_port, started, warm_up, watch
from scripts.sandbox.bench.row import Row

BARE = [sys.executable, "-m", "scripts.sandbox.bench.bare_opcua"]
SERVER = [sys.executable, "-m", "scripts.sandbox.bench.opcua_server"]
FEW, MANY = 2_000, 10_000
PATIENCE_S = 60.0


def device(port: int, count: int, *, mode: str, interval: str) -> str:
    """A device with ``count`` Double variables."""
    tags = "".join(
        f'[[device.tag]]\nname = "v{n}"\naddress = "nsu=urn:gongfu:bench;i={n}"\n' for n in range(1, count + 1)
    )
    connection = f'{{ url = "opc.tcp://127.0.0.1:{port}/bench", security = "none", mode = "{mode}" }}'
    return f'[[device]]\nname = "cnc"\ndriver = "opcua"\ninterval = "{interval}"\nconnection = {connection}\n{tags}'


@contextlib.contextmanager
def server(count: int, period: float = 1.0) -> Iterator[int]:
    """A server whose variables change every ``period`` seconds; gives its port."""
    port = free_port()
    with started([*SERVER, str(port), str(count), str(period)], port=port):
        yield port


def subscribed(folder: Path, seconds: float) -> Iterator[Row]:
    """2,000 variables that change each second, subscribed at 500 ms."""
    with server(FEW) as port:
        bare = _bare(port, "subscribe", seconds)
        with agent(folder / "subscribed", device(port, FEW, mode="subscribe", interval="500ms")) as running:
            warm_up(seconds)
            began, before = _recorded(running)
            used = watch(running.process, seconds)
            ended, after = _recorded(running)
    yield Row("OPC UA subscribed: CPU against bare asyncua", used.cpu / used.seconds / bare, "×", 0.15)
    yield Row("OPC UA subscribed: fresh values", (after - before) / (ended - began) / FEW, "of 1/s", 0.9, at_least=True)


def polled(folder: Path, seconds: float) -> Iterator[Row]:
    """2,000 variables, read once a second."""
    with server(FEW) as port:
        bare = _bare(port, "poll", seconds)
        with agent(folder / "polled", device(port, FEW, mode="poll", interval="1s")) as running:
            warm_up(seconds)
            used = watch(running.process, seconds)
    yield Row("OPC UA polled: CPU against bare asyncua", used.cpu / used.seconds / bare, "×", 0.4)


def ten_thousand(folder: Path, seconds: float) -> Iterator[Row]:
    """10,000 variables, subscribed: how soon all of them deliver, and the memory it takes."""
    with server(MANY, 2.0) as port:
        began = time.monotonic()
        with agent(folder / "many", device(port, MANY, mode="subscribe", interval="1s")) as running:
            while running.status()["devices"][0]["good"] < MANY:
                if time.monotonic() - began > PATIENCE_S:
                    raise SystemExit(f"bench: not every item delivers: {running.status()['devices']}")
                time.sleep(0.1)
            took = time.monotonic() - began
            warm_up(seconds)
            used = watch(running.process, seconds)
    yield Row("OPC UA, 10,000 items: from process start to the last", took, "s", 20.0)
    yield Row("OPC UA, 10,000 items: RSS", used.rss / 1e6, "MB", 130.0)


def soak(folder: Path, seconds: float) -> Iterator[Row]:
    """10,000 variables for long: how fast the memory grows after a warm-up of a third of the time."""
    with (
        server(MANY, 10.0) as port,
        agent(folder / "soak", device(port, MANY, mode="subscribe", interval="1s")) as running,
    ):
        time.sleep(seconds / 3)
        samples: list[tuple[float, float]] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            samples.append((time.monotonic() / 3600, running.process.memory_info().rss / 1e6))
            time.sleep(min(1.0, seconds / 4))
    hours, megabytes = zip(*samples, strict=True)
    yield Row("OPC UA, 10,000 items: RSS grows by", linear_regression(hours, megabytes).slope, "MB/h", 1.0)
    yield Row("OPC UA, 10,000 items: RSS after all that time", max(megabytes), "MB", 130.0)


def _bare(port: int, mode: str, seconds: float) -> float:
    """CPU-seconds a second of asyncua alone."""
    with started([*BARE, str(port), str(FEW), mode]) as process:
        warm_up(seconds)
        used = watch(process, seconds)
    return used.cpu / used.seconds


def _recorded(running: Agent) -> tuple[float, int]:
    """When the buffer was written next, and the samples in it: those whose value changed."""
    before = running.status()["buffer"]["samples"]
    while (after := running.status()["buffer"]["samples"]) == before:
        time.sleep(0.1)
    return time.monotonic(), int(after)
