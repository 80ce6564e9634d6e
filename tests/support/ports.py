"""Ports for servers that come and go."""

from __future__ import annotations

import contextlib
import random
import socket

_given: set[int] = set()
_chance = random.SystemRandom()  # not what a test may have seeded


def free_port() -> int:
    """A port of the loopback interface that stays free while its server is away.

    It is none of those that the system gives to clients: there, a client that tries again and again may be
    given the very port that it calls, and is connected with itself.
    """
    while True:
        port = _chance.randrange(20_000, 32_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                stack.enter_context(socket.socket(type=kind)).bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
