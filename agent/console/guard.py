"""Which address the console listens on, and which requests it takes there."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.loopback import is_loopback
from agent.errors import GongfuError

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "gongfu-edge",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer: nothing foreign is loaded, framed, cached or told."""


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on; ``port`` 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """``host:port``, ``[::1]:port``. Raises GongfuError."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""  # an IPv6 address without brackets is ambiguous
        if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
            raise GongfuError(f"[console] listen = {text!r} is no address", remedy='write "127.0.0.1:8470"')
        return cls(host, int(port))

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine reach it."""
        return is_loopback(self.host)

    def admits(self, host_header: str | None) -> bool:
        """Whether a request may be answered that was sent to ``host_header``.

        A web page from elsewhere can point a name of its own at 127.0.0.1 and read the answers (DNS
        rebinding). Such a request carries that name, so a loopback listener answers loopback names only.
        """
        return not self.loopback or (host_header is not None and is_loopback(_host_of(host_header)))


def _host_of(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
