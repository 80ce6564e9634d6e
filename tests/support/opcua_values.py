"""Values and nodes of a laboratory server, from JSON: what a test writes becomes an OPC UA Variant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asyncua import ua

EPOCH_1601_US = 11_644_473_600_000_000
"""Microseconds between OPC UA's epoch and ours."""


def variant(kind: str, value: Any) -> ua.Variant:
    """A Variant of the built-in type ``kind`` ("Double", "Int64[]", …); a list for an array, None for no value."""
    name = kind.removesuffix("[]")
    if name == "Structure":
        return ua.Variant(ua.Range(Low=0.0, High=float(value)), ua.VariantType.ExtensionObject)
    of = ua.VariantType["Int32" if name == "Enumeration" else name]
    if value is None:
        return ua.Variant(None, of, is_array=kind.endswith("[]"))
    if kind.endswith("[]"):
        return ua.Variant([_plain(name, each) for each in value], of, is_array=True)
    return ua.Variant(_plain(name, value), of)


def stamp(time_us: int | None) -> datetime | None:
    """UTC microseconds as OPC UA sees them."""
    return None if time_us is None else datetime.fromtimestamp(time_us / 1e6, UTC)


def data_value(kind: str, value: Any, status: int, source_us: int | None, server_us: int | None) -> ua.DataValue:
    """A DataValue; without a Variant where the status is bad, as the standard wants it."""
    bad = status >= 0x8000_0000
    return ua.DataValue(
        Value=None if bad else variant(kind, value),
        StatusCode=ua.StatusCode(status),
        SourceTimestamp=stamp(source_us),
        ServerTimestamp=stamp(server_us),
    )


def _plain(name: str, value: Any) -> Any:
    match name:
        case "Boolean":
            return bool(value)
        case "Float" | "Double":
            return float(value)
        case "DateTime":
            return datetime.fromisoformat(value)
        case "Guid":
            return UUID(value)
        case "ByteString":
            return bytes.fromhex(value)
        case "LocalizedText":
            return ua.LocalizedText(value)
        case "QualifiedName":
            return ua.QualifiedName(value, 0)
        case "StatusCode":
            return ua.StatusCode(value)
        case "NodeId":
            return ua.NodeId.from_string(value)
        case "String" | "XmlElement":
            return str(value)
        case _:
            return int(value)
