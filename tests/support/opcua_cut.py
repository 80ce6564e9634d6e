"""A cable to an OPC UA server that can be cut: a TCP proxy that knows where a message begins and ends.

On a channel without encryption it also records which services are asked for, and can lose single
messages: the numbers of those that follow are made to fit, so that the channel itself stays valid.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from asyncua import ua

from tests.support.ports import free_port

_HEADER = 8
"""Bytes of a chunk's type, its final flag and its size."""
NAMES = {
    number: str(name).removesuffix("_Encoding_DefaultBinary")
    for name, number in vars(ua.ObjectIds).items()
    if str(name).endswith(("Request_Encoding_DefaultBinary", "Response_Encoding_DefaultBinary"))
}
"""Type id on the wire → the message's name, such as ``ReadRequest``."""


class Cut:
    """The proxy, at ``port``; a context. Connections belong to the cable they were made on: healing a cut
    lets new ones through, while the old ones stay as dead as they are when a router has forgotten them."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.requests: Counter[str] = Counter()
        """Messages that clients sent, by name; ``encrypted`` for what could not be read."""
        self.delay_s = 0.0
        """Each chunk from the server arrives so much later."""
        self.connections = 0
        """How many were made."""
        self._target = target
        self._lose: dict[str, int] = {}
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._dark = False

    @property
    def url(self) -> str:
        """Where the server is, through the cable."""
        return f"opc.tcp://127.0.0.1:{self.port}/lab"

    async def __aenter__(self) -> Cut:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._server
        self._server.close()
        for link in list(self._links):
            await link.end()

    def lose(self, name: str, count: int = 1) -> None:
        """The next ``count`` messages of this name from the server (``PublishResponse``) never arrive."""
        self._lose[name] = count

    def losing(self, name: str) -> bool:
        """Whether there are some left to lose."""
        return self._lose.get(name, 0) > 0

    def blackhole(self) -> None:
        """From now on nothing arrives, in either direction, and nobody is told: no FIN, no RST."""
        self._dark = True
        for link in self._links:
            link.dark = True

    def heal(self) -> None:
        """New connections get through."""
        self._dark = False

    def reset(self) -> None:
        """Break every connection with RST."""
        for link in self._links:
            link.reset()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(self, reader, writer, dark=self._dark)
        self._links.add(link)
        try:
            await link.run(self._target)
        finally:
            self._links.discard(link)

    def _is_lost(self, name: str) -> bool:
        left = self._lose.get(name, 0)
        if left:
            self._lose[name] = left - 1
        return left > 0


class _Link:
    """One connection through the cable."""

    def __init__(self, cut: Cut, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, dark: bool) -> None:
        self.dark = dark
        self._cut, self._reader, self._writer = cut, reader, writer
        self._ending, self._ended = asyncio.Event(), asyncio.Event()
        self._lost = 0
        """Chunks that did not arrive: later ones are renumbered by so much."""
        self._names: dict[tuple[str, int], str] = {}
        """Message under way (direction, request id) → its name."""
        self._losing: set[int] = set()

    async def run(self, target: int) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            self.reset()
            self._ended.set()
            return
        up = asyncio.create_task(self._carry(self._reader, writer, self._upwards), name="cut: upwards")
        down = asyncio.create_task(self._carry(reader, self._writer, self._downwards), name="cut: downwards")
        end = asyncio.create_task(self._ending.wait(), name="cut: end")
        await asyncio.wait({up, down, end}, return_when=asyncio.FIRST_COMPLETED)
        for task in (up, down, end):
            task.cancel()
        await asyncio.gather(up, down, end, return_exceptions=True)
        for each in (writer, self._writer):
            each.transport.abort()
        self._ended.set()

    async def end(self) -> None:
        """End it; wait until it has."""
        self._ending.set()
        await self._ended.wait()

    def reset(self) -> None:
        """RST instead of FIN."""
        peer = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see: Callable[[bytes], bytes]
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readexactly(_HEADER)
                chunk = see(head + await reader.readexactly(int.from_bytes(head[4:8], "little") - _HEADER))
                if see == self._downwards and self._cut.delay_s:
                    await asyncio.sleep(self._cut.delay_s)
                if chunk and not self.dark:
                    writer.write(chunk)
                    await writer.drain()
        if self.dark:
            await self._ending.wait()  # whoever hung up behind the cut, the other side is not told

    def _upwards(self, chunk: bytes) -> bytes:
        name = self._name("up", chunk)
        if name and not self.dark:
            self._cut.requests[name] += 1
        return chunk

    def _downwards(self, chunk: bytes) -> bytes:
        """The chunk with its number made to fit; nothing when it is lost."""
        if chunk[:3] not in (b"MSG", b"OPN"):
            return chunk
        at = _sequence_at(chunk)
        number, request = struct.unpack_from("<II", chunk, at)
        name = self._name("down", chunk)
        if name and self._cut._is_lost(name):
            self._losing.add(request)
        if request in self._losing:
            self._lost += 1
            if chunk[3:4] == b"F":
                self._losing.discard(request)
            return b""
        return chunk[:at] + struct.pack("<I", number - self._lost) + chunk[at + 4 :] if self._lost else chunk

    def _name(self, way: str, chunk: bytes) -> str:
        """The message's name when this is its first chunk, else nothing."""
        kind = chunk[:3]
        if kind != b"MSG":
            known = {b"OPN": "OpenSecureChannelRequest", b"CLO": "CloseSecureChannelRequest"}
            return known.get(kind, "") if way == "up" else ""
        request = struct.unpack_from("<I", chunk, 20)[0]
        first = (way, request) not in self._names
        if first:
            four_bytes, number = chunk[24:26] == b"\1\0", int.from_bytes(chunk[26:28], "little")
            self._names[way, request] = NAMES.get(number, "encrypted") if four_bytes else "encrypted"
        name = self._names[way, request]
        if chunk[3:4] != b"C":
            del self._names[way, request]
        return name if first else ""


def _sequence_at(chunk: bytes) -> int:
    """Where the sequence number lies: behind the channel's and the token's id, or behind certificates."""
    if chunk[:3] == b"MSG":
        return 16
    at = 12
    for _ in range(3):
        at += 4 + max(0, struct.unpack_from("<i", chunk, at)[0])
    return at
