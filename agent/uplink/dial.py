"""A TCP connection to whichever address of a host answers first (happy eyeballs, RFC 8305). Blocks; any thread."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

STAGGER_S = 0.25
"""How long an address is waited for before the next one is tried beside it."""
MOST_ADDRESSES = 8

Address = tuple[Any, ...]


def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect, and close whatever else was tried. The socket keeps ``timeout_s`` as its timeout.

    The name is looked up in the calling thread. Raises socket.gaierror, TimeoutError, or the OSError of the last
    address that refused.
    """
    deadline = time.monotonic() + timeout_s
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    waiting = _interleaved(found)[:MOST_ADDRESSES]
    last: OSError = OSError(f"{host} has no address")
    tried: list[socket.socket] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                if waiting:
                    last = _start(waiting.pop(0), selector, tried) or last
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("timed out")
                wait = min(left, STAGGER_S) if waiting else left
                for key, _ in selector.select(wait if selector.get_map() else 0):
                    attempt: socket.socket = key.fileobj  # type: ignore[assignment]
                    selector.unregister(attempt)
                    code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        tried.remove(attempt)
                        attempt.settimeout(timeout_s)
                        return attempt
                    last = OSError(code, os.strerror(code))
        finally:
            for each in tried:
                each.close()
    raise last


def _start(address: Address, selector: selectors.BaseSelector, tried: list[socket.socket]) -> OSError | None:
    family, kind, protocol, _, target = address
    try:
        attempt = socket.socket(family, kind, protocol)
    except OSError as error:  # a family that this machine does not have
        return error
    tried.append(attempt)
    attempt.setblocking(False)
    with suppress(OSError):
        attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        attempt.connect(target)
    except BlockingIOError:
        pass
    except OSError as error:
        return error
    selector.register(attempt, selectors.EVENT_WRITE)
    return None


def _interleaved(found: Sequence[Address]) -> list[Address]:
    """One family after the other, beginning with the resolver's first."""
    if not found:
        return []
    first = [each for each in found if each[0] == found[0][0]]
    other = [each for each in found if each[0] != found[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, other)) if each is not None]
