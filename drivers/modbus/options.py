"""Options of a Modbus device, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from drivers.contract import Problem
from drivers.durations import seconds

NETWORK = frozenset({"tcp", "udp", "tls", "rtu-over-tcp"})
SERIAL = frozenset({"rtu", "ascii"})
DEFAULT_PORT = {"tls": 802}
MOST_REGISTERS, MOST_BITS = 125, 2000
"""What one response can carry."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device's ``connection`` table. Durations are seconds or text such as ``"250ms"``."""

    transport: Literal["tcp", "udp", "tls", "rtu", "ascii", "rtu-over-tcp"] = "tcp"
    host: str = ""
    port: int | str = 0
    """Network: the port number (0: 502, with TLS 802). Serial: the path, such as ``/dev/ttyUSB0``."""
    unit: int = 1
    timeout: float | str = 1.0
    baudrate: int = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    bytesize: Literal[7, 8] = 8
    max_registers: int = MOST_REGISTERS
    """Registers that the device allows in one request."""
    max_bits: int = MOST_BITS
    """Coils or discrete inputs that the device allows in one request."""
    max_gap: int | None = None
    """Read across at most so many registers (or bits) that nobody asked for; unset: by cost."""
    request_gap: float | str = 0.0
    """Pause before each request, beyond what the line itself needs."""
    unit_gap: float | str = 0.0
    """Pause before a request to another unit than the last."""
    connect_delay: float | str = 0.0
    """Pause after connecting, for devices that swallow what they are asked too soon."""
    transaction_id: Literal["", "strict", "ignore"] = ""
    """What an answer's transaction id is worth: ``strict`` must be the request's, ``ignore`` may be any; empty:
    found out with the first answer of a connection."""
    register_bits: Literal[16, 32] = 16
    """Bits that the device has behind one register address."""
    share: bool = True
    """Use one connection for all devices at the same address; false: one of its own."""
    ca_file: str = ""
    """TLS: certificates to trust instead of the system's."""
    cert_file: str = ""
    """TLS: the gateway's own certificate, where the device asks for one."""
    key_file: str = ""
    server_name: str = ""
    """TLS: the name in the device's certificate, where it is not the host."""

    @property
    def timeout_s(self) -> float:
        """Seconds to wait for an answer, or for a connection."""
        return seconds(self.timeout)

    @property
    def most_registers(self) -> int:
        """Registers to ask for in one request: what is allowed, and what one answer can carry."""
        return min(self.max_registers, MOST_REGISTERS * 16 // self.register_bits)

    @property
    def serial(self) -> bool:
        """Whether it is a serial line of this machine."""
        return self.transport in SERIAL

    def about(self) -> str:
        """What is read, in words; another text, and what was learned of the device is worth nothing."""
        habits = f"{self.max_registers} registers of {self.register_bits} bits, {self.max_bits} bits in a request"
        return f"{self.transport} {self.link()} unit {self.unit}, {habits}"

    def link(self) -> Link:
        """The connection that these options name."""
        if self.serial:
            line = (self.baudrate, self.parity, self.stopbits, self.bytesize)
            return Link(self.transport, str(self.port), 0, *line)
        port = int(self.port) or DEFAULT_PORT.get(self.transport, 502)
        tls = (self.ca_file, self.cert_file, self.key_file, self.server_name) if self.transport == "tls" else ()
        return Link(self.transport, self.host, port, tls=tls)


@dataclass(frozen=True, slots=True)
class Link:
    """A connection: what it leads to and how. Devices with equal links can share one."""

    transport: str
    host: str
    """Host name, or the path of a serial port."""
    port: int
    baudrate: int = 0
    parity: str = "N"
    stopbits: int = 1
    bytesize: int = 8
    tls: tuple[str, ...] = ()
    """CA file, certificate file, key file, server name."""

    @property
    def serial(self) -> bool:
        """Whether it is a serial line of this machine."""
        return self.transport in SERIAL

    @property
    def numbered(self) -> bool:
        """Whether answers carry the number of their request."""
        return self.transport in ("tcp", "udp", "tls")

    @property
    def key(self) -> tuple[str, str, int]:
        """What can exist only once: a serial port by its path, else a host, port and way of talking."""
        return ("modbus serial", self.host, 0) if self.serial else (f"modbus {self.transport}", self.host, self.port)

    @property
    def char_s(self) -> float:
        """Seconds that a character takes on the wire; 0 on a network."""
        if not self.serial:
            return 0.0
        bits = 1 + self.bytesize + (self.parity != "N") + self.stopbits
        return bits / self.baudrate

    @property
    def silence_s(self) -> float:
        """t3.5, the silence that ends a frame; the specification fixes it above 19200 baud."""
        if self.transport != "rtu":
            return 0.0
        return 3.5 * self.char_s if self.baudrate <= 19200 else 0.00175

    def __str__(self) -> str:
        if self.serial:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_options(options: Options) -> list[Problem]:
    """Everything wrong with a ``connection`` table."""
    return [
        *_check_place(options),
        *_check_unit(options),
        *_check_durations(options),
        *_check_limits(options),
        *_check_tls(options),
    ]


def _check_place(options: Options) -> Iterator[Problem]:
    if options.serial:
        if not isinstance(options.port, str) or not options.port:
            message = f"a serial line ({options.transport}) needs the path of its port"
            yield Problem("connection.port", message, 'write it as port = "/dev/ttyUSB0"')
        if options.host:
            yield Problem("connection.host", f"{options.transport} has no host", 'remove it, or use "rtu-over-tcp"')
        if not 50 <= options.baudrate <= 4_000_000:
            yield Problem("connection.baudrate", f"{options.baudrate} is no baud rate", "usual: 9600, 19200, 115200")
        if options.transport == "rtu" and options.bytesize == 7:
            yield Problem("connection.bytesize", "RTU needs 8 bits", 'write bytesize = 8, or transport = "ascii"')
        return
    if not options.host.strip():
        yield Problem("connection.host", "missing", 'write the address of the PLC, such as host = "192.168.1.10"')
    elif "://" in options.host or options.host.count(":") == 1:
        yield Problem("connection.host", f'"{options.host}" is not a host name', "write host and port separately")
    if isinstance(options.port, str):
        message = f'"{options.port}" is not a port number'
        yield Problem("connection.port", message, "write a number without quotes, usually port = 502")
    elif not 0 <= options.port <= 65535:
        yield Problem("connection.port", f"{options.port} is not a port number", "usually port = 502")


def _check_unit(options: Options) -> Iterator[Problem]:
    low, high = (1, 247) if options.serial or options.transport == "rtu-over-tcp" else (0, 255)
    if not low <= options.unit <= high:
        yield Problem("connection.unit", f"{options.unit} is not a unit id", f"write one from {low} to {high}")


def _check_durations(options: Options) -> Iterator[Problem]:
    for key in ("timeout", "request_gap", "unit_gap", "connect_delay"):
        try:
            value = seconds(getattr(options, key))
        except ValueError as error:
            yield Problem(f"connection.{key}", str(error), 'write it as "250ms" or "1s"')
        else:
            if key == "connect_delay" and value > 60:
                yield Problem("connection.connect_delay", f"{value:g} s is not sensible", 'write at most "60s"')
            if key == "timeout" and not 0.001 <= value <= 60:
                yield Problem("connection.timeout", f"{value:g} s is not sensible", 'write one from "1ms" to "60s"')


def _check_limits(options: Options) -> Iterator[Problem]:
    for key, most in (("max_registers", MOST_REGISTERS), ("max_bits", MOST_BITS)):
        if not 1 <= getattr(options, key) <= most:
            yield Problem(f"connection.{key}", f"{getattr(options, key)} is out of range", f"write 1 to {most}")
    if options.max_gap is not None and options.max_gap < 0:
        yield Problem("connection.max_gap", "is negative", "write 0 to never read across a gap")


def _check_tls(options: Options) -> Iterator[Problem]:
    keys = ("ca_file", "cert_file", "key_file", "server_name")
    given = [key for key in keys if getattr(options, key)]
    if options.transport != "tls":
        for key in given:
            yield Problem(f"connection.{key}", "is used with TLS only", 'remove it, or write transport = "tls"')
    elif bool(options.cert_file) != bool(options.key_file):
        yield Problem("connection.cert_file", "certificate and key go together", "give cert_file and key_file")
