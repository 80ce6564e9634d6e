"""A node-opcua server: one that neither we nor the authors of our client's library have written.

Its packages are fetched through npm, once, at a fixed version, into a cache outside the repository. Where
npm is missing or the packages cannot be had, its tests are skipped with one line that says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.opcua_servers import LAB, OTHER
from tests.support.ports import free_port

HERE = Path(__file__).with_name("node")
INSTALL_S = 180
START_S = 60.0
"""The first start makes keys."""


def node_modules() -> Path:
    """The folder that ``node-opcua`` is installed in; skips the test where that cannot be."""
    found = _folder()
    return found if isinstance(found, Path) else pytest.skip(found)


@functools.cache
def _folder() -> Path | str:
    """The folder, or why there is none; tried once a run, as without a network each try takes minutes."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        return "npm or node is missing: the tests against node-opcua's server are not run"
    wanted = (HERE / "package.json").read_bytes()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gongfu-edge-tests"
    folder = base / f"node-{hashlib.sha256(wanted).hexdigest()[:12]}"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with (base / "node.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wrong = "" if (folder / "installed").exists() else _install(npm, folder, wanted)
    except OSError as error:
        wrong = f"node-opcua cannot be kept ({error}): its tests are not run"
    return wrong or folder


def _install(npm: str, folder: Path, wanted: bytes) -> str:
    """Install the packages; why that was not possible, or nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "package.json").write_bytes(wanted)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        return f"npm did not install node-opcua within {INSTALL_S} s: its tests are not run"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return f"npm cannot install node-opcua ({last}): its tests are not run"
    (folder / "installed").touch()
    return ""


class NodeServer:
    """One server: always at the same port, though the process may be another."""

    def __init__(self, folder: Path, nodes: Sequence[dict[str, Any]], plan: dict[str, Any]) -> None:
        self.port = free_port()
        self._folder = folder
        self._plan = {"namespaces": [LAB, OTHER], "uri": LAB, "nodes": list(nodes)} | plan
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"opc.tcp://127.0.0.1:{self.port}/lab"

    def start(self, **plan: Any) -> None:
        """Start it, with everything at its first value; blocks for seconds."""
        self._plan |= plan
        self._run("server.js", self._folder / "pki", json.dumps(self._plan))

    def start_as_documented(self, pki: Path) -> None:
        """Start one that knows nothing of a plan; ``pki``: its folder of keys and trusted certificates."""
        self._run("documented.js", pki)

    def _run(self, script: str, pki: Path, *arguments: str) -> None:
        command = ["node", str(HERE / script), str(self._folder), str(pki), str(self.port), *arguments]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        self._answer(START_S)

    def do(self, name: str, /, **arguments: Any) -> Any:
        """A command of ``server.js``."""
        assert self._process and self._process.stdin
        self._process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer(START_S)

    def kill(self) -> None:
        """End its process at once."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _answer(self, within_s: float) -> Any:
        assert self._process and self._process.stdout
        assert select.select([self._process.stdout], [], [], within_s)[0], "the node-opcua server says nothing"
        line = self._process.stdout.readline()
        assert line, "the node-opcua server ended; its last words are on standard error"
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["ok"]


@contextlib.contextmanager
def node_server(*nodes: dict[str, Any], **plan: Any) -> Iterator[NodeServer]:
    """A server with these nodes (``name``, ``type``, ``value``); ``plan``: see ``server.js``."""
    made = NodeServer(node_modules(), nodes, plan)
    try:
        made.start()
        yield made
    finally:
        made.kill()


@contextlib.contextmanager
def documented_server(pki: Path) -> Iterator[NodeServer]:
    """A server as node-opcua's documentation starts it."""
    made = NodeServer(node_modules(), (), {})
    try:
        made.start_as_documented(pki)
        yield made
    finally:
        made.kill()
