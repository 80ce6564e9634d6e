"""The numbers in a digest that are this project's own proposals, and no norm: kept as data, with a name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec


class Proposals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``grades``: (grade, least share of good among expected samples), best first; a digest names the table
    by ``grades_name``. ``counter_tops``: raw values at which counters start again from 0 where no
    ``rollover`` is declared; ``counter_near``: share of such a top within which the old value must have
    come, and the new one started. ``counter_usual``, ``counter_sustained``, ``counter_beyond``: tolerances of a
    counter's path, see :mod:`agent.digest.counters`; ``counter_first``: by how many times its reading it may rise at
    its first step."""

    grades: tuple[tuple[str, float], ...]
    grades_name: str
    counter_tops: tuple[float, ...]
    counter_near: float
    counter_usual: float
    counter_sustained: float
    counter_beyond: float
    counter_first: float

    def grade(self, good: int, expected: int) -> str | None:
        """The grade; None where nothing was due."""
        if expected <= 0:
            return None
        return next((grade for grade, least in self.grades if good >= least * expected), self.grades[-1][0])


@cache
def proposals() -> Proposals:
    """The numbers in force (``proposals.json``)."""
    return msgspec.json.decode((files("agent.digest") / "proposals.json").read_bytes(), type=Proposals)
