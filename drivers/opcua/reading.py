"""The boundary to bytes that a server sent: whatever they make a decoder raise is one typed error. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from drivers.contract import DriverError

_SHOWN = 200


class Malformed(ValueError):
    """Something that breaks the protocol; one line, for the status."""


class TooMuch(Malformed):
    """An answer of more parts than we take: smaller questions get smaller answers."""


@contextmanager
def reading(what: str, *passing: type[Exception]) -> Iterator[None]:
    """Let a decoder read ``what``. Raises :class:`Malformed` whatever goes wrong in it.

    Errors of the socket, of the contract, and those in ``passing`` stay what they are.
    """
    try:
        yield
    except (Malformed, DriverError, OSError, *passing):  # type: ignore[misc]
        raise
    except Exception as error:
        # The library fails on what a server sent in more ways than it documents.
        raise Malformed(f"{what} is malformed: {line(error)}") from error


def line(error: BaseException) -> str:
    """An error in one printable line."""
    text = " ".join(str(error).split())[:_SHOWN]
    return "".join(each if each.isprintable() else "?" for each in text) or type(error).__name__
