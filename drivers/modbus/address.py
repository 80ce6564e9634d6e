"""Where a point lies in a device's tables, and how wide it is there. Pure.

Notations: ``holding:100``, ``input:0x64``, ``coil:7``, ``discrete:0`` count from 0, as the protocol
does; ``40101`` or ``400101`` is the classic form that counts from 1 (``holding:100``). ``.3`` behind a
register is its bit 3, bit 0 being the lowest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from drivers.contract import Point, Problem
from drivers.sentinels import RANGES, possible

COIL, DISCRETE, HOLDING, INPUT = 1, 2, 3, 4
"""Tables, named by the function code that reads them."""
TABLES = {"coil": COIL, "discrete": DISCRETE, "holding": HOLDING, "input": INPUT}
TABLE_NAMES = {code: name for name, code in TABLES.items()}
_CLASSIC = {"0": COIL, "1": DISCRETE, "3": INPUT, "4": HOLDING}
_LAST = 65535

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
REGISTERS = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "int64": 4,
    "uint64": 4,
    "float32": 2,
    "float64": 4,
    "bcd16": 1,
    "bcd32": 2,
    "string": 0,
}
"""Registers that a value of each type takes; a string's depend on its length."""

_FORM = 'write "holding:100", "input:100", "coil:7", "discrete:7" or "40101"; a bit of a register as "holding:100.3"'
_NAMED = re.compile(r"([a-z]+)\s*:\s*(0x[0-9a-f]{1,8}|[0-9]{1,9})(?:\.([0-9]{1,3}))?", re.IGNORECASE)
_DIGITS = re.compile(r"([0134])([0-9]{4,5})(?:\.([0-9]{1,3}))?")


class AddressError(ValueError):
    """An address that names no place; ``field`` is the key at fault."""

    def __init__(self, message: str, remedy: str = _FORM, field: str = "address") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.field = field


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value lies: ``count`` registers (or one bit of a bit table) from ``address``."""

    function: int
    address: int
    count: int
    type: str
    bit: int | None = None
    """Bit of the register, 0 the lowest."""

    @property
    def end(self) -> int:
        """First address behind the value."""
        return self.address + self.count


def place(point: Point, register_bits: int = 16) -> Place:
    """Where a point lies; raises :class:`AddressError`. ``register_bits``: what is behind one address."""
    function, address, bit = _parse(point.address)
    bits = function in (COIL, DISCRETE)
    kind = point.type or ("bool" if bits or bit is not None else "uint16")
    if kind not in REGISTERS:
        raise AddressError(f'unknown type "{kind}"', f"one of {', '.join(sorted(REGISTERS))}", "type")
    _check_kind(point, kind, function, bit)
    if bit is not None:
        address, bit = address + (bit + point.element) // 16, (bit + point.element) % 16
        count = 1
    else:
        count = 1 if bits else -(-16 * (REGISTERS[kind] or (point.length + 1) // 2) // register_bits)
        address += point.element * count
    if address + count - 1 > _LAST:
        what = "it" if count == 1 else f"with {count} registers it"
        raise AddressError(
            f"{point.address}: {what} ends at {address + count - 1}, beyond {_LAST}", "addresses end there"
        )
    return Place(function, address, count, kind, bit)


def helper(address: str, type_: str, field: str, register_bits: int = 16) -> tuple[Point, Place]:
    """A register that is read for the sake of others; raises :class:`AddressError` about ``field``."""
    point = Point(index=-1, name=address, address=address, type=type_)
    try:
        found = place(point, register_bits)
    except AddressError as error:
        raise AddressError(str(error), error.remedy, field) from error
    return point, found


def extent(point: Point, found: Place, register_bits: int = 16, most: int = 125) -> tuple[int, int]:
    """First address, and that behind the last, of what has to be asked for together to read a point.

    Its block where it has one, else the value and its scale register. Raises :class:`AddressError`.
    """
    start, end = found.address, found.end
    if point.block:
        start, end = _block(point, found)
    if point.scale_register:
        _, scale = helper(point.scale_register, "int16", "scale_register", register_bits)
        if found.type in ("bool", "string"):
            raise AddressError(f"a {found.type} has no scale", "remove scale_register", "scale_register")
        if scale.function != found.function:
            message = f"{point.scale_register} is in another table than {point.address}"
            raise AddressError(message, "both have to be read in one request", "scale_register")
        if point.block and not start <= scale.address < end:
            raise AddressError(f"{point.scale_register} is outside the block", "enlarge block", "scale_register")
        start, end = min(start, scale.address), max(end, scale.end)
    if end - start > most and found.function in (HOLDING, INPUT) and found.count <= most:
        field = "block" if point.block else "scale_register"
        message = f"{end - start} registers do not fit into one request of {most}"
        raise AddressError(message, "all of them have to be read in one request", field)
    return start, end


_BLOCK = re.compile(r"(?:([a-z]+)\s*:\s*)?(0x[0-9a-f]{1,8}|[0-9]{1,9})\s*\+\s*([0-9]{1,4})", re.IGNORECASE)


def _block(point: Point, found: Place) -> tuple[int, int]:
    """``holding:40327+10``; without a table the number counts as that of the point's address does."""
    remedy = 'write it as "holding:40327+10": the first register and how many'
    parts = _BLOCK.fullmatch(point.block.strip())
    if not parts or int(parts[3]) < 1:
        raise AddressError(f'"{point.block}" is not a block', remedy, "block")
    alike = ":" not in point.address or parts[1]
    try:
        text = f"{parts[1]}:{parts[2]}" if parts[1] else parts[2]
        function, start, _ = _parse(text if alike else f"{TABLE_NAMES[found.function]}:{text}")
    except AddressError as error:
        raise AddressError(str(error), error.remedy, "block") from error
    end = start + int(parts[3])
    if function != found.function or not (start <= found.address and found.end <= end):
        raise AddressError(f"{point.address} is outside its block {point.block}", remedy, "block")
    if end - 1 > _LAST:
        raise AddressError(f"{point.block}: addresses end at {_LAST}", remedy, "block")
    return start, end


def _parse(text: str) -> tuple[int, int, int | None]:
    if found := _NAMED.fullmatch(text.strip()):
        name, number = found[1].lower(), found[2].lower()
        function = TABLES.get(name) or TABLES.get(name.removesuffix("s"))
        if function is None:
            raise AddressError(f'unknown table "{found[1]}" in "{text}"')
        address = int(number, 16) if number.startswith("0x") else int(number)
        if address > _LAST:
            hint = _hint(address)
            raise AddressError(f"{text}: addresses end at {_LAST}", hint)
    elif found := _DIGITS.fullmatch(text.strip()):
        function, address = _CLASSIC[found[1]], int(found[2]) - 1
        if address < 0:
            raise AddressError(f'"{text}": the classic form counts from 1', f'write "{text[:-1]}1" for the first')
        if address > _LAST:
            raise AddressError(f"{text}: addresses end at {_LAST}", "the largest is 465536")
    else:
        raise AddressError(f'"{text}" is not a Modbus address')
    return function, address, int(found[3]) if found[3] else None


def _hint(address: int) -> str:
    classic = _DIGITS.fullmatch(str(address))
    return f'did you mean "{address}", which counts from 1?' if classic else _FORM


def _check_kind(point: Point, kind: str, function: int, bit: int | None) -> None:
    if function in (COIL, DISCRETE):
        name = TABLE_NAMES[function]
        if kind != "bool":
            raise AddressError(f"a {name} holds one bit, not {kind}", 'remove type, or write "bool"', "type")
        if bit is not None:
            raise AddressError(f"{point.address}: a {name} is one bit and has none", "remove the bit")
    elif bit is not None:
        if kind != "bool":
            remedy = 'remove the bit, or write type = "bool"'
            raise AddressError(f"{point.address} is one bit, not {kind}", remedy, "type")
        if bit > 15:
            raise AddressError(f"{point.address}: a register has bits 0 to 15", "write the bit as .0 to .15")
    if kind == "string" and point.length < 1:
        raise AddressError("a string needs its length", "write length = number of characters", "length")
    if kind != "string" and point.length:
        raise AddressError(f"length goes with strings, not {kind}", 'remove length, or write type = "string"', "length")
    if point.order not in ORDERS:
        raise AddressError(f'unknown order "{point.order}"', f"one of {', '.join(ORDERS)}", "order")


def check_points(points: Sequence[Point], max_registers: int, register_bits: int = 16) -> Iterator[Problem]:
    """Everything wrong with the points of a device; what is wrong with a whole array is said once."""
    said: set[tuple[str, str]] = set()
    for point in points:
        for problem in _check_point(point, max_registers, register_bits):
            key = (point.address, problem.field)
            if not (point.element and key in said):
                yield problem
            said.add(key)


def _without(point: Point, field: str) -> Point:
    """The point with one of its keys as if it had not been given."""
    if field == "address":
        table = "coil" if point.type == "bool" else "holding"
        return replace(point, address=f"{table}:0", element=0)
    if field == "type":
        return replace(point, type="", length=0)
    if field == "order":
        return replace(point, order="ABCD")
    return replace(point, length=0) if point.type != "string" else replace(point, length=2)


def _check_point(point: Point, max_registers: int, register_bits: int) -> Iterator[Problem]:
    found = None
    while found is None:
        try:
            found = place(point, register_bits)
        except AddressError as error:
            yield Problem(error.field, str(error), error.remedy, point.index)
            if (sound := _without(point, error.field)) == point:
                return
            point = sound  # what else is wrong is said in the same run
    try:
        extent(point, found, register_bits, max_registers)
        for address in point.factors:
            helper(address, "uint16", "ct_ratio", register_bits)
    except AddressError as error:
        yield Problem(error.field, str(error), error.remedy, point.index)
    if found.function in (HOLDING, INPUT) and found.count > max_registers:
        message = f"{found.count} registers do not fit into one request of {max_registers}"
        key, remedy = ("length", "shorten it") if found.type == "string" else ("type", "raise max_registers")
        yield Problem(key, message, remedy, point.index)
    for value in point.invalid:
        if not possible(value, found.type):
            low, high = RANGES.get(found.type, (0.0, 0.0))
            remedy = "strings have none" if found.type == "string" else f"write one from {low:.0f} to {high:.0f}"
            yield Problem("invalid", f"{value:g} never is the raw value of a {found.type}", remedy, point.index)
