"""A serial line with Modbus slaves on a pseudo-terminal, as slow as the real wire.

A pseudo-terminal carries bytes at once; a line at 9600 baud takes 1.1 ms for each. The line answers
when a real one would have: the request's time on the wire, t3.5 of silence, then the answer at the
pace of the baud rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from scripts.sandbox.modbus_frames import FRAMERS, HEALTHY, React, RegisterSource, Request, respond

BITS_PER_BYTE = 11
"""Start, 8 data, parity or a second stop, stop: what the Modbus specification counts on."""
CHUNK_S = 0.016
"""A USB converter hands its bytes over at such intervals."""


def silence_s(baudrate: int) -> float:
    """t3.5: the silence that ends a frame; fixed above 19200 baud."""
    return 3.5 * BITS_PER_BYTE / baudrate if baudrate <= 19200 else 0.00175


class SerialLine:
    """Slaves by unit id on one line; a unit id that nobody has stays unanswered, as on a real bus.

    ``link`` is made a symbolic link to the terminal that a master opens. ``react`` may be replaced to
    make faults. ``baudrate`` 0 answers at once.
    """

    def __init__(
        self,
        link: Path,
        baudrate: int,
        units: Mapping[int, RegisterSource],
        framer: str = "rtu",
    ) -> None:
        self.link = link
        self.baudrate = baudrate
        self.units = units
        self.react: React = lambda request: HEALTHY
        self.requests: deque[Request] = deque(maxlen=10_000)
        self.wire_s = 0.0
        """Seconds that the exchanges so far need on the wire at least, silences included."""
        self.hurried = 0
        """Requests that began before t3.5 of silence had passed since the last frame."""
        self._take, self._frame = FRAMERS[framer]
        self._char_s = BITS_PER_BYTE / baudrate if baudrate else 0.0
        self._silence_s = silence_s(baudrate) if baudrate and framer == "rtu" else 0.0
        self._buffer = bytearray()
        self._began_s = self._quiet_since_s = 0.0
        self._descriptors: tuple[int, int] | None = None
        self._speaking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the terminal and its link, and listen."""
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        # The slave's end stays open here, or the master's would fail whenever nobody has it open.
        self._descriptors = master, slave
        self.link.unlink(missing_ok=True)
        self.link.parent.mkdir(parents=True, exist_ok=True)
        self.link.symlink_to(os.ttyname(slave))
        asyncio.get_running_loop().add_reader(master, self._on_readable)

    async def stop(self) -> None:
        """Take the line away, as when a converter is pulled out. May be called twice."""
        if self._descriptors is None:
            return
        asyncio.get_running_loop().remove_reader(self._descriptors[0])
        if self._speaking:
            self._speaking.cancel()
            await asyncio.gather(self._speaking, return_exceptions=True)
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = self._speaking = None
        self._buffer.clear()
        self.link.unlink(missing_ok=True)

    async def __aenter__(self) -> SerialLine:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def exchange_s(self, request_bytes: int, response_bytes: int) -> float:
        """What one exchange needs on the wire: two frames, and a silence after each."""
        return (request_bytes + response_bytes) * self._char_s + 2 * self._silence_s

    def say(self, data: bytes) -> None:
        """Put bytes on the line unasked: noise, or the echo of something late."""
        self._write(data)

    def _on_readable(self) -> None:
        if self._descriptors is None:
            return
        now = asyncio.get_running_loop().time()
        if not self._buffer:
            self._began_s = now
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self._descriptors[0], 4096)
        if len(self._buffer) > 1024:
            self._buffer.clear()
        while self._speaking is None or self._speaking.done():
            size = len(self._buffer)
            request = self._take(self._buffer)
            if request is None:
                return
            if self._began_s - self._quiet_since_s < self._silence_s:
                self.hurried += 1
            self._speaking = asyncio.create_task(self._serve(request, size - len(self._buffer)), name="serial line")

    async def _serve(self, request: Request, size: int) -> None:
        self.requests.append(request)
        reaction = self.react(request)
        data = respond(self.units, request, reaction, self._frame)
        spoken_s = self._began_s + size * self._char_s
        self._quiet_since_s = spoken_s
        if data is None:
            self.wire_s += size * self._char_s + self._silence_s
        else:
            self.wire_s += self.exchange_s(size, len(data))
            await self._speak(data, spoken_s + self._silence_s + reaction.delay_s)
            self._quiet_since_s = asyncio.get_running_loop().time()
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._on_readable)

    async def _speak(self, data: bytes, start_s: float) -> None:
        """Hand bytes over as they would arrive; deadlines are absolute, so that delays do not add up."""
        loop = asyncio.get_running_loop()
        step = max(1, int(CHUNK_S / self._char_s)) if self._char_s else len(data)
        for first in range(0, len(data), step):
            chunk = data[first : first + step]
            due = start_s + (first + len(chunk)) * self._char_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._write(chunk)

    def _write(self, data: bytes) -> None:
        if self._descriptors is not None:
            with contextlib.suppress(BlockingIOError):  # nobody reads: a wire forgets
                os.write(self._descriptors[0], data)
