"""What the running agent has read of a device that no command can reach beside it: a serial port takes one program,
many a PLC one connection (N9)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from agent.cli.status import fetch
from agent.errors import GongfuError

if TYPE_CHECKING:
    from agent.config.model import Configuration, Device
    from agent.health.status import Status


class Value(msgspec.Struct, frozen=True):
    """As ``/api/latest`` answers it."""

    tag: str
    value: float | str | None
    quality: str
    quality_cause: str = ""
    age_s: float | None = None


class _Latest(msgspec.Struct, frozen=True):
    values: list[Value]


@dataclass(frozen=True, slots=True)
class Told:
    """By series; and how the agent came to be asked, in a line."""

    values: dict[str, Value]
    how: str


def ask_agent(configuration: Configuration, device: Device, failure: GongfuError) -> Told:
    """The device's values of the running agent. Raises ``failure`` where that has nothing to say to it, and
    GongfuError where the agent holds the port and cannot read the device either."""
    held = bool(getattr(failure.__cause__, "held", False))
    try:
        status = _status(configuration)
        state = {each.name: each for each in status.devices}.get(device.name)
        same = _reads_the_same(configuration, device, status)
        if state is not None and same and state.state in ("running", "degraded"):
            what = str(failure).removeprefix(f"{device.name}: ")
            values = _latest(configuration, device)
            return Told(values, f"read by the running agent{_age(values.values())}; beside it: {what}")
    except GongfuError:
        raise failure from None
    if not held or not _holds(configuration, device, status):
        raise failure
    port = str(failure.__cause__).removesuffix(" is in use by another program")
    if state is None or not same:
        raise GongfuError(
            f"{device.name}: the running agent holds the port, and reads it by another configuration ({port})",
            remedy="gongfu-edge reload, then read again; or stop the agent for as long as you read",
        ) from None
    said = state.last_error or f"it is {state.state}"
    raise GongfuError(f"{device.name}: the running agent holds the port, and says: {said}", remedy=state.remedy)


def _status(configuration: Configuration) -> Status:
    from agent.health.status import decode

    body = fetch(configuration.file.console.listen, "/api/status")
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GongfuError("another program answers in the agent's place") from error


def _latest(configuration: Configuration, device: Device) -> dict[str, Value]:
    body = fetch(configuration.file.console.listen, f"/api/latest?match={quote(device.name + '.')}")
    try:
        found = msgspec.json.decode(body, type=_Latest).values
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GongfuError("another program answers in the agent's place") from error
    return {each.tag: each for each in found}


def _reads_the_same(configuration: Configuration, device: Device, status: Status) -> bool:
    """Whether the agent reads the device as the file says, whatever else was edited."""
    from agent.config.canonical import device_form

    if status.config.running_hash == configuration.hash:
        return True
    running = _form(configuration)
    if status.config.status == "APPLYING" or running is None:
        return False
    return msgspec.json.decode(device_form(device)) in running["device"]


def _holds(configuration: Configuration, device: Device, status: Status) -> bool:
    """Whether the port that is taken is the running agent's, as far as one can tell by the names of ports."""
    sections = {each.name: each.connection.get("port") for each in configuration.file.device}
    used = {_real(sections.get(each.name)) for each in status.devices if each.state != "off"}
    return _real(sections.get(device.name)) in used - {None}


def _real(port: Any) -> Path | None:
    return Path(port).resolve() if isinstance(port, str) else None


def _form(configuration: Configuration) -> dict[str, Any] | None:
    from agent.control.in_force import kept

    try:
        return kept(Path(configuration.file.gateway.data_dir) / "config")
    except GongfuError:  # of somebody who may not look there
        return None


def _age(values: Iterable[Value]) -> str:
    ages = [each.age_s for each in values if each.age_s is not None]
    return f" at most {max(ages):.1f} s ago" if ages else ""
