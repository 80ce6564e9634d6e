"""Errors that an operator reads: one line that says what, where, and the remedy."""

from __future__ import annotations


class GongfuError(Exception):
    """Something the operator can mend. ``str(error)`` is one line; ``remedy`` what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def line(self) -> str:
        """The whole message on one line, with the remedy behind an arrow."""
        text = " ".join(str(self).split())
        return f"{text} → {self.remedy}" if self.remedy else text


class ConfigurationInvalid(GongfuError):
    """The configuration has problems; ``problems`` holds one line for each.

    ``unresolved``: those among them that only say that something it names is not there. ``places``: where they are,
    as paths of the schema's own keys (``device[2].tag[7].address``), without anything that was written.
    """

    exit_code = 78

    def __init__(
        self, problems: tuple[str, ...], unresolved: tuple[str, ...] = (), places: tuple[str, ...] = ()
    ) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.unresolved = unresolved
        self.places = places
