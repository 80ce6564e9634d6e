"""A device that does not exist, behind the real contract: for tests, demonstrations and dry runs.

Every value is a pure function of its address and of the clock that the framework lends, so what was
sampled can be computed again. Faults are asked for in the options. Addresses: see
:mod:`drivers.simulated.signals`; faults: see :class:`~drivers.simulated.options.Options`.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.contract import Context, Driver, DriverType, Point
from drivers.simulated.options import Options, check


def _create(options: Options, points: Sequence[Point], context: Context) -> Driver:
    from drivers.simulated.driver import SimulatedDriver

    return SimulatedDriver(options, context)


DRIVER = DriverType("simulated", Options, _create, check)

__all__ = ["DRIVER", "Options"]
