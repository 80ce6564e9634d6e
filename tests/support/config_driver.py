"""A driver for tests of the configuration: options of every kind, and a check of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from agent.config.model import Configuration, Secret
from agent.config.parse import load, loads
from agent.errors import ConfigurationInvalid
from drivers import registry
from drivers.contract import Context, Driver, DriverType, Point, Problem

CONFIG = Path("config.toml")


class Retry(msgspec.Struct, frozen=True):
    times: int = 3
    pause: float = 0.5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int | str = 502
    transport: Literal["tcp", "udp", "rtu", "rtu-over-tcp"] = "tcp"
    unit: Annotated[int, msgspec.Meta(ge=0, le=247)] = 1
    timeout: float | str = 1.0
    baudrate: int = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: int = 1
    password: Secret | None = None
    retry: Retry = Retry()
    headers: dict[str, str] = {}
    verify: bool = True


def check(options: Options, points: Sequence[Point]) -> Sequence[Problem]:
    """Ports below 65536; addresses such as ``holding:100``."""
    problems = []
    if isinstance(options.port, int) and not 0 < options.port < 65536:
        problems.append(Problem("connection.port", f"{options.port} is no port", "from 1 to 65535"))
    if " " in options.host:
        problems.append(Problem("connection.host", f'"{options.host}" is no host', "a name or an address"))
    for point in points:
        area, colon, number = point.address.partition(":")
        if not colon or area not in ("holding", "input", "coil") or not number:
            message = f'"{point.address}" is no address'
            problems.append(Problem("address", message, 'such as "holding:100"', point.index))
    return problems


def create(options: Options, points: Sequence[Point], context: Context) -> Driver:
    raise NotImplementedError


DRIVER = DriverType("plc", Options, create, check)


def use_plc(monkeypatch: pytest.MonkeyPatch, driver: DriverType = DRIVER) -> None:
    """Let configurations name the driver ``plc``."""
    real = registry.load
    monkeypatch.setattr(registry, "load", lambda name: driver if name == "plc" else real(name))


def made(text: str, **environ: str) -> Configuration:
    """A configuration from text, with a gateway put in front unless it has one."""
    return loads(text if "[gateway]" in text else f'[gateway]\nname = "g"\n{text}', CONFIG, environ)


def problems_of(text: str, **environ: str) -> tuple[str, ...]:
    """The problems in a text; none when it is valid."""
    try:
        made(text, **environ)
    except ConfigurationInvalid as error:
        return error.problems
    return ()


def file_problems(path: Path, **environ: str) -> tuple[str, ...]:
    """The problems of a file; none when it is valid."""
    try:
        load(path, environ)
    except ConfigurationInvalid as error:
        return error.problems
    return ()


def device(connection: str = 'host = "h"', tags: str = "", **keys: Any) -> str:
    """A ``[[device]]`` of the test driver; ``tags``: further TOML below it."""
    own = "".join(f'{key} = "{value}"\n' for key, value in ({"name": "p", "driver": "plc"} | keys).items())
    return f"[[device]]\n{own}connection = {{ {connection} }}\n{tags}"


def tag(name: str = "a", address: str = "holding:1", **keys: str) -> str:
    """A ``[[device.tag]]``; further keys as TOML values."""
    own = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[[device.tag]]\nname = "{name}"\naddress = "{address}"\n{own}'
