"""Quality of a sample: one byte that says how far a value may be trusted, and why not.

0 is good, 64..127 uncertain, 128..255 bad. A code names its cause, so that a bad sample is
recorded with its reason and never as an invented value.
"""

from __future__ import annotations

from enum import IntEnum


class Quality(IntEnum):
    """Quality codes; the numbers are stored on disk and never reused."""

    GOOD = 0
    UNCERTAIN = 64
    CLOCK = 65
    """The source's time stamp is absurdly far from the gateway's clock."""
    IMPRECISE = 66
    """An integer beyond what a float64 holds exactly (2**53)."""
    STALE = 67
    """Nothing was heard of it for several intervals, so it need not hold any more; shown, never recorded."""
    BAD = 128
    TIMEOUT = 129
    """The device did not answer in time."""
    CONNECTION = 130
    """No connection to the device, or it broke during the read."""
    REFUSED = 131
    """The device refused the request (for example: illegal function, access denied)."""
    ADDRESS = 132
    """The device has nothing at this address (a hole, an unknown node)."""
    INVALID = 133
    """The device sent a value that its manual or the configuration declares as 'no value'."""
    DECODE = 134
    """The answer could not be decoded as the declared type."""
    DEVICE = 135
    """The device reports a failure of its own (server device failure, busy, bad sensor)."""
    MALFORMED = 136
    """The answer broke the protocol (wrong length, wrong checksum, wrong transaction)."""

    @property
    def level(self) -> str:
        """``good``, ``uncertain`` or ``bad``."""
        return level(self)

    @property
    def cause(self) -> str:
        """Lower-case cause, empty when the code is the plain member of its level."""
        plain = self in (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD)
        return "" if plain else self.name.lower()


def level(code: int) -> str:
    """The level of any code, known or not: ``good``, ``uncertain`` or ``bad``."""
    if code >= Quality.BAD:
        return "bad"
    return "uncertain" if code >= Quality.UNCERTAIN else "good"


def cause(code: int) -> str:
    """The cause of any code; a code written by a newer version is shown as ``code-N``."""
    try:
        return Quality(code).cause
    except ValueError:
        return f"code-{code}"
