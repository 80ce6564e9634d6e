"""The local engineer's lock: a duration on the boot-time clock, so that no clock that is wrong or set ends it early.

After a restart of the machine nobody knows how long it was off: what was left then begins again.
"""

from __future__ import annotations

import msgspec

LONGEST_S = 30 * 86_400.0


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """Until when the platform is kept out."""

    boot_id: str
    """Of the start of the machine that ``until_us`` counts from."""
    until_us: int
    """Boot time (microseconds)."""
    left_us: int
    """What was left when this was written down."""


def locked_for(seconds: float, boot_id: str, boot_us: int) -> Lock | None:
    """A lock of so many seconds from now on, at most :data:`LONGEST_S`; None for none."""
    left = round(min(seconds, LONGEST_S) * 1e6) if seconds > 0 else 0
    return Lock(boot_id=boot_id, until_us=boot_us + left, left_us=left) if left else None


def carried(lock: Lock | None, boot_id: str, boot_us: int) -> Lock | None:
    """The lock as it counts now; None when it has ended."""
    if lock is None:
        return None
    left = min(lock.until_us - boot_us if lock.boot_id == boot_id else lock.left_us, round(LONGEST_S * 1e6))
    return Lock(boot_id=boot_id, until_us=boot_us + left, left_us=left) if left > 0 else None
