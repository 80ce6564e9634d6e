"""What was learned about a device as JSON values, and back. Pure.

The values are also what people read in the status and with ``gongfu-edge device learned``. What comes back may
have been edited, or be another version's: whatever is not as it should be is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drivers.modbus.address import TABLE_NAMES, TABLES
from drivers.modbus.plan import Learned, Span

MOST_SPANS = 1000
"""Of each kind that are kept; more are found out anew."""
_SPAN = re.compile(r"([a-z]{4,8}):([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_LAST = 65535


def to_record(learned: Learned) -> dict[str, Any]:
    """Only what there is: a device without surprises has an empty record."""
    holes: dict[str, list[str]] = {}
    for span in _first(learned.missing):
        holes.setdefault(f"exception {learned.missing[span]}", []).append(_shown(span))
    found: dict[str, Any] = {
        "holes": holes,
        "come_and_go": [_shown(span) for span in _first(learned.passing & learned.missing.keys())],
        "gaps_not_read": [_shown(span) for span in _first(learned.gaps)],
        "not_read_across": [
            f"{TABLE_NAMES[table]}:{at}" for table in sorted(learned.borders) for at in sorted(learned.borders[table])
        ][:MOST_SPANS],
        "largest_request": {TABLE_NAMES[table]: learned.limits[table] for table in sorted(learned.limits)},
    }
    return {key: value for key, value in found.items() if value}


def from_record(record: Mapping[str, Any]) -> Learned:
    """What a record says, as far as it makes sense."""
    learned = Learned()
    holes = record.get("holes")
    for name, shown in holes.items() if isinstance(holes, dict) else ():
        code = name.removeprefix("exception ")
        if code.isascii() and code.isdigit() and 0 < int(code[:4]) < 256:
            learned.missing |= dict.fromkeys(_spans(shown), int(code))
    learned.passing = set(_spans(record.get("come_and_go"))) & learned.missing.keys()
    learned.gaps = set(_spans(record.get("gaps_not_read")))
    for span in _spans(record.get("not_read_across")):
        learned.borders.setdefault(span.function, set()).add(span.start)
    limits = record.get("largest_request")
    for table, count in limits.items() if isinstance(limits, dict) else ():
        if table in TABLES and type(count) is int and 1 <= count <= 2000:
            learned.limits[TABLES[table]] = count
    return learned


def _first(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: (span.function, span.start, span.end))[:MOST_SPANS]


def _shown(span: Span) -> str:
    more = f"-{span.end - 1}" if span.count > 1 else ""
    return f"{TABLE_NAMES[span.function]}:{span.start}{more}"


def _spans(shown: object) -> Iterator[Span]:
    for text in shown[:MOST_SPANS] if isinstance(shown, list) else ():
        found = _SPAN.fullmatch(text) if isinstance(text, str) else None
        if found is None or found[1] not in TABLES:
            continue
        start, last = int(found[2]), int(found[3] or found[2])
        if start <= last <= _LAST:
            yield Span(TABLES[found[1]], start, last + 1)
