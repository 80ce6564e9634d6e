"""The whole way, as an operator sees it: enrol, run, and the platform has verified digests."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import ROOT, environment, gongfu_edge, running, write_config
from tests.support.ports import free_port

DEVICES = """
[[device]]
name = "sim"
driver = "simulated"
interval = "100ms"
tag = [
  { name = "parts", address = "counter:5", kind = "counter" },
  { name = "temperature", address = "sine:10,50,60", unit = "°C" },
]
"""


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def eventually(what: str, ask: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask again and again until the answer is true; connection errors are no answer yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := ask():
                return found
        time.sleep(0.1)
    pytest.fail(f"not within {seconds:.0f} s: {what}")


class Platform:
    """The reference platform as a process; may be stopped and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self.port, self.data = free_port(), folder / "platform"
        self.api = f"http://127.0.0.1:{self.port}/api/v1"
        self._command = [sys.executable, "-m", "scripts.sandbox.platform"]

    def token(self) -> str:
        made = subprocess.run(
            [*self._command, "token", "--data", str(self.data)],
            capture_output=True, text=True, env=environment(), cwd=ROOT, check=True,
        )  # fmt: skip
        return made.stdout.split()[-1]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        command = [*self._command, "--port", str(self.port), "--data", str(self.data), "--faults"]
        with subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            try:
                eventually("the platform answers", lambda: fetch(f"{self.api}/gateways") is not None)
                yield
            finally:
                process.kill()

    def fault(self, method: str, fault: dict[str, str] | None = None) -> None:
        """Switch a fault on, or off."""
        body = json.dumps(fault or {}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/sandbox/faults", body, method=method)
        with urllib.request.urlopen(request, timeout=30):
            pass

    def page(self, gateway: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/gateways/{gateway}", timeout=30) as answer:
            return str(answer.read(), "utf-8")

    def gateway(self) -> dict[str, Any]:
        (gateway,) = fetch(f"{self.api}/gateways")
        return dict(gateway)


def test_digests_are_accepted_verified_and_go_on_after_an_outage(tmp_path: Path) -> None:
    platform, console = Platform(tmp_path), free_port()
    extra = f'[platform]\nurl = "{platform.api}"\n'
    config = write_config(tmp_path, DEVICES, extra=extra)
    config.write_text(
        config.read_text(encoding="utf-8")
        .replace('listen = ""', f'listen = "127.0.0.1:{console}"')
        .replace('period = "5s"', 'period = "5s"\nshare = ["sim.parts"]'),
        encoding="utf-8",
    )
    with platform.running():
        enrolled = gongfu_edge("enroll", "--url", platform.api, "--token", platform.token(), "--config", str(config))
        assert enrolled.returncode == 0, enrolled.stderr
    with running(config):
        # L9: the platform is away when the agent starts; digests pile up.
        status = f"http://127.0.0.1:{console}/api/status"
        eventually("two digests wait", lambda: fetch(status)["digests"]["pending"] >= 2)
        with platform.running():
            eventually("both arrive", lambda: platform.gateway()["digests"] >= 2)
        seen = fetch(status)["digests"]["accepted"]
        with platform.running():
            eventually("new ones arrive", lambda: platform.gateway()["digests"] > seen + 1)
            eventually("the agent knows", lambda: fetch(status)["digests"]["accepted"] > seen)
            gateway = platform.gateway()
            eventually("its state is told", lambda: "Last report as sent" in platform.page(gateway["id"]))
            told = platform.page(gateway["id"])
        values = fetch(f"http://127.0.0.1:{console}/api/latest")
        shown = gongfu_edge("status", "--config", str(config))
    assert gateway["ok"] and gateway["rejected"] == 0 and gateway["verified"] == gateway["digests"]
    assert "sim.parts" in json.dumps(values) and "sim" in shown.stdout
    uploads = gongfu_edge("ledger", "--uploads", "--config", str(config)).stdout
    assert "201" in uploads and "status" in uploads and "head" in uploads
    assert "well 正常" in told and "sim" in told


def test_L9_a_platform_that_fails_stops_no_reading_and_is_said_once(tmp_path: Path) -> None:
    platform, console = Platform(tmp_path), free_port()
    config = write_config(tmp_path, DEVICES, extra=f'[platform]\nurl = "{platform.api}"\n')
    text = config.read_text(encoding="utf-8").replace('listen = ""', f'listen = "127.0.0.1:{console}"')
    config.write_text(text, encoding="utf-8")
    status = f"http://127.0.0.1:{console}/api/status"
    with platform.running():
        gongfu_edge("enroll", "--url", platform.api, "--token", platform.token(), "--config", str(config))
        with running(config) as agent:
            eventually("the first digest arrives", lambda: platform.gateway()["digests"] >= 1)
            for kind in ("error", "garbage", "reset"):
                platform.fault("PUT", {"kind": kind})
                failing = eventually("it is noticed", lambda: _failing(fetch(status)))
                samples = failing["buffer"]["samples"]
                eventually("readings go on", lambda before=samples: fetch(status)["buffer"]["samples"] > before)
            assert fetch(status)["health"]["healthy"] is True
            platform.fault("DELETE")
            eventually("all arrive", lambda: fetch(status)["digests"]["pending"] == 0 and not _failing(fetch(status)))
            gateway = platform.gateway()
            agent.terminate()
            said = agent.communicate(timeout=60)[1]
    assert gateway["ok"] and gateway["verified"] == gateway["digests"] >= 1
    # Each kind may come a moment after the one before it let something through: a line for each change.
    began, ended = said.count("digests are kept"), said.count("takes digests again")
    assert 1 <= began == ended <= 3 and "Traceback" not in said


def _failing(status: dict[str, Any]) -> dict[str, Any] | None:
    return status if status["uplink"]["state"] == "failing" else None
