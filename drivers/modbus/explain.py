"""How an address was read, in words that can be held against a manual. Pure."""

from __future__ import annotations

from drivers.contract import Explanation, Point
from drivers.modbus.address import COIL, DISCRETE, HOLDING, TABLE_NAMES, Place, extent, helper, place

_CLASSIC = {COIL: 0, DISCRETE: 1, HOLDING: 4}
_ORDERED = frozenset({"int32", "uint32", "int64", "uint64", "float32", "float64", "bcd32"})


def explain(point: Point, register_bits: int = 16) -> Explanation:
    """Table, registers as they go over the wire, the classic number, bit, type and order; and what is read with it."""
    where = place(point, register_bits)
    parts = [f"{TABLE_NAMES[where.function]} {_span(where)} ({classic(where.function, where.address)})"]
    parts.append(where.type)
    ordered = where.type in _ORDERED or point.order in ("BADC", "DCBA")
    if ordered:
        parts.append(f"order {point.order}")
    if point.scale_register:
        parts.append(f"times ten to the power of {_register(point.scale_register)}")
    parts += [f"times {_register(address)}" for address in point.factors]
    if point.block:
        start, end = extent(point, where, register_bits)
        parts.append(f"in the block {start}-{end - 1}")
    key = (where.function, where.address, where.count, where.bit, where.type, point.order if ordered else "")
    # Many devices show the same registers in both tables, so that only bits and registers are told apart.
    area = "bits" if where.function in (COIL, DISCRETE) else "registers"
    return Explanation(", ".join(parts), key, _doubt(point, where), area, (where.address, where.end))


def classic(function: int, address: int) -> str:
    """The number of a register in manuals that count from 1: ``40101``; six digits where five do not suffice."""
    return f"{_CLASSIC.get(function, 3)}{address + 1:0{4 if address < 9999 else 5}}"


def _register(address: str) -> str:
    _, where = helper(address, "uint16", "")
    return f"{TABLE_NAMES[where.function]} {where.address}"


def _span(where: Place) -> str:
    last = where.end - 1
    span = f"{where.address}-{last}" if last > where.address else f"{where.address}"
    return span if where.bit is None else f"{span} bit {where.bit}"


def _doubt(point: Point, where: Place) -> str:
    digits = point.address.strip().partition(".")[0]
    if not digits.isdigit() or int(digits) > 65535:
        return ""
    number = int(digits)
    if where.function in (COIL, DISCRETE):
        names = f'"coil:{number}" or "discrete:{number}"'
    else:
        names = f'"holding:{number}" or "input:{number}"'
    return f"where the manual means register {number} on the wire, write {names}"
