"""What messages other than a digest's numbers may say: codes, names and causes; never values, addresses or texts of
drivers, of the disk or of libraries. Those stay in the gateway's own journal. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

MOST_NAMED = 20
"""Tags, devices or places that one reason names."""
LONGEST_HOSTNAME = 255

HEADERS: Final = frozenset({"authorization", "content-type", "content-encoding", "digest-signature", "if-none-match"})
"""All that a request says in headers, beside what the HTTP library needs and the agent's own name and version."""
ENROLMENT: Final = frozenset({"token", "public_key", "encryption_key", "hostname", "hardware", "version", "proof"})
"""Members of the request for enrolment."""

_CODE = re.compile(r"[a-z][a-z_]{0,39}")
_CAUSE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_PATH = re.compile(r"[a-z_]+(\[[0-9]+\])?(\.[a-z_]+(\[[0-9]+\])?)*")


def code_of(line: str) -> str:
    """The code with which a line begins (``malformed: payload is not …``); ``other`` where it begins with none."""
    code = line.partition(":")[0]
    return "" if not line else code if _CODE.fullmatch(code) else "other"


def reason(
    code: str,
    *,
    tags: Sequence[tuple[str, str]] = (),
    devices: Sequence[tuple[str, str]] = (),
    places: Iterable[str] = (),
    with_tags: bool,
) -> str:
    """Why a configuration failed, for the platform: ``dry_run_failed: press-1.oil_temp (timeout)``.

    ``tags``, ``devices``: names with their causes. ``places``: keys of the configuration. ``with_tags``: whether the
    platform configures the devices, and so knows their tags by name; else they are counted.
    """
    parts = [_with_cause(*each) for each in devices[:MOST_NAMED]]
    if with_tags:
        parts += [_with_cause(*each) for each in tags[:MOST_NAMED]]
    elif tags:
        parts.append(f"{len(tags)} {'tag' if len(tags) == 1 else 'tags'}")
    left = max(0, len(devices) - MOST_NAMED) + (max(0, len(tags) - MOST_NAMED) if with_tags else 0)
    parts += [each for each in places if _PATH.fullmatch(each)][:MOST_NAMED]
    if left:
        parts.append(f"and {left} more")
    return f"{code}: {', '.join(parts)}" if parts else code


def _with_cause(name: str, cause: str) -> str:
    return f"{name} ({cause})" if _CAUSE.fullmatch(cause) else name


def health_reason(*, disk_failing: bool, delivers: bool) -> str:
    """Why a gateway that is not healthy is not, in fixed words."""
    if disk_failing:
        return "the disk takes no data"
    return "a component does not go on" if delivers else "no device delivers good values"


def headers(given: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request. Raises ValueError for one that nobody has decided on."""
    for name in given:
        if name.lower() not in HEADERS:
            raise ValueError(f"header {name} may not leave")
    return dict(given)


def enrolment(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request for enrolment. Raises ValueError for a member that nobody has decided on."""
    beyond = body.keys() - ENROLMENT
    if beyond:
        raise ValueError(f"{min(beyond)} may not leave with an enrolment")
    return {name: each[:LONGEST_HOSTNAME] if name in ("hostname", "hardware") else each for name, each in body.items()}
