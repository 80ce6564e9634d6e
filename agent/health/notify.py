"""What the agent tells systemd: one datagram to ``$NOTIFY_SOCKET`` for each message."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Speaks the protocol of ``sd_notify(3)``; silent where nobody listens.

    Sending never waits and never raises: a service manager that does not read is no reason to stop
    reading machines. Its first failure is logged.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "@name" is a socket in Linux' abstract namespace, whose name begins with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._said = False
        self._status = ""

    @property
    def listening(self) -> bool:
        """Whether a service manager asked to be told."""
        return self._address != ""

    def ready(self, status: str = "") -> None:
        """The agent is up; also ends what :meth:`reloading` began."""
        self._send("READY=1", *self._status_line(status))

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent only when it changed."""
        if text != self._status:
            self._send(*self._status_line(text))

    def watchdog(self) -> None:
        """The agent makes progress; see :mod:`agent.health.progress`."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The agent is on its way down."""
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """The configuration is being loaded anew; :meth:`ready` says when that is done."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def _status_line(self, text: str) -> list[str]:
        self._status = text
        return [f"STATUS={' '.join(text.split())}"] if text else []

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._said:
                log.warning("cannot notify the service manager: %s", error)
            self._said = True
