"""What a device's refusals mean, and what to do about each."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import DriverError
from drivers.quality import Quality

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
NOBODY_BEHIND_GATEWAY = (10, 11)
"""Exceptions that a gateway answers in the place of a unit that is away."""
LASTING = (ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE)
"""Exceptions that say what a device is like; all others say how it is just now."""

NOTHING_THERE = "the device has nothing at"
REMEDIES: Mapping[Quality, str] = {
    Quality.ADDRESS: "check the address in the device's manual; it may count from 1, or from 40001",
    Quality.REFUSED: "the device does not offer this table; check whether the manual means another",
    Quality.TIMEOUT: "check power, cable and unit id; if the device is slow, raise timeout",
    Quality.CONNECTION: "check cable and power; some devices allow only one or two connections",
    Quality.MALFORMED: "check unit id and transport; on a serial line also baudrate, parity and wiring",
    Quality.DEVICE: "the device reports a fault of its own; look at its display or program",
    Quality.INVALID: "check scale_register, ct_ratio and vt_ratio in the device's manual",
}
GARBLED_LINE = "check baudrate, parity and stopbits; exchange A and B; see that no other master talks on the line"
SILENT_LINE = "check unit id, power and cable; if the device is slow, raise timeout"
SILENT_FRESH = (
    "check power, cable and unit id; if the device needs time after connecting, write connect_delay; "
    "if it is slow, raise timeout"
)
_SPLIT = "lower max_registers (max_bits) if it is only large requests that are refused"

_EXCEPTIONS: Mapping[int, tuple[str, str]] = {
    1: ("illegal function", "the device does not offer this table here; check whether the manual means another"),
    2: ("illegal data address", REMEDIES[Quality.ADDRESS]),
    3: ("illegal data value", f"check address and type in the device's manual; {_SPLIT}"),
    4: ("server device failure", "the device failed to read it; look at its display, its program and its sensors"),
    5: ("acknowledged, still working", "the device needs longer: raise interval, or write request_gap"),
    6: ("server device busy", "raise interval, write request_gap, or let fewer programs ask this device"),
    7: ("negative acknowledge", "the device cannot do it in its present state; look at its display or program"),
    8: ("memory parity error", "the device's memory is faulty: restart it, and have it serviced if it comes back"),
    10: ("gateway path unavailable", "check that the gateway knows this unit id and that its serial port is set up"),
    11: (
        "gateway target device failed to respond",
        f"check power, wiring and baud rate behind the gateway, and the unit id; {_SPLIT}",
    ),
}


def exception_name(code: int) -> str:
    """An exception code as the specification calls it."""
    name, _ = _EXCEPTIONS.get(code, ("unknown exception", ""))
    return f"{name} (exception {code})"


def exception_remedy(code: int) -> str:
    """What to do about an exception code."""
    known = _EXCEPTIONS.get(code)
    return known[1] if known else f"look for exception code {code} in the device's manual"


def exception_quality(code: int) -> Quality:
    """What an exception makes of a point."""
    if code == ILLEGAL_FUNCTION:
        return Quality.REFUSED
    return Quality.ADDRESS if code in (ILLEGAL_ADDRESS, ILLEGAL_VALUE) else Quality.DEVICE


def exception_reason(code: int) -> str:
    """An exception in a message about single points."""
    return NOTHING_THERE if code in (ILLEGAL_ADDRESS, ILLEGAL_VALUE) else exception_name(code)


def as_error(code: int) -> DriverError:
    """An exception that is all that a device answers."""
    return DriverError(exception_name(code), quality=exception_quality(code), remedy=exception_remedy(code))


def remedy_of(error: DriverError, *, serial: bool) -> str:
    """What to do about a failure of the whole device."""
    if error.remedy:
        return error.remedy
    if error.quality is Quality.MALFORMED and serial:
        return GARBLED_LINE
    if error.quality is Quality.TIMEOUT:
        return SILENT_LINE if serial else SILENT_FRESH
    return REMEDIES.get(error.quality, "")
