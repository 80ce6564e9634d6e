"""How a command on the gateway asks the running agent for something: two small files below ``config/``.

Whoever may write the data directory may ask; nothing listens on the network. A request is answered once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.errors import GongfuError
from agent.evidence.files import make_folder, write_atomically

Action = Literal["reload", "rollback", "lock"]
POLL_S = 0.2


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    id: str
    action: Action
    revision: int = 0
    seconds: float = 0.0


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How it went; ``refusal`` is empty when it was done."""

    id: str
    refusal: str = ""
    locked_until_us: int = 0
    """When the engineer's lock ends, by the agent's clock (UTC microseconds); 0: there is none."""
    trusted: bool = True
    """Whether that clock is trusted."""


class Mailbox:
    """Both ends of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._request, self._reply = folder / "request.json", folder / "reply.json"

    def take(self) -> Request | None:
        """The request that waits, if any; it does not wait any more."""
        try:
            data = self._request.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            return None  # a disk that fails is told of elsewhere
        self._request.unlink(missing_ok=True)
        try:
            return msgspec.json.decode(data, type=Request)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def answer(self, reply: Reply) -> None:
        """Tell whoever asked. Raises FileNotWritten."""
        write_atomically(self._reply, msgspec.json.encode(reply))

    def ask(
        self,
        action: Action,
        *,
        revision: int = 0,
        seconds: float = 0.0,
        timeout_s: float = 120.0,
        waiting: Callable[[float], None] = lambda seconds: None,
    ) -> Reply:
        """Ask, and wait for the answer; ``waiting`` is told now and then for how long. Raises GongfuError when none
        comes."""
        request = Request(id=secrets.token_hex(8), action=action, revision=revision, seconds=seconds)
        make_folder(self._folder)
        write_atomically(self._request, msgspec.json.encode(request))
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < timeout_s:
            waiting(waited)
            time.sleep(POLL_S)
            reply = self._read_reply()
            if reply is not None and reply.id == request.id:
                return reply
        self._request.unlink(missing_ok=True)
        raise GongfuError(f"the agent did not answer within {timeout_s:g} s", remedy="look at gongfu-edge status")

    def _read_reply(self) -> Reply | None:
        try:
            return msgspec.json.decode(self._reply.read_bytes(), type=Reply)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
