"""Times as people type them, and as we print them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.errors import GongfuError

_AGO = re.compile(r"^-?(\d+(?:\.\d+)?)(s|m|h|d)(?: ago)?$")
_CLOCK = re.compile(r"^\d\d?:\d\d$")
LATEST_US = 32_503_680_000_000_000
"""The year 3000: later times are no request that anybody means."""
_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_time(text: str, zone: str, now_us: int) -> int:
    """UTC microseconds of ``2026-11-23T08:00``, ``2026-11-23``, ``08:00`` or ``today``, ``now`` or ``2h`` (ago).

    A time without a zone is in ``zone``, the plant's. Raises GongfuError for anything else.
    """
    if text == "now":
        return now_us
    try:
        if ago := _AGO.match(text):
            found = now_us - round(float(ago[1]) * _UNIT[ago[2]] * 1e6)
        else:
            found = _microseconds(text, ZoneInfo(zone), now_us)
    except (ValueError, OverflowError):
        found = -1
    if not 0 <= found <= LATEST_US:
        raise GongfuError(
            f"cannot read the time {text!r}",
            remedy='write "2026-11-23T08:00", "2026-11-23", "08:00" or "today", "2h" (ago) or "now"',
        )
    return found


def _microseconds(text: str, zone: ZoneInfo, now_us: int) -> int:
    today = datetime.fromtimestamp(now_us // 1_000_000, zone).date()
    if text == "today":
        moment = datetime.combine(today, datetime.min.time())
    elif _CLOCK.match(text):
        moment = datetime.combine(today, datetime.strptime(text, "%H:%M").time())
    else:
        moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def iso(time_us: int) -> str:
    """UTC ISO 8601 with microseconds where there are any, else milliseconds."""
    seconds, micro = divmod(time_us, 1_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{micro:06d}Z" if micro % 1000 else f"{stamp}.{micro // 1000:03d}Z"


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is none of those known."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(names[:10])}" if names else "there is none"
