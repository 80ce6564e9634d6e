"""Times as people type them, and as we print them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.errors import GongfuError

_AGO = re.compile(r"^-?(\d+(?:\.\d+)?)(s|m|h|d)(?: ago)?$")
_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_time(text: str, zone: str, now_us: int) -> int:
    """UTC microseconds of ``2026-11-23T08:00``, ``2026-11-23``, ``now`` or ``2h`` (ago).

    A time without a zone is in ``zone``, the plant's. Raises GongfuError for anything else.
    """
    if text == "now":
        return now_us
    if ago := _AGO.match(text):
        return now_us - round(float(ago[1]) * _UNIT[ago[2]] * 1e6)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise GongfuError(
            f"cannot read the time {text!r}", remedy='write "2026-11-23T08:00", "2026-11-23", "2h" (ago) or "now"'
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def iso(time_us: int) -> str:
    """UTC ISO 8601 with microseconds where there are any, else milliseconds."""
    seconds, micro = divmod(time_us, 1_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{micro:06d}Z" if micro % 1000 else f"{stamp}.{micro // 1000:03d}Z"
