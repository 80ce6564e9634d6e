"""OPC UA over opc.tcp; reads, browses and subscribes only.

Addresses: see :mod:`drivers.opcua.address`; options: :class:`~drivers.opcua.options.Options`. asyncua is
imported when a device is created, and in few modules only.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.browsing import Tree, Wanted
from drivers.contract import Context, Driver, DriverType, Explanation, Point, Problem
from drivers.opcua.address import check_points, explain
from drivers.opcua.options import Options, check_options


def _create(options: Options, points: Sequence[Point], context: Context) -> Driver:
    from drivers.opcua.driver import OpcUaDriver

    return OpcUaDriver(options, points, context)


async def _browse(options: Options, context: Context, wanted: Wanted) -> Tree:
    from drivers.opcua.browse import browse

    return await browse(options, context, wanted)


def _check(options: Options, points: Sequence[Point]) -> Sequence[Problem]:
    """Everything wrong with the options and the points."""
    return [*check_options(options), *check_points(points)]


def _explain(_options: Options, points: Sequence[Point]) -> Sequence[Explanation]:
    return [explain(point) for point in points]


DRIVER = DriverType("opcua", Options, _create, _check, keeps_state=True, explain=_explain, browse=_browse)

__all__ = ["DRIVER", "Options"]
