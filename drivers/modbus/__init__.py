"""Modbus over TCP, UDP, TLS, RTU, ASCII and RTU-over-TCP; reads only.

Function codes 1 to 4 and 43/14 (device identification) are all that exists here. Addresses: see
:mod:`drivers.modbus.address`; options: :class:`~drivers.modbus.options.Options`. pymodbus is imported
when a device is created, and in :mod:`drivers.modbus.client` only.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.contract import Context, Driver, DriverType, Explanation, Point, Problem
from drivers.modbus.address import check_points
from drivers.modbus.explain import explain
from drivers.modbus.options import Options, check_options


def _create(options: Options, points: Sequence[Point], context: Context) -> Driver:
    from drivers.modbus.driver import ModbusDriver

    return ModbusDriver(options, points, context)


def _check(options: Options, points: Sequence[Point]) -> Sequence[Problem]:
    """Everything wrong with the options and the points."""
    return [*check_options(options), *check_points(points, options.most_registers, options.register_bits)]


def _explain(options: Options, points: Sequence[Point]) -> Sequence[Explanation]:
    return [explain(point, options.register_bits) for point in points]


DRIVER = DriverType("modbus", Options, _create, _check, explain=_explain)

__all__ = ["DRIVER", "Options"]
