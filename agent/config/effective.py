"""The sections that the platform may change, as they are in force: what it is told of the configuration.

Written as in ``config.toml``, without what has its default value. Secrets are not in it, nor what might be
one: a connection's keys belong to its driver, so whatever is named like a secret counts as one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from agent.config.model import ByteSize, FileSection, Seconds, Secret
from agent.config.summary import redacted_url
from agent.config.units import show_seconds, show_size

REDACTED = "…"
_SECRET_NAME = re.compile(r"pass|pw$|^pw|secret|token|credential|auth|private|key|pin$|proxy|community", re.IGNORECASE)


def effective(file: FileSection) -> dict[str, Any]:
    """The sections of ``[remote] allow``; empty where the platform may change nothing."""
    return {name: _shown(getattr(file, name)) for name in sorted(set(file.remote.allow)) if getattr(file, name)}


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return REDACTED if value.plain else ""
    if isinstance(value, Seconds):
        return show_seconds(value)
    if isinstance(value, ByteSize):
        return show_size(value)
    if isinstance(value, msgspec.Struct):
        given = msgspec.structs.asdict(value)
        fields = {field.name: field for field in msgspec.structs.fields(value)}
        return {name: _shown(each) for name, each in given.items() if not _is_default(each, fields[name])}
    if isinstance(value, Mapping):
        if value and value.keys() <= {"env", "file", "jwe"}:
            return REDACTED  # a reference: whoever wrote it did not want to see what it names
        return {str(name): REDACTED if _is_secret(str(name), each) else _shown(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    if isinstance(value, str):
        return redacted_url(value) if "://" in value else str.__str__(value)
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return repr(float(value))
    return value


def _is_default(value: Any, field: msgspec.structs.FieldInfo) -> bool:
    made = field.default_factory
    default = field.default if made is msgspec.NODEFAULT else made()
    return type(value) is type(default) and bool(value == default)


def _is_secret(name: str, value: Any) -> bool:
    return bool(value) and not isinstance(value, bool) and _SECRET_NAME.search(name) is not None
