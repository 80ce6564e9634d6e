"""A small Modbus server for networks, with every fault that a test needs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from scripts.sandbox.modbus_frames import FRAMERS, HEALTHY, React, RegisterSource, Request, respond


class NetServer:
    """Units behind one address, over TCP (or UDP), framed as ``tcp``, ``rtu`` or ``ascii``.

    ``port`` 0 takes a free one, which ``port`` then tells; :meth:`start` after :meth:`stop` takes the
    same again. ``delay`` is the seconds that each answer takes. ``react`` may be replaced to make faults.
    """

    def __init__(
        self,
        host: str,
        port: int,
        units: Mapping[int, RegisterSource],
        framer: str = "tcp",
        udp: bool = False,
        delay: float = 0,
    ) -> None:
        self.host, self.port = host, port
        self.units = units
        self.delay = delay
        self.react: React = lambda request: HEALTHY
        self.requests: deque[Request] = deque(maxlen=10_000)
        self.accepted = 0
        """Connections made since the beginning."""
        self._take, self._frame = FRAMERS[framer]
        self._udp = udp
        self._server: asyncio.Server | asyncio.DatagramTransport | None = None
        self._refuses = False
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter | None] = {}

    @property
    def connections(self) -> int:
        """Connections open now."""
        return sum(writer is not None for writer in self._open.values())

    async def start(self) -> None:
        """Listen."""
        self._refuses = False
        loop = asyncio.get_running_loop()
        if self._udp:
            self._server, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self.host, self.port)
            )
            self.port = int(self._server.get_extra_info("sockname")[1])
            return
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def refuse(self) -> None:
        """Accept nobody from now on; connections that are open stay."""
        self._refuses = True
        if self._server is not None:
            self._server.close()
            self._server = None

    async def drop(self) -> None:
        """Close every open connection."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def say(self, data: bytes) -> None:
        """Send bytes unasked on every open connection (not over UDP): the echo of something late."""
        for writer in self._open.values():
            if writer is not None:
                writer.write(data)

    async def stop(self) -> None:
        """Refuse and drop, as a PLC that is switched off. May be called twice."""
        await self.refuse()
        await self.drop()

    async def __aenter__(self) -> NetServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:  # it waited to be accepted when the listener closed
            writer.close()
            return
        self.accepted += 1
        self._keep(asyncio.create_task(self._converse(reader, writer), name="modbus server"), writer)

    def _keep(self, task: asyncio.Task[None], writer: asyncio.StreamWriter | None) -> None:
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        try:
            while data := await reader.read(4096):
                buffer += data
                while request := self._take(buffer):
                    if not await self._serve(request, writer.write):
                        return
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.transport.abort()

    async def _serve(self, request: Request, send: Any) -> bool:
        self.requests.append(request)
        reaction = self.react(request)
        if self.delay or reaction.delay_s:
            await asyncio.sleep(self.delay + reaction.delay_s)
        if reaction.hang_up:
            return False
        if data := respond(self.units, request, reaction, self._frame):
            send(data)
        return True

    def datagram(self, data: bytes, send: Any) -> None:
        """One datagram holds one request."""
        try:
            request = self._take(bytearray(data))
        except ValueError:
            return
        if request is not None:
            self._keep(asyncio.create_task(self._answer(request, send), name="modbus server"), None)

    async def _answer(self, request: Request, send: Any) -> None:
        await self._serve(request, send)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NetServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.datagram(data, lambda answer: self._transport.sendto(answer, addr))
