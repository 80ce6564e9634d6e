"""Processes of a demonstration: free ports, start, wait until ready, and an end that leaves none behind."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

_PR_SET_PDEATHSIG = 1
KILL_AFTER_S = 6.0
_promised: list[IO[str]] = []
"""Locks of the ports that were given."""


class Failed(Exception):
    """The demonstration cannot go on; the message says why in one line."""


def free_port(preferred: int) -> int:
    """The preferred TCP port of the loopback interface, or the next one that nobody listens on.

    As long as this process lives no other that asks here is given it, whatever checkout that runs from: seconds pass
    until somebody listens.
    """
    for port in range(preferred, preferred + 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            lock = (Path(tempfile.gettempdir()) / f"gongfu-edge-demo-{port}.lock").open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            _promised.append(lock)
            return port
    raise Failed(f"no free port between {preferred} and {preferred + 199} → stop what listens there")


class Processes:
    """A context that starts processes and, however it ends, ends them all, last started first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ending: set[str] = set()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def start(self, name: str, command: Sequence[str], *, cwd: Path, ends: bool = False) -> None:
        """Start a process with its output in ``<logs>/<name>.log``; ``ends``: it shall end by itself."""
        if ends:
            self._ending.add(name)
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own group: Ctrl-C reaches the demonstration alone, which ends the others in order.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def ended(self, name: str) -> int | None:
        """The exit code of a process that ends by itself, once; None while it runs."""
        code = self._running[name].poll()
        if code is not None:
            del self._running[name]
        return code

    def stop(self, name: str) -> int:
        """End a process (TERM, then KILL to its whole group); its exit code."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(KILL_AFTER_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode

    def check(self) -> None:
        """Raise :class:`Failed` when one has ended by itself."""
        for name, process in self._running.items():
            if name not in self._ending and process.poll() is not None:
                log = self._logs / f"{name}.log"
                lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise Failed(f"the {name} ended with code {process.returncode}: {lines[-1]} (log: {log})")

    def wait_for(self, what: str, ready: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Wait until something is so; raises :class:`Failed` when it never is or a process ends meanwhile."""
        end = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise Failed(f"{what} did not come within {timeout_s:.0f} s → see the logs in {self._logs}")
            time.sleep(0.05)


def _die_with_parent() -> None:
    # If the demonstration itself is killed outright, nothing of it may stay behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
