"""A server that refuses because the clocks differ: which one is to be set. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from drivers.opcua.remedies import CLOCKS

RELEASE = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right tells an earlier time."""
_LATEST = 20 * 365
"""Days behind the release: a later time is none that a clock is set to."""
_NEVER = datetime(1970, 1, 2, tzinfo=UTC)
_CLOSE_S = 5.0


def difference(server: datetime | None, ours: datetime) -> tuple[str, str]:
    """What two clocks tell, in words, and what to do. ``server``: None where it did not say."""
    told = f"the gateway's clock says {_shown(ours)}"
    if server is not None and server.tzinfo is None:
        server = server.replace(tzinfo=UTC)
    if server is None or server < _NEVER:
        return told, CLOCKS if _sane(ours) else _SET_OURS
    told = f"the server's clock says {_shown(server)}, the gateway's {_shown(ours)}"
    if abs((server - ours).total_seconds()) < _CLOSE_S:
        return told, "the clocks agree now; if it recurs, let both follow one time server (NTP)"
    if _sane(ours) != _sane(server):
        return told, _SET_OURS if not _sane(ours) else _SET_SERVERS
    return told, CLOCKS


_SET_OURS = "set the gateway's clock (timedatectl, NTP)"
_SET_SERVERS = "set the server's clock"


def _sane(clock: datetime) -> bool:
    return clock >= RELEASE and (clock - RELEASE).days < _LATEST


def _shown(clock: datetime) -> str:
    return f"{clock.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
