"""The real agent as a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIMULATED = """
[[device]]
name = "sim"
driver = "simulated"
interval = "20ms"
tag = [
  { name = "parts", address = "counter:50", kind = "counter" },
  { name = "temperature", address = "sine:10,50,60" },
]
"""


def write_config(folder: Path, devices: str = SIMULATED, *, extra: str = "", flush: str = "100ms") -> Path:
    """A configuration with its data below ``folder``."""
    path = folder / "config.toml"
    path.write_text(
        f'[gateway]\nname = "test"\ndata_dir = "{folder / "data"}"\n[buffer]\nflush = "{flush}"\n'
        f'[digest]\nperiod = "5s"\n[console]\nlisten = ""\n{extra}{devices}',
        encoding="utf-8",
    )
    return path


def environment() -> dict[str, str]:
    """This interpreter's own import path, for a child: installed package first, checkout last."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(ROOT)])}


def command(*arguments: str) -> list[str]:
    """The command line of ``gongfu-edge`` with this interpreter."""
    return [sys.executable, "-m", "agent.cli", *arguments]


def gongfu_edge(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(), timeout=100, check=False
    )


@contextlib.contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    """A running agent; killed at the end of the block unless it has ended."""
    process = subprocess.Popen(
        command("run", "--config", str(config)), stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(60)
        if process.stderr:
            process.stderr.close()


def wait_until_running(port: int, scans: int = 0) -> None:
    """Wait until the first device of the agent with this local API delivers, and was read so often."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=30) as answer,
        ):
            (device, *_) = json.load(answer)["devices"]
            if device["state"] == "running" and device["scans"] >= scans:
                return
        time.sleep(0.1)
    raise AssertionError("the agent did not come up")
