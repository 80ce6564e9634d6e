"""The sections that the platform may change, as they are in force: what it is told of the configuration. Pure.

Written as in ``config.toml``, without what has its default value and without secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from agent.config.digest_tables import FindingTable, IndicatorTable
from agent.config.model import ByteSize, DigestSection, FileSection, Seconds, Secret
from agent.config.units import show_seconds, show_size
from agent.control.redact import redacted
from agent.control.secrets import HIDDEN


def effective(file: FileSection) -> dict[str, Any]:
    """The sections of ``[remote] allow``; empty where the platform may change nothing."""
    sections = {name: getattr(file, name) for name in sorted(set(file.remote.allow))}
    shown: dict[str, Any] = redacted({name: _plain(each) for name, each in sections.items() if each})
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return HIDDEN if value.plain else ""
    if isinstance(value, IndicatorTable | FindingTable):
        return {"name": value.name}  # with its version; the platform has it, and the status goes over metered links
    if isinstance(value, Seconds):
        return show_seconds(value)
    if isinstance(value, ByteSize):
        return show_size(value)
    if isinstance(value, msgspec.Struct):
        given = msgspec.structs.asdict(value)
        fields = {field.name: field for field in msgspec.structs.fields(value)}
        if isinstance(value, DigestSection):
            given.pop("never_share")  # nobody outside can change it, nor need know what is kept from them
        return {name: _plain(each) for name, each in given.items() if not _is_default(each, fields[name])}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return repr(float(value))  # JSON has neither
    return value


def _is_default(value: Any, field: msgspec.structs.FieldInfo) -> bool:
    made = field.default_factory
    default = field.default if made is msgspec.NODEFAULT else made()
    return type(value) is type(default) and bool(value == default)
