"""What a driver is lent by the agent: the one place that knows."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from agent.clock import ntp_synchronised
from agent.config.model import Device
from agent.core.bounded import TookTooLong, within
from agent.errors import GongfuError
from agent.evidence.files import FileNotWritten, make_folder
from agent.learned import LearnedFile
from drivers.contract import Context, Driver, DriverError, DriverType, PointGroup, Samples

log = logging.getLogger(__name__)

CLOSE_S = 5.0


def create_driver(
    device: Device,
    data_dir: Path,
    now: Callable[[], int],
    shared: MutableMapping[Hashable, Any],
    *,
    trust: bool = False,
    learn: bool = False,
    clock_trusted: Callable[[], bool] = ntp_synchronised,
) -> Driver:
    """The driver of a device, not yet open. ``trust``: it may pin the device's identity as met now. ``learn``: it
    keeps what the device teaches; for the daemon alone, everybody else only makes use of it. ``clock_trusted``:
    whether somebody vouches for ``now``; a command goes by the system clock, and the kernel knows."""
    context = lend(device, data_dir, now, shared, trust=trust, learn=learn, clock_trusted=clock_trusted)
    return device.type.create(device.options, [tag.point for tag in device.tags], context)


def lend(
    device: Device,
    data_dir: Path,
    now: Callable[[], int],
    shared: MutableMapping[Hashable, Any],
    *,
    trust: bool = False,
    learn: bool = False,
    clock_trusted: Callable[[], bool] = ntp_synchronised,
) -> Context:
    """The context of a device."""
    return Context(
        device=device.name,
        now=now,
        shared=shared,
        state_dir=_state_dir(device.type, data_dir),
        learned=LearnedFile(data_dir, device.name, now, writes=learn),
        trust=trust,
        clock_trusted=clock_trusted,
        tell=_in_the_log(device.name),
    )


def _in_the_log(device: str) -> Callable[[str], None]:
    """Says each line once: a driver says it again with each connection."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            log.warning("device %s: %s", device, text)

    return tell


async def read_once(driver: Driver, group: PointGroup, within_s: float) -> Samples:
    """Open a driver, read a group, and close it. Raises what the driver raises, and TookTooLong.

    Nothing that the driver does takes this longer than ``within_s`` for the answer and ``CLOSE_S`` for the end.
    """
    lost: list[bool] = []

    def lose() -> None:
        lost.append(True)

    async def opened_and_read() -> Samples:
        await driver.open()
        return await driver.read(group)

    try:
        return await within(within_s, opened_and_read(), on_left=lose)
    finally:
        if not lost:  # one that still runs is not to be called
            with contextlib.suppress(TookTooLong):
                await within(CLOSE_S, driver.close())


@contextlib.contextmanager
def asked(device: str) -> Iterator[None]:
    """A command asks a device: whatever goes wrong in its driver is one line with a remedy, and never a trace."""
    try:
        yield
    except DriverError as error:
        raise GongfuError(f"{device}: {error}", remedy=error.remedy) from error
    except (GongfuError, OSError):
        raise
    except Exception as error:
        log.debug("device %s", device, exc_info=True)
        message = f"{device}: the driver failed: {error!r}"
        raise GongfuError(message, remedy="report this to the driver's author") from error


def _state_dir(type_: DriverType, data_dir: Path) -> Path | None:
    if not type_.keeps_state:
        return None
    folder = data_dir / "drivers" / type_.name
    # Where this user may not make it, the driver says so when it has something to keep.
    with contextlib.suppress(FileNotWritten):
        make_folder(data_dir / "drivers")
        make_folder(folder)
    return folder
