"""Names to addresses, and the first of them that connects, without anybody else having to wait.

``loop.getaddrinfo`` occupies the event loop's shared threads for as long as a name server keeps silent; a few
devices with such names would stop everything that uses threads. Here each name that is being looked up has one
thread of its own, however many ask for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

STAGGER_S = 0.25
"""After so long without a connection the next address is tried beside it (RFC 8305)."""
_MOST_ADDRESSES = 8
_MOST_LOOKUPS = 64
"""Names being looked up at one time; a thread that waits for a silent name server cannot be ended."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a name leads; ``sockaddr`` as a socket of that ``family`` wants it."""

    family: int
    sockaddr: tuple[Any, ...]


class _Lookup:
    """One name on its way."""

    def __init__(self) -> None:
        self.waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[list[Address]]]] = []


_lock = threading.Lock()
_lookups: dict[tuple[str, int], _Lookup] = {}


async def addresses(host: str, port: int) -> list[Address]:
    """The addresses of a host, families taking turns; raises OSError. Cancelling it leaves no task behind."""
    if _is_number(host):  # needs no name server, and no thread
        return _look_up(host, port, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()
    key = (host, port)
    with _lock:
        lookup = _lookups.get(key)
        if lookup is None:
            if len(_lookups) >= _MOST_LOOKUPS:
                raise OSError(errno.EAGAIN, "too many names are waiting for the name server")
            lookup = _lookups[key] = _Lookup()
            threading.Thread(target=_run, args=(key, lookup), name=f"look up {host}", daemon=True).start()
        lookup.waiting.append((loop, answer))
    return await answer


async def connect(host: str, port: int, within_s: float) -> socket.socket:
    """A TCP connection to the first address of a host that accepts one; raises OSError, TimeoutError included.

    Addresses are tried one after the other, without waiting for each other's end, so that the last has its turn
    ``within_s`` however many swallow what is sent to them.
    """
    async with asyncio.timeout(within_s):
        found = await addresses(host, port)
        stagger_s = min(STAGGER_S, within_s / (2 * len(found) or 1))
        return await _first([_connected(address) for address in found], stagger_s)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _run(key: tuple[str, int], lookup: _Lookup) -> None:
    found: list[Address] = []
    failure: BaseException | None = None
    try:
        found = _look_up(*key, 0)
    except (OSError, UnicodeError) as error:
        failure = error if isinstance(error, OSError) else OSError(errno.EINVAL, f"{key[0]!r} is not a host name")
    with _lock:
        del _lookups[key]
    for loop, answer in lookup.waiting:
        with contextlib.suppress(RuntimeError):  # its loop has ended meanwhile
            loop.call_soon_threadsafe(_settle, answer, found, failure)


def _settle(answer: asyncio.Future[list[Address]], found: list[Address], failure: BaseException | None) -> None:
    if answer.done():
        return
    if failure is None:
        answer.set_result(found)
    else:
        answer.set_exception(failure)


def _look_up(host: str, port: int, flags: int) -> list[Address]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:
        raise OSError(errno.EINVAL, f"{host!r} is not a host name") from error
    found = list(dict.fromkeys(Address(int(family), sockaddr) for family, _, _, _, sockaddr in rows))
    return _taking_turns(found)[:_MOST_ADDRESSES]


def _taking_turns(found: Sequence[Address]) -> list[Address]:
    """The preferred family first, then one of each in turn: a network without IPv6 swallows all of its packets."""
    first = [each for each in found if each.family == found[0].family]
    others = [each for each in found if each.family != found[0].family]
    mixed: list[Address] = []
    while first or others:
        mixed += first[:1] + others[:1]
        first, others = first[1:], others[1:]
    return mixed


async def _connected(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


async def _first(attempts: Sequence[Coroutine[Any, Any, socket.socket]], stagger_s: float) -> socket.socket:
    tasks: list[asyncio.Task[socket.socket]] = []
    waiting, failure = list(attempts), OSError(errno.EHOSTUNREACH, "the name has no address")
    try:
        while waiting or any(not task.done() for task in tasks):
            if waiting:
                tasks.append(asyncio.create_task(waiting.pop(0), name="connect"))
            running = [task for task in tasks if not task.done()]
            done, _ = await asyncio.wait(
                running, timeout=stagger_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    tasks.remove(task)
                    return task.result()
                failure = error if isinstance(error, OSError) else failure
        raise failure
    finally:
        await _abandon(tasks, waiting)


async def _abandon(tasks: Sequence[asyncio.Task[socket.socket]], waiting: Sequence[Any]) -> None:
    for attempt in waiting:
        attempt.close()
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()
