"""What the console is shown; the application hands it in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from agent.buffer.store import Store
from agent.health.status import Status


class Latest(Protocol):
    """The last value of one series."""

    @property
    def series(self) -> str: ...
    @property
    def time_us(self) -> int: ...  # 0: nothing read yet
    @property
    def value(self) -> float | str | None: ...
    @property
    def quality(self) -> int: ...
    @property
    def unit(self) -> str: ...
    @property
    def age_s(self) -> float | None: ...  # since it was told or confirmed last


class Sources(Protocol):
    """The agent, as far as the console may look into it."""

    @property
    def store(self) -> Store: ...

    def status(self) -> Status: ...

    def latest(self) -> Iterable[Latest]: ...

    async def refresh(self) -> None:
        """Ask the disk for what :meth:`status` only remembers. Raises StoreUnavailable."""
