"""OPC UA servers in processes of their own, started in a moment, told what to do, killed without a word.

One process (the nursery) imports the library and makes the standard address space, which takes seconds;
each server is a fork of it. A test asks for one with :meth:`Nursery.server` (fixture ``nursery``)::

    with nursery.server(double("Load", 1.5)) as server:
        server.do("write", node=LOAD, value=2.5)      # a method of tests.support.opcua_server.Lab
        server.kill()                                 # as a power cut would
        server.start(namespaces=[OTHER, LAB])         # same port, other order of namespaces

Calls block for milliseconds; the nursery starts in seconds, once a test run.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tests.support.agents import environment
from tests.support.ports import free_port

LAB = "urn:gongfu:lab"
OTHER = "urn:gongfu:other"
WAIT_S = 30.0

Node = dict[str, Any]


def variable(name: str, type: str, value: Any = None, *, uri: str = LAB, **more: Any) -> Node:
    """A variable with a string id in a namespace; ``more``: ``path``, ``enum``."""
    return {"node": node(name, uri), "type": type, "value": value, **more}


def double(name: str, value: float = 0.0, **more: Any) -> Node:
    """A variable of type Double."""
    return variable(name, "Double", value, **more)


def tag(name: str, uri: str = LAB, **more: Any) -> dict[str, Any]:
    """The configuration's tag for a variable."""
    return {"name": name, "address": node(name, uri)} | more


def node(name: str, uri: str = LAB) -> str:
    """The address of a variable: stable when namespaces change their order."""
    return f"nsu={uri};s={name}"


class Nursery:
    """The process that servers are forked from."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.support.opcua_servers", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment())
        theirs.close()
        self._control = ours
        self._control.settimeout(WAIT_S)
        self._answers = ours.makefile("rb")
        self._answer()
        atexit.register(self.close)

    def close(self) -> None:
        """End it and every server."""
        atexit.unregister(self.close)
        self._answers.close()
        self._control.close()
        self._process.kill()
        self._process.wait()

    def ask(self, do: str, /, **arguments: Any) -> Any:
        """One command of :func:`_obey` and its answer."""
        self._control.sendall(json.dumps([do, arguments]).encode() + b"\n")
        return self._answer()

    @contextlib.contextmanager
    def server(self, *nodes: Node, started: bool = True, **plan: Any) -> Iterator[Server]:
        """A server with these nodes; ``plan``: see :meth:`Server.start`."""
        made = Server(self, free_port(), list(nodes), plan)
        try:
            if started:
                made.start()
            yield made
        finally:
            made.kill()

    def _answer(self) -> Any:
        answer = json.loads(self._answers.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["ok"]


class Server:
    """One server: always at the same port, though the process may be another."""

    def __init__(self, nursery: Nursery, port: int, nodes: Sequence[Node], plan: dict[str, Any]) -> None:
        self._nursery, self.port, self._running = nursery, port, 0
        self._plan = {"namespaces": [LAB, OTHER], "nodes": list(nodes)} | plan

    @property
    def url(self) -> str:
        """Where it is."""
        return f"opc.tcp://127.0.0.1:{self.port}/lab"

    def start(self, **plan: Any) -> None:
        """Start it, with everything at its first value; ``plan`` from now on (also the next time).

        ``namespaces``: URIs in the order of their indexes, from 2. ``nodes``. ``faults``. ``policies``,
        ``certificate``, ``private_key`` (files), ``tokens`` (anonymous, username, certificate), ``users``.
        ``ticking``: seconds between steps of every number. ``first_subscription``: id before the first one.
        """
        assert not self._running, "it runs already"
        self._plan |= plan
        self._running = self._nursery.ask("start", port=self.port, plan=self._plan)

    def do(self, name: str, /, **arguments: Any) -> Any:
        """A command: a method of :class:`~tests.support.opcua_server.Lab`."""
        return self._nursery.ask("tell", pid=self._running, do=name, arguments=arguments)

    def stop(self) -> None:
        """Stop it in order: clients see their connections closed."""
        self.do("end")
        self.kill()

    def kill(self) -> None:
        """End its process at once, whatever it does."""
        if self._running:
            self._nursery.ask("kill", pid=self._running)
            self._running = 0

    def hang(self) -> None:
        """It stops doing anything, while its connections stay open."""
        os.kill(self._running, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on as if nothing had been."""
        os.kill(self._running, signal.SIGCONT)


class _Children:
    """The nursery's side: forks and relays, one command at a time."""

    def __init__(self) -> None:
        self._controls: dict[int, tuple[socket.socket, Any]] = {}

    def start(self, port: int, plan: dict[str, Any]) -> int:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if not pid:
            _be_server(ours, theirs, port, plan)
        theirs.close()
        self._controls[pid] = ours, ours.makefile("rb")
        self._read(pid)
        return pid

    def tell(self, pid: int, do: str, arguments: dict[str, Any]) -> Any:
        self._controls[pid][0].sendall(json.dumps([do, arguments]).encode() + b"\n")
        return self._read(pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        control, answers = self._controls.pop(pid)
        answers.close()
        control.close()

    def _read(self, pid: int) -> Any:
        line = self._controls[pid][1].readline()
        if not line:
            raise AssertionError("the server ended; its last words are on standard error")
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["ok"]


def _be_server(ours: socket.socket, theirs: socket.socket, port: int, plan: dict[str, Any]) -> None:
    import asyncio
    import traceback

    from tests.support.opcua_server import serve

    try:
        ours.close()
        _die_with_parent()
        asyncio.run(serve(theirs, port, plan))
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        os._exit(0)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main() -> None:
    """Be a nursery on the socket whose file descriptor was given."""
    from tests.support.opcua_faults import install
    from tests.support.opcua_server import Prepared
    from tests.support.opcua_space import standard_nodes

    _die_with_parent()
    logging.disable(logging.CRITICAL)
    install()
    Prepared.nodes = standard_nodes()
    control = socket.socket(fileno=int(sys.argv[1]))
    children = _Children()
    control.sendall(b'{"ok": null}\n')
    for line in control.makefile("rb"):
        do, arguments = json.loads(line)
        try:
            answer = {"ok": getattr(children, do)(**arguments)}
        except (AssertionError, OSError, KeyError) as error:
            answer = {"error": str(error)}
        control.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
