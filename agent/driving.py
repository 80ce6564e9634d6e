"""What a driver is lent by the agent: the one place that knows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, MutableMapping
from pathlib import Path
from typing import Any

from agent.config.model import Device
from agent.evidence.files import make_folder
from agent.learned import LearnedFile
from drivers.contract import Context, Driver, DriverType


def create_driver(
    device: Device,
    data_dir: Path,
    now: Callable[[], int],
    shared: MutableMapping[Hashable, Any],
    *,
    trust: bool = False,
    learn: bool = False,
) -> Driver:
    """The driver of a device, not yet open. ``trust``: it may pin the device's identity as met now. ``learn``: it
    keeps what the device teaches; for the daemon alone, everybody else only makes use of it."""
    context = lend(device, data_dir, now, shared, trust=trust, learn=learn)
    return device.type.create(device.options, [tag.point for tag in device.tags], context)


def lend(
    device: Device,
    data_dir: Path,
    now: Callable[[], int],
    shared: MutableMapping[Hashable, Any],
    *,
    trust: bool = False,
    learn: bool = False,
) -> Context:
    """The context of a device."""
    return Context(
        device=device.name,
        now=now,
        shared=shared,
        state_dir=_state_dir(device.type, data_dir),
        learned=LearnedFile(data_dir, device.name, now, writes=learn),
        trust=trust,
    )


def _state_dir(type_: DriverType, data_dir: Path) -> Path | None:
    if not type_.keeps_state:
        return None
    folder = data_dir / "drivers" / type_.name
    # Where this user may not make it, the driver says so when it has something to keep.
    with contextlib.suppress(OSError):
        make_folder(data_dir / "drivers")
        make_folder(folder)
    return folder
