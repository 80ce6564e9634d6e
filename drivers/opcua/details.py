"""What variables are: type, access, value, unit. The second half of browsing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import prod
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIdNames

from drivers.opcua.services import NodeId, node_id
from drivers.opcua.tree import Node

SHOWN = 40
"""Characters of a value."""
_ELEMENTS = 4
_NAMED = 1000
"""Names of an enumeration, and characters of one, that are kept."""
_TYPES: Mapping[ua.VariantType, str] = {
    ua.VariantType.Boolean: "bool",
    ua.VariantType.SByte: "int8",
    ua.VariantType.Byte: "uint8",
    ua.VariantType.Int16: "int16",
    ua.VariantType.UInt16: "uint16",
    ua.VariantType.Int32: "int32",
    ua.VariantType.UInt32: "uint32",
    ua.VariantType.Int64: "int64",
    ua.VariantType.UInt64: "uint64",
    ua.VariantType.Float: "float32",
    ua.VariantType.Double: "float64",
    ua.VariantType.String: "string",
    ua.VariantType.LocalizedText: "string",
    ua.VariantType.DateTime: "datetime",
}
_SUBTYPES = {289: "uint32", 290: "float64", 294: "datetime", 295: "string"}
"""Counter, Duration, UtcTime, LocaleId."""
_UNITS, _STRINGS, _VALUES = "EngineeringUnits", "EnumStrings", "EnumValues"
_TELLING = frozenset({_UNITS, _STRINGS, _VALUES})
_BUILT_IN = 25
"""The ids of data types in namespace 0 up to this one are those of the built-in types."""

Browse = Callable[[Sequence[NodeId]], Awaitable[list[list[Any]]]]
Read = Callable[[Sequence[tuple[NodeId, int]]], Awaitable[list[Any]]]


class Details:
    """Completes the variables of a tree. ``ids``: node → its id, for the nodes to be completed."""

    def __init__(self, ids: Mapping[Node, NodeId], properties: Browse, read: Read) -> None:
        self._ids = ids
        self._properties = properties
        self._read = read

    async def complete(self, root: Node) -> None:
        """Read what there is to be known of every variable."""
        variables = [node for _, _, node in root.walk() if node.variable and node in self._ids]
        if not variables:
            return
        data_types = await self._attributes(variables)
        await self._described(variables, data_types)
        readable = [node for node in variables if "r" in node.access]
        values = await self._read([(self._ids[node], AttributeIds.Value) for node in readable])
        for node, value in zip(readable, values, strict=True):
            _show(node, value)

    async def _attributes(self, variables: Sequence[Node]) -> list[NodeId | None]:
        """Access and shape; returns the data types."""
        wanted = (AttributeIds.DataType, AttributeIds.UserAccessLevel, AttributeIds.ValueRank)
        found = await self._read([(self._ids[node], attribute) for node in variables for attribute in wanted])
        data_types: list[NodeId | None] = []
        for at, node in enumerate(variables):
            data_type, access, rank = (_plain(each) for each in found[3 * at : 3 * at + 3])
            level = access if isinstance(access, int) else 1
            node.access = ("r" if level & 1 else "") + ("w" if level & 2 else "") or "-"
            known = data_type if isinstance(data_type, ua.NodeId) else None
            data_types.append(known)
            node.type = _built_in(known)
            node.count = 0 if isinstance(rank, int) and rank >= 0 else 1
        return data_types

    async def _described(self, variables: Sequence[Node], data_types: Sequence[NodeId | None]) -> None:
        """Units, and the names of enumerations, which the variable or its data type tells."""
        own = await self._told([self._ids[node] for node in variables])
        enumerations = list({each for each in data_types if each is not None and _may_have_names(each)})
        of_type = dict(zip(enumerations, await self._told(enumerations), strict=True))
        for node, told, data_type in zip(variables, own, data_types, strict=True):
            node.unit = _unit(told.get(_UNITS))
            node.names = _names(told) or (_names(of_type.get(data_type, {})) if data_type is not None else {})

    async def _told(self, nodes: Sequence[NodeId]) -> list[dict[str, Any]]:
        """The values of those properties of each node that tell something of its values."""
        wanted: list[tuple[int, str, NodeId]] = []
        for at, properties in enumerate(await self._properties(nodes)):
            wanted += [(at, each.BrowseName.Name, _local(each.NodeId)) for each in properties if _tells(each)]
        told: list[dict[str, Any]] = [{} for _ in nodes]
        values = await self._read([(node, AttributeIds.Value) for _, _, node in wanted])
        for (at, name, _), value in zip(wanted, values, strict=True):
            told[at][name] = _plain(value)
        return told


def _tells(reference: Any) -> bool:
    return reference.BrowseName.Name in _TELLING


def _local(id_: Any) -> NodeId:
    return node_id(id_.Identifier, id_.NamespaceIndex)


def _plain(value: Any) -> Any:
    """The value in a data value; None where there is none."""
    bad = value.StatusCode is not None and value.StatusCode.is_bad()
    return None if bad or value.Value is None else value.Value.Value


def _built_in(data_type: NodeId | None) -> str:
    if data_type is None:
        return "?"
    if data_type.NamespaceIndex == 0 and isinstance(data_type.Identifier, int):
        if data_type.Identifier <= _BUILT_IN and data_type.Identifier > 0:
            kind = ua.VariantType(data_type.Identifier)
            return _TYPES.get(kind, kind.name)
        return _SUBTYPES.get(data_type.Identifier) or str(ObjectIdNames.get(data_type.Identifier, "?"))
    return "?"


def _may_have_names(data_type: NodeId) -> bool:
    known = data_type.NamespaceIndex == 0 and isinstance(data_type.Identifier, int)
    return not known or data_type.Identifier > _BUILT_IN


def _unit(value: Any) -> str:
    """What people write for an EUInformation."""
    name = getattr(value, "DisplayName", None)
    return _clip(str(name.Text or "").strip()) if isinstance(name, ua.LocalizedText) else ""


def _names(told: Mapping[str, Any]) -> dict[int, str]:
    if isinstance(strings := told.get(_STRINGS), list):
        return {number: _text(each)[:_NAMED] for number, each in enumerate(strings[:_NAMED])}
    if isinstance(values := told.get(_VALUES), list):
        known = (each for each in values[:_NAMED] if isinstance(each, ua.EnumValueType))
        return {int(each.Value): _text(each.DisplayName)[:_NAMED] for each in known}
    return {}


def _show(node: Node, value: Any) -> None:
    """Enter a value, and what it tells of the type."""
    if value.StatusCode is not None and not value.StatusCode.is_good():
        node.note = str(value.StatusCode.name)
    variant, bad = value.Value, value.StatusCode is not None and value.StatusCode.is_bad()
    if bad or variant is None or variant.VariantType is ua.VariantType.Null:
        node.usable = node.type in _TYPES.values()
        node.note = node.note or "no value now"
        return
    found = variant.Value
    node.usable = variant.VariantType in _TYPES
    if node.usable:
        node.type = _TYPES[variant.VariantType]
    elif variant.VariantType is not ua.VariantType.ExtensionObject:
        node.type = variant.VariantType.name
    elif found is not None and not isinstance(found, list):
        node.type = type(found).__name__
    if isinstance(found, list):
        node.count = prod(variant.Dimensions) if variant.Dimensions else len(found)
        node.value = _clip(
            f"[{', '.join(_text(each) for each in _flat(found, _ELEMENTS))}{', …' * (node.count > _ELEMENTS)}]"
        )
    elif found is None:
        node.count = 1 if not variant.is_array else 0
    else:
        node.count = 1
        name = node.names.get(found) if isinstance(found, int) else None
        node.value = _clip(f"{_text(found)} ({name})" if name else _text(found))


def _flat(values: Iterable[Any], most: int) -> list[Any]:
    found: list[Any] = []
    for each in values:
        if len(found) >= most:
            break
        found += _flat(each, most - len(found)) if isinstance(each, list) else [each]
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, ua.LocalizedText):
        return value.Text or ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, int | str):
        return str(value)
    return "…"


def _clip(text: str) -> str:
    text = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return "".join(each if each.isprintable() else "?" for each in text)
