"""The answer among what arrives: which frame belongs to the request, and what is echo, stray or noise.

No input or output. A :class:`Matcher` belongs to one connection and is handed to pymodbus as its framer.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from drivers.modbus.framing import Frame, Framing, Garbled

WIDE = "where each of its registers holds 32 bits, write register_bits = 32 in connection"
STRANGE_ID = "an answer to another request"
_REMEMBERED = 16
"""Requests whose numbers are remembered, to tell a late answer from a gateway that counts for itself."""


class Answer:
    """An answer as it came: ``pdu`` begins with the function code. Looks to pymodbus like its own."""

    __slots__ = ("dev_id", "pdu", "retries", "transaction_id")

    def __init__(self, frame: Frame) -> None:
        self.dev_id, self.transaction_id, self.pdu, self.retries = frame.unit, frame.tid, frame.pdu, 0


class Matcher:
    """Finds the answer to the one request that is on its way; never raises into the event loop.

    ``numbered``: frames carry transaction ids. ``echoes_ids``: whether the other side is known to send back the
    id it was given; None until the first answer tells. The same for ``echoes_line``: whether what we send comes
    back to us before the answer, as on two wires with a simple adapter.
    """

    def __init__(self, framing: Framing, *, numbered: bool, echoes_ids: bool | None = None) -> None:
        self._framing, self._numbered = framing, numbered
        self.echoes_ids = echoes_ids
        self.echoes_line: bool | None = False if numbered else None
        self.pieces = 0
        """Pieces of data since the connection was made, whatever they were."""
        self.noise = 0
        """Those in which there was more than the echo of a request."""
        self.answers = 0
        """Requests answered since the connection was made."""
        self.stray = self.remedy = ""
        """What came instead of the answer, last; and what to do about it where that is known."""
        self._function = self._size = 0
        self._policy = ""
        self._sent = b""
        self._tids: deque[int] = deque(maxlen=_REMEMBERED)

    def expect(self, function: int, size: int, policy: str) -> None:
        """Say what is asked for: a function, and the bytes of data in its answer (0: any).

        ``policy``: what an answer's transaction id must be: ``strict`` that of the request, ``ignore`` any,
        empty: any from a device that shows with its first answer that it does not send it back.
        """
        self._function, self._size, self._policy = function, size, policy
        self.stray = self.remedy = ""

    def mismatch(self, pdu: bytes) -> str:
        """Why this cannot be the answer to what was asked; empty when it can."""
        if pdu[0] & 0x7F != self._function:
            return f"an answer to function {pdu[0] & 0x7F}"
        if pdu[0] >= 0x80:
            return "" if len(pdu) == 2 else "a refusal without its code"
        if self._size and (len(pdu) != self._size + 2 or pdu[1] != self._size):
            self.remedy = WIDE if len(pdu) - 2 == 2 * self._size else ""
            return f"{len(pdu) - 2} bytes of data instead of {self._size}"
        return ""

    def buildFrame(self, message: Any) -> bytes:  # noqa: N802
        """The frame of a request, for pymodbus to send."""
        pdu = bytes([message.function_code]) + message.encode()
        self._sent = self._framing.wrap(message.dev_id, pdu, message.transaction_id)
        self._tids.append(message.transaction_id)
        return self._sent

    def handleFrame(self, data: bytes, unit: int, tid: int) -> tuple[int, Answer | None]:  # noqa: N802
        """Take the first frame that answers the request; skip whatever does not. ``unit`` 0: of any unit."""
        self.pieces += 1
        skipped = self._echo(data)
        if skipped < 0 or (skipped and skipped == len(data)):
            return 0, None  # the echo, or its beginning; what follows decides
        self.noise += 1
        used = skipped
        try:
            while used < len(data):
                length, frame = self._framing.take(data[used:])
                used += length
                if frame is None:
                    break
                if self._fits(frame, unit, tid):
                    self._learn(frame, tid, echoed=skipped > 0)
                    return used, Answer(frame)
        except Garbled:
            self.stray = "garbled data"
            return len(data), None
        return (0 if skipped else used), None

    def _fits(self, frame: Frame, unit: int, tid: int) -> bool:
        mine = self._numbered and frame.tid == tid
        if unit and frame.unit != unit:
            self.stray = f"an answer of unit {frame.unit} instead of {unit}"
            return False
        if not mine and self._numbered and not self._any_id(frame.tid):
            self.stray = STRANGE_ID
            return False
        if not mine and (wrong := self.mismatch(frame.pdu)):
            # Without a number it may be the answer to something given up; ours may follow.
            self.stray = wrong
            return False
        return True

    def _any_id(self, tid: int) -> bool:
        """Whether an answer with a strange id can be to what was asked, and to nothing that was given up."""
        if self._policy:
            return self._policy == "ignore"
        if self.echoes_ids is not None:
            return not self.echoes_ids
        return tid not in self._tids

    def _learn(self, frame: Frame, tid: int, *, echoed: bool) -> None:
        self.answers += 1
        if self._numbered and self.echoes_ids is None:
            self.echoes_ids = frame.tid == tid
        if not self._numbered and self.echoes_line is None:
            self.echoes_line = echoed

    def _echo(self, data: bytes) -> int:
        """Bytes up to the end of our own request in what arrived; -1: they may be its beginning."""
        if self.echoes_line is False or not self._sent:
            return 0
        if len(data) < len(self._sent) and self._sent.startswith(data):
            return -1
        at = data.find(self._sent)
        return at + len(self._sent) if at >= 0 else 0
