"""What the configuration in force means, kept on disk, so that an edited file can be compared with it (N10).

It is the canonical form, without secrets: the local file may say something else by now, and its tables too.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agent.config.canonical import VERSION, canonical
from agent.config.model import Configuration
from agent.config.references import Absent, Unreadable, read_file
from agent.errors import GongfuError
from agent.evidence.files import make_folder, write_atomically

log = logging.getLogger(__name__)

NAME = "in-force.json"
MOST_BYTES = 256 * 1024 * 1024
_REMEDY = "restart the agent: it is written anew"


class _Device(msgspec.Struct):
    name: str
    tags: list[Annotated[list[Any], msgspec.Meta(min_length=1)]]


class _Form(msgspec.Struct):
    """What is relied on when two forms are compared."""

    version: int
    device: list[_Device]


def form(configuration: Configuration) -> dict[str, Any]:
    """As :func:`kept` gives it."""
    made: dict[str, Any] = msgspec.json.decode(canonical(configuration.file, configuration.devices))
    return made


def keep(folder: Path, configuration: Configuration) -> None:
    """Write it down unless it stands there. Where that fails nothing is kept: better than what is not true."""
    path = folder / NAME
    try:
        with suppress(FileNotFoundError):
            if sha256(path.read_bytes()).hexdigest() == configuration.hash:
                return
        make_folder(folder)
        write_atomically(path, canonical(configuration.file, configuration.devices))
    except OSError as error:
        log.warning("%s cannot be kept (%s): config diff has nothing to compare with", path, error.strerror)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def kept(folder: Path) -> dict[str, Any] | None:
    """The form of what was in force last; None where nothing was yet. Raises GongfuError."""
    path = folder / NAME
    try:
        data = read_file(path, MOST_BYTES)
        devices = msgspec.json.decode(data, type=_Form)
        found: dict[str, Any] = msgspec.json.decode(data)
    except Absent:
        return None
    except Unreadable as error:
        raise GongfuError(str(error), remedy=error.remedy) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GongfuError(f"{path} is damaged: {error}", remedy=_REMEDY) from error
    if devices.version != VERSION:
        raise GongfuError(f"{path} is of another version", remedy=_REMEDY)
    return found
