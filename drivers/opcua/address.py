"""Which node a point is read from. Pure.

Notations: a node id, ``ns=2;s=Spindle.Load``, or a browse path, ``/Objects/2:CNC/2:Load``.

- Identifiers are numeric (``i=2258``), text (``s=…``, taken as it stands to the end, whatever it
  holds), a GUID (``g=…``) or opaque bytes in Base64 (``b=…``).
- A namespace is given by its index (``ns=2;…``, ``2:CNC``; none means 0) or by its URI (``nsu=urn:maker:cnc;…``),
  which outlives a server's restart where the index may not. In a URI ``;`` is written ``%3B`` and ``%``
  ``%25``.
- A browse path begins at the root; ``/Objects/nsu=urn:maker:cnc;CNC/…`` names a namespace by URI. In
  the name of an element ``/ : & < > ! #`` are written with ``&`` in front (``A&/B``), as OPC UA does.
- ``index=3;`` in front of either takes one element of an array, counting from 0 and row by row.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from drivers.contract import Explanation, Point, Problem
from drivers.sentinels import RANGES, possible

TYPES = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float32", "float64", "datetime", "string"),
)
"""Data types a point may declare. The server says the type itself, so it need not."""

Namespace = int | str
"""A namespace by index or by URI."""
Identifier = int | str | UUID | bytes

_FORM = 'write a node id ("ns=2;s=Spindle.Load", "ns=2;i=1001") or a browse path ("/Objects/2:CNC/2:Load")'
_PREFIX = re.compile(r"(index|nsu|ns|srv|svr)\s*=\s*([^;]*);\s*", re.IGNORECASE)
_IDENTIFIER = re.compile(r"([isgb])=(.*)", re.IGNORECASE | re.DOTALL)
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,10}")
_RESERVED = "/.<>:#!&"
"""What ``&`` may stand in front of."""
_LONE = "<>:#!"
"""What means something else in a relative path of OPC UA, so that it is not taken as part of a name."""


class AddressError(ValueError):
    """An address that names no node; ``field`` is the key at fault."""

    def __init__(self, message: str, remedy: str = _FORM, field: str = "address") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.field = field


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node by its id."""

    namespace: Namespace
    identifier: Identifier
    """An int, a str, a :class:`~uuid.UUID` or bytes: the four kinds of node id."""
    index: int | None = None
    """Element of an array, where the address names one."""


@dataclass(frozen=True, slots=True)
class PathElement:
    """One step of a browse path: a browse name."""

    namespace: Namespace
    name: str


@dataclass(frozen=True, slots=True)
class BrowsePathAddress:
    """A node by the browse names that lead to it from the root."""

    elements: tuple[PathElement, ...]
    index: int | None = None


Address = NodeAddress | BrowsePathAddress


def parse(text: str) -> Address:
    """The address that a text stands for; raises :class:`AddressError`, which has a remedy."""
    rest = text.strip()
    found: dict[str, str] = {}
    while prefix := _PREFIX.match(rest):
        key = prefix[1].lower()
        if key in ("srv", "svr"):
            raise AddressError(f'"{text}" is a node of another server', "make that server a device of its own")
        if key in found:
            raise AddressError(f'"{text}" has {key}= twice', "leave one out")
        found[key] = prefix[2].strip()
        rest = rest[prefix.end() :]
    index = _number(text, "index", found.pop("index"), 2**31 - 1) if "index" in found else None
    if rest.startswith("/"):
        if found:
            raise AddressError(
                f'"{text}": each element of a browse path has its own namespace', 'write "/Objects/2:CNC/2:Load"'
            )
        return BrowsePathAddress(_path(text, rest), index)
    return NodeAddress(_namespace(text, found), _identifier(text, rest), index)


def _namespace(text: str, found: dict[str, str]) -> Namespace:
    if len(found) > 1:
        raise AddressError(f'"{text}" names its namespace twice', "write either ns= or nsu=")
    if "nsu" in found:
        return _uri(text, found["nsu"])
    return _number(text, "ns", found["ns"], 65535) if "ns" in found else 0


def _number(text: str, key: str, digits: str, most: int) -> int:
    if not _DIGITS.fullmatch(digits) or int(digits) > most:
        raise AddressError(f'"{text}": {key}={digits} is not a number from 0 to {most}')
    return int(digits)


def _uri(text: str, written: str) -> str:
    if not written:
        raise AddressError(f'"{text}": nsu= has no namespace URI', "write the URI the server's NamespaceArray shows")
    return re.sub("%3b", ";", written, flags=re.IGNORECASE).replace("%25", "%")


def _identifier(text: str, rest: str) -> Identifier:
    found = _IDENTIFIER.fullmatch(rest)
    if found is None:
        looks_like_path = re.match(r"(\d+:)?(Objects|Root|Types|Views)\b", rest)
        raise AddressError(
            f'"{text}" is neither a node id nor a browse path',
            f'a browse path begins with "/": write "/{rest}"' if looks_like_path else _FORM,
        )
    kind, written = found[1].lower(), found[2]
    if not written:
        raise AddressError(f'"{text}" has no identifier', f"write it behind {kind}=")
    if kind == "i":
        return _number(text, "i", written.strip(), 2**32 - 1)
    if kind == "s":
        return written
    if kind == "g":
        if not _GUID.fullmatch(written.strip()):
            raise AddressError(
                f'"{text}": g= is not a GUID', "write it as g=09087e75-8e5e-499b-954f-f2a9603db28a, without braces"
            )
        return UUID(written.strip())
    try:
        return b64decode(written.strip(), validate=True)
    except (Base64Error, ValueError):
        raise AddressError(f'"{text}": b= is not Base64', "write the bytes as b=M/RbKBsRVkePCePcx24oRA==") from None


def _path(text: str, path: str) -> tuple[PathElement, ...]:
    elements: list[PathElement] = []
    at = 0
    while at < len(path):
        element, at = _element(text, path, at + 1)
        elements.append(element)
    if elements[0] == PathElement(0, "Root"):
        # Tools show the path with the root itself, which is where a browse path begins.
        elements = elements[1:]
    if not elements:
        raise AddressError(f'"{text}" leads nowhere')
    return tuple(elements)


def _element(text: str, path: str, at: int) -> tuple[PathElement, int]:
    """The element that begins at ``at``, and where the ``/`` behind it is."""
    namespace: Namespace = 0
    if found := re.compile(r"nsu=([^;]*);").match(path, at):
        namespace, at = _uri(text, found[1]), found.end()
    elif found := re.compile(r"([0-9]+):").match(path, at):
        namespace, at = _number(text, "namespace index ", found[1], 65535), found.end()
    name: list[str] = []
    while at < len(path) and path[at] != "/":
        if path[at] == "&":
            at += 1
            if at == len(path) or path[at] not in _RESERVED:
                raise AddressError(f'"{text}": "&" stands before one of {" ".join(_RESERVED)}', 'write "&&" for "&"')
        elif path[at] in _LONE:
            raise AddressError(
                f'"{text}": "{path[at]}" means something else in a browse path', f'write "&{path[at]}" in a name'
            )
        name.append(path[at])
        at += 1
    if not name:
        raise AddressError(f'"{text}" has an element without a name', 'write "&/" for a "/" in a name')
    return PathElement(namespace, "".join(name)), at


def check_points(points: Sequence[Point]) -> Iterator[Problem]:
    """Everything wrong with the points of a device; what is wrong with a whole array is said once."""
    said: set[tuple[str, str, str]] = set()
    for point in points:
        for problem in _check_point(point):
            key = (point.address, problem.field, problem.message)
            if not (point.element and key in said):
                yield problem
            said.add(key)


def _check_point(point: Point) -> Iterator[Problem]:
    try:
        parse(point.address)
    except AddressError as error:
        yield Problem(error.field, str(error), error.remedy, point.index)
    for key in ("scale_register", "block"):
        if getattr(point, key):
            yield Problem(key, "goes with registers, not with nodes", f"remove {key}", point.index)
    if point.type and point.type not in TYPES:
        yield Problem(
            "type",
            f'unknown type "{point.type}"',
            f"leave it out, the server says the type itself; or one of {', '.join(TYPES)}",
            point.index,
        )
    if point.order != "ABCD":
        yield Problem("order", "OPC UA has one byte order only", "remove order", point.index)
    if point.length:
        yield Problem("length", "an OPC UA server says the length of a text itself", "remove length", point.index)
    for value in point.invalid:
        if point.type in (*RANGES, "string") and not possible(value, point.type):
            low, high = RANGES.get(point.type, (0.0, 0.0))
            remedy = "texts have none" if point.type == "string" else f"write one from {low:.0f} to {high:.0f}"
            yield Problem("invalid", f"{value:g} never is the raw value of a {point.type}", remedy, point.index)


_KINDS = {int: "number", str: "text", UUID: "GUID", bytes: "bytes"}


def explain(point: Point) -> Explanation:
    """Which node, and of what type."""
    where = parse(point.address)
    if isinstance(where, BrowsePathAddress):
        text = "browse path " + "".join(f"/{_named(each.namespace)}{each.name}" for each in where.elements)
    else:
        shown = where.identifier.hex() if isinstance(where.identifier, bytes) else where.identifier
        namespace = f"namespace {where.namespace}"
        text = f"node in {namespace}, {_KINDS[type(where.identifier)]} {shown}"
    index = point.element if where.index is None else where.index
    element = f", element {index}" if index or where.index is not None else ""
    kind = point.type or "the type that the server tells"
    # A path may lead to any node; an identifier is compared without its namespace, which has an index and a URI.
    area = None if isinstance(where, BrowsePathAddress) else where.identifier
    return Explanation(f"{text}{element}, {kind}", (where, point.element, point.type), area=area)


def _named(namespace: Namespace) -> str:
    return f"{namespace}:" if namespace else ""
