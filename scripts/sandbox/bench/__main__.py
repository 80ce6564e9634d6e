"""``./scripts/bench``: each row is a figure, its bound, and whether it is met."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from functools import cached_property
from pathlib import Path

from scripts.sandbox.bench import opcua
from scripts.sandbox.bench.process import Agent, agent, build_server, free_port, started, warm_up, watch
from scripts.sandbox.bench.row import Row

BARE = [sys.executable, "-m", "scripts.sandbox.bench.bare"]
LONG = {"opcua_soak": 1800.0}
"""Measurements that say nothing in less than so many seconds: left out then, unless they are named."""


def tags(count: int, *, interval: str = "1s", name: str = "plc", port: int, extra: str = "") -> str:
    """A device with ``count`` uint16 holding registers from 0."""
    return (
        f'[[device]]\nname = "{name}"\ndriver = "modbus"\ninterval = "{interval}"\n'
        f'connection = {{ transport = "tcp", host = "127.0.0.1", port = {port}, unit = 1{extra} }}\n'
        f'[[device.tag]]\nname = "r"\naddress = "holding:0"\ntype = "uint16"\ncount = {count}\n'
    )


class Bench:
    """The measurements; each is a method that yields rows."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds

    @cached_property
    def _server(self) -> Path:
        return build_server(self.folder)

    def ten_thousand(self) -> Iterator[Row]:
        """10,000 tags on one connection, all changing each second."""
        port = free_port()
        with started([str(self._server), str(port)], port=port):
            with started([*BARE, str(port), "1", "10000"]) as process:
                time.sleep(2)
                bare = watch(process, self.seconds)
            with agent(self.folder / "ten", tags(10_000, port=port)) as running:
                warm_up(self.seconds)
                late, used = running.status()["devices"][0]["late"], watch(running.process, self.seconds)
                late = running.status()["devices"][0]["late"] - late
        changed = 10_000 * (used.seconds - late)
        yield Row("10,000 tags at 1 s: CPU against bare pymodbus", used.cpu_per_minute / bare.cpu_per_minute, "×", 2.0)
        yield Row("10,000 tags at 1 s: bytes written per changed sample", used.written / changed, "B", 2.5)
        yield Row("10,000 tags at 1 s: RSS", used.rss / 1e6, "MB", 95)

    def flat_out(self) -> Iterator[Row]:
        """10,000 tags as fast as it goes."""
        port = free_port()
        with (
            started([str(self._server), str(port)], port=port),
            agent(self.folder / "flat", tags(10_000, interval="10ms", port=port)) as running,
        ):
            warm_up(self.seconds)
            before = self._scans(running)
            used = watch(running.process, self.seconds)
            scans = self._scans(running) - before
        yield Row("10,000 tags flat out", scans * 10_000 / used.cpu, "tags/CPU-s", 300_000, at_least=True)

    @staticmethod
    def _scans(running: Agent) -> int:
        return int(running.status()["devices"][0]["scans"])

    def two_thousand(self) -> Iterator[Row]:
        """2,000 tags at 1 s."""
        port = free_port()
        with (
            started([str(self._server), str(port)], port=port),
            agent(self.folder / "two", tags(2_000, port=port)) as running,
        ):
            warm_up(self.seconds)
            used = watch(running.process, self.seconds)
        yield Row("2,000 tags at 1 s: CPU-seconds per 60 s", used.cpu_per_minute, "s", 0.7)
        yield Row("2,000 tags at 1 s: RSS", used.rss / 1e6, "MB", 80)

    def start(self) -> Iterator[Row]:
        """From process start to the first good sample, 2,000 tags."""
        port = free_port()
        with started([str(self._server), str(port)], port=port):
            took = []
            for number in range(3):
                began = time.time()
                with agent(self.folder / f"start{number}", tags(2_000, port=port)) as running:
                    first = running.status()["devices"][0]["first_good"]
                    took.append(_epoch(first) - began)
        yield Row("process start to first good sample", sorted(took)[1], "s", 1.5)

    def many_devices(self) -> Iterator[Row]:
        """200 devices × 30 tags, a connection each."""
        port = free_port()
        devices = "".join(tags(30, name=f"d{n}", port=port, extra=", share = false") for n in range(200))
        with started([str(self._server), str(port)], port=port):
            with started([*BARE, str(port), "200", "30"]) as process:
                time.sleep(2)
                bare = watch(process, self.seconds)
            with agent(self.folder / "many", devices) as running:
                warm_up(self.seconds)
                before = sum(device["late"] for device in running.status()["devices"])
                used = watch(running.process, self.seconds)
                late = sum(device["late"] for device in running.status()["devices"]) - before
        yield Row(
            "200 devices × 30 tags: CPU against bare pymodbus", used.cpu_per_minute / bare.cpu_per_minute, "×", 2.5
        )
        yield Row("200 devices × 30 tags: late scans", float(late), "", 0)

    def rtu(self) -> Iterator[Row]:
        """Modbus RTU at two baud rates, scan after scan: the scans' time against what the wire itself needs."""
        for baudrate in (9600, 19200):
            link = self.folder / f"tty{baudrate}"
            line = [sys.executable, "-m", "scripts.sandbox.bench.line", str(link), str(baudrate), str(self.seconds)]
            with (
                started(line, stdout=subprocess.PIPE, text=True) as process,
                agent(self.folder / f"rtu{baudrate}", _meter(link, baudrate)),
            ):
                measured = json.loads(process.stdout.readline())
            ratio = measured["seconds"] / measured["wire_s"]
            yield Row(f"RTU at {baudrate} baud: cycle against the wire's minimum", ratio, "×", 1.10)

    def digest(self) -> Iterator[Row]:
        """A digest of 2,000 shared tags × 900 samples; the median of as many as there is time for."""
        command = [sys.executable, "-m", "scripts.sandbox.bench.digest", str(self.seconds)]
        made = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        yield Row("digest of 2,000 tags × 900 samples", statistics.median(map(float, made)), "CPU-s", 0.5)

    def diagnosis(self) -> Iterator[Row]:
        """50 machines × 40 tags for a quarter of an hour; their look back over 28 days; 20 machines on the wire."""
        command = [sys.executable, "-m", "scripts.sandbox.bench.diagnosis", str(self.seconds)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        made = [json.loads(line) for line in lines]
        digest, findings = (statistics.median(each[name] for each in made) for name in ("digest_s", "findings_s"))
        yield Row("digest of 50 machines × 40 tags × 900 samples", digest, "CPU-s", 1.0)
        yield Row("findings over 28 days of 50 machines", findings, "CPU-s", 2.0)
        yield Row("digest of 20 machines on the wire", made[0]["wire_bytes"] / 1000, "kB", 12.0)

    def opcua_subscribed(self) -> Iterator[Row]:
        """2,000 OPC UA variables, subscribed."""
        return opcua.subscribed(self.folder, self.seconds)

    def opcua_polled(self) -> Iterator[Row]:
        """2,000 OPC UA variables, read."""
        return opcua.polled(self.folder, self.seconds)

    def opcua_ten_thousand(self) -> Iterator[Row]:
        """10,000 OPC UA variables, subscribed."""
        return opcua.ten_thousand(self.folder, self.seconds)

    def opcua_soak(self) -> Iterator[Row]:
        """10,000 OPC UA variables for long: with --seconds 1800 or more, or by name."""
        return opcua.soak(self.folder, self.seconds)


def _meter(link: Path, baudrate: int) -> str:
    """A device on a serial line, in three requests; read as often as can be configured."""
    places = {"a": ("holding:0", 100), "b": ("holding:400", 60), "c": ("input:10", 40)}
    return (
        f'[[device]]\nname = "meter"\ndriver = "modbus"\ninterval = "10ms"\n'
        f'connection = {{ transport = "rtu", port = "{link}", baudrate = {baudrate}, unit = 1 }}\n'
    ) + "".join(
        f'[[device.tag]]\nname = "{name}"\naddress = "{address}"\ntype = "uint16"\ncount = {count}\n'
        for name, (address, count) in places.items()
    )


def _epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def main() -> int:
    """Run the named measurements, or all."""
    names = [name for name in vars(Bench) if not name.startswith("_")]
    parser = argparse.ArgumentParser(prog="./scripts/bench")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each measurement (default: 30)")
    parser.add_argument("name", nargs="*", help=f"any of {', '.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.name) - set(names):
        parser.error(f"unknown measurement {unknown.pop()!r} → any of {', '.join(names)}")
    rows: list[Row] = []
    out = Path(".bench")
    out.mkdir(exist_ok=True)
    # On the disk of the checkout: a temporary file system in memory would count no bytes written.
    with tempfile.TemporaryDirectory(dir=out) as folder:
        bench = Bench(Path(folder).absolute(), options.seconds)
        left_out = [name for name in names if LONG.get(name, 0) > options.seconds and name not in options.name]
        for name in options.name or [name for name in names if name not in left_out]:
            for row in getattr(bench, name)():
                rows.append(row)
                sign = "≥" if row.at_least else "≤"
                mark = "ok " if row.met else "NOT MET"
                print(
                    f"{row.what:<56} {row.value:>12,.2f} {row.unit:<11} {sign} {row.bound:>10,.6g}  {mark}", flush=True
                )
    if left_out and not options.name:
        print(f"left out: {', '.join(left_out)} → --seconds {max(LONG.values()):g}, or by name")
    (out / "result.json").write_text(json.dumps([asdict(row) | {"met": row.met} for row in rows], indent=2) + "\n")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
