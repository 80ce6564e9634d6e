"""Nodes as browsing found them, and the list that is made of them. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from drivers.browsing import Item
from drivers.opcua.address import Identifier

_ENERGY = frozenset({"Wh", "kWh", "MWh", "GWh", "varh", "kvarh", "VAh", "kVAh", "J", "kJ", "MJ"})
_COUNTS = re.compile(r"count|total|produced|parts|pieces|cycles|shots|scrap", re.IGNORECASE)
_NUMBERS = re.compile(r"u?int(8|16|32|64)|float(32|64)")
_INTEGERS = re.compile(r"u?int(8|16|32|64)")


@dataclass(slots=True, eq=False)
class Node:
    """A node of the address space."""

    place: str
    """Its node id as the server has it now."""
    address: str
    """The same, with the namespace by its URI."""
    name: str
    namespace: str
    """URI of the browse name's namespace."""
    definition: str = ""
    """Its type: a node id with the namespace by its URI."""
    variable: bool = False
    detail: bool = False
    """A property of its parent."""
    seen: bool = False
    """It is somewhere else in the tree as well, and opened there."""
    children: list[Node] = field(default_factory=list)
    type: str = ""
    """A type that a tag can have, or what the server calls it."""
    usable: bool = False
    """Whether a tag can have that type."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Of an enumeration: number → name."""
    count: int = 1
    access: str = ""
    value: str = ""
    unit: str = ""
    note: str = ""

    def child(self, name: str) -> Node | None:
        """The child of that browse name, whatever its namespace."""
        return next((each for each in self.children if each.name == name), None)

    def walk(self, depth: int = 0, above: tuple[Node, ...] = ()) -> Iterator[tuple[int, tuple[Node, ...], Node]]:
        """Itself and all below it: depth, the nodes that lead there, and the node."""
        todo = [(depth, above, self)]
        while todo:
            depth, above, node = todo.pop()
            yield depth, above, node
            todo += [(depth + 1, (*above, node), each) for each in reversed(node.children)]


def items(root: Node) -> tuple[Item, ...]:
    """The tree as a list from the top down."""
    return tuple(_item(depth, node) for depth, _, node in root.walk())


def _item(depth: int, node: Node) -> Item:
    kind = guess_kind(node)
    return Item(
        depth=depth,
        name=node.name,
        place=node.place,
        address=node.address if kind else "",
        type=node.type,
        kind=kind,
        count=node.count,
        access=node.access,
        value=node.value,
        unit=node.unit,
        note="shown elsewhere" if node.seen else node.note,
        minor=node.detail,
    )


def guess_kind(node: Node) -> Literal["", "gauge", "counter", "state", "text"]:
    """How a tag of this node would be summarised; empty where no tag can be made of it."""
    if not (node.variable and node.usable and "r" in node.access) or node.seen or node.count < 1:
        return ""
    if node.type == "string":
        return "text"
    if node.type == "bool" or node.names:
        return "state"
    if not _NUMBERS.fullmatch(node.type):
        return "gauge"
    counts = _INTEGERS.fullmatch(node.type) and _COUNTS.search(node.name) and not node.unit
    return "counter" if node.unit in _ENERGY or counts else "gauge"


def written(identifier: Identifier, namespace: int, uris: Sequence[str], *, lasting: bool) -> str:
    """A node id in writing; ``lasting``: its namespace by URI."""
    if isinstance(identifier, bool | int):
        text = f"i={identifier}"
    elif isinstance(identifier, UUID):
        text = f"g={identifier}"
    elif isinstance(identifier, bytes):
        text = f"b={b64encode(identifier).decode()}"
    else:
        text = f"s={identifier}"
    if namespace == 0:
        return text
    if lasting and namespace < len(uris) and uris[namespace]:
        uri = uris[namespace].replace("%", "%25").replace(";", "%3B")
        return f"nsu={uri};{text}"
    return f"ns={namespace};{text}"
