"""Which drivers there are, by the name that a configuration uses.

Built-in drivers are imported when they are first asked for, so that a gateway pays only for the
protocols it speaks. Third parties declare theirs in their own package::

    [project.entry-points."gongfu_edge.drivers"]
    mydevice = "my_package.driver:DRIVER"

and are looked for only when a name is not built in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from drivers.contract import DriverType

ENTRY_POINT_GROUP = "gongfu_edge.drivers"

_BUILT_IN: Mapping[str, str] = {
    "modbus": "drivers.modbus:DRIVER",
    "opcua": "drivers.opcua:DRIVER",
    "simulated": "drivers.simulated:DRIVER",
}

_BROKEN = (
    ImportError,
    AttributeError,
    NameError,
    SyntaxError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
    OSError,
    RuntimeError,
)
"""What a foreign module may raise while it is imported."""


class UnknownDriver(KeyError):
    """No driver has this name. ``nearest`` holds the names that look like it, best first."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(sorted(known))
        self.nearest = tuple(get_close_matches(name, self.known))
        if self.nearest:
            self.remedy = "did you mean " + " or ".join(f'"{near}"' for near in self.nearest) + "?"
        else:
            self.remedy = f"installed drivers: {', '.join(self.known)}"

    def __str__(self) -> str:
        return f'unknown driver "{self.name}"'


class DriverBroken(Exception):
    """A driver of this name is installed and cannot be used; the message names its distribution."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def names() -> list[str]:
    """The names of all installed drivers, sorted. Imports none of them."""
    return sorted({*_BUILT_IN, *_third_parties()})


def load(name: str) -> DriverType:
    """The driver of that name, imported now if it was not yet.

    Raises :class:`UnknownDriver` or :class:`DriverBroken`.
    """
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        built_in: DriverType = getattr(import_module(module), attribute)
        return built_in
    offers = _third_parties().get(name, ())
    if not offers:
        raise UnknownDriver(name, names())
    return _load_third_party(name, offers)


@cache
def _third_parties() -> dict[str, tuple[EntryPoint, ...]]:
    """Driver name → who offers it. Read once a process: scanning all distributions takes long on a Pi."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name not in _BUILT_IN:
            # The same distribution can be on the path twice (an editable install); it is one offer.
            found.setdefault(entry.name, {}).setdefault(f"{_distribution(entry)} {entry.value}", entry)
    return {name: tuple(offers.values()) for name, offers in found.items()}


def _load_third_party(name: str, offers: tuple[EntryPoint, ...]) -> DriverType:
    owners = [_distribution(entry) for entry in offers]
    if len(offers) > 1:
        raise DriverBroken(
            f'driver "{name}" is offered by several packages: {", ".join(owners)}',
            remedy="uninstall all but one of them",
        )
    where = f'driver "{name}" of package {owners[0]}'
    try:
        loaded = offers[0].load()
    except _BROKEN as error:
        raise DriverBroken(
            f"{where} cannot be imported: {type(error).__name__}: {error}",
            remedy=f"reinstall or update {owners[0]}, or ask its author",
        ) from error
    if not isinstance(loaded, DriverType):
        raise DriverBroken(
            f"{where} is not a DriverType but {type(loaded).__name__} ({offers[0].value})",
            remedy=f"update {owners[0]}, or ask its author",
        )
    return loaded


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed package"
