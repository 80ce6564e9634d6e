"""The epochs in which nobody vouched for the clock, until somebody does: by how much each was wrong is known then.

An epoch that ended before that (the system clock was set by hand, the agent started anew) ran on the same boot-time
clock. Of one from before a restart of the machine nothing can be known: it keeps its stamps.
"""

from __future__ import annotations

import msgspec

MOST = 64
SETTING = "clock_unvouched"
"""By which the store keeps them."""


class _Epoch(msgspec.Struct, frozen=True, array_like=True):
    epoch: int
    boot_id: str
    base_us: int
    """What it took for UTC minus boot time (microseconds)."""


class Unvouched:
    """One an agent."""

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._epochs: list[_Epoch] = []

    def read(self, text: str | None) -> None:
        """Take over what was kept; what is damaged is none."""
        try:
            self._epochs = msgspec.json.decode(text or "[]", type=list[_Epoch])[-MOST:]
        except (msgspec.DecodeError, RecursionError):
            self._epochs = []

    def text(self) -> str:
        """To be kept."""
        return msgspec.json.encode(self._epochs).decode()

    def note(self, epoch: int, base_us: int) -> bool:
        """An epoch runs that nobody vouches for; whether that is new."""
        if self._epochs and self._epochs[-1].epoch == epoch:
            return False
        self._epochs = [*self._epochs, _Epoch(epoch, self._boot_id, base_us)][-MOST:]
        return True

    def shifts(self, base_us: int) -> list[tuple[int, int]]:
        """What the stamps of each epoch lack (microseconds), now that the true base is known."""
        return [(each.epoch, base_us - each.base_us) for each in self._epochs if each.boot_id == self._boot_id]

    @property
    def unknown(self) -> int:
        """How many of them ran before the machine was started anew."""
        return sum(each.boot_id != self._boot_id for each in self._epochs)

    def settle(self) -> bool:
        """All is done; whether there was anything."""
        there, self._epochs = bool(self._epochs), []
        return there
