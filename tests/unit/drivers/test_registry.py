"""Drivers by name: built in, third-party, unknown and broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers import registry
from drivers.contract import DriverType
from tests.support import plant_install

Install = Callable[..., None]

GOOD = """
import msgspec
from drivers.contract import DriverType
from tests.support import plant_install
class Options(msgspec.Struct): pass
DRIVER = DriverType("{name}", Options, lambda o, p, c: None)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """install(distribution, driver, source): as if pip had installed a third party's package."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(distribution: str, driver: str, source: str, attribute: str = "DRIVER") -> None:
        module = distribution.replace("-", "_") + "_module"
        monkeypatch.delitem(sys.modules, module, raising=False)
        plant_install.install(tmp_path, distribution, {module: source}, {driver: f"{module}:{attribute}"})
        registry._third_parties.cache_clear()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield make
    for module in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[module]
    registry._third_parties.cache_clear()


def test_built_in_drivers_are_listed() -> None:
    assert {"modbus", "simulated"} <= set(registry.names())


def test_listing_drivers_imports_none_of_them() -> None:
    code = (
        "import sys; from drivers import registry; registry.names();"
        "print([m for m in sys.modules if m in ('drivers.modbus', 'drivers.simulated', 'pymodbus')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_built_in_names_need_no_scan_of_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("scanned")

    monkeypatch.setattr(registry, "entry_points", refuse)
    registry._third_parties.cache_clear()
    assert registry.load("simulated").name == "simulated"


def test_third_party_driver_is_found_by_its_entry_point(install: Install) -> None:
    install("acme-scale", "scale", GOOD.format(name="scale"))
    assert "scale" in registry.names()
    assert isinstance(registry.load("scale"), DriverType)


def test_third_party_cannot_replace_a_built_in(install: Install) -> None:
    install("acme-evil", "simulated", GOOD.format(name="acme-evil"))
    assert registry.load("simulated").name == "simulated"


def test_unknown_driver_names_the_nearest(install: Install) -> None:
    install("acme-scale", "scale", GOOD.format(name="scale"))
    with pytest.raises(registry.UnknownDriver) as caught:
        registry.load("modbuss")
    assert caught.value.nearest == ("modbus",)
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == 'unknown driver "modbuss"'
    assert '"modbus"' in caught.value.remedy


def test_unknown_driver_unlike_any_other_lists_all() -> None:
    with pytest.raises(registry.UnknownDriver) as caught:
        registry.load("zzz")
    assert caught.value.nearest == ()
    assert "simulated" in caught.value.remedy


@pytest.mark.parametrize(
    ("source", "attribute", "says"),
    [
        ("import not_installed_anywhere", "DRIVER", "not_installed_anywhere"),
        ("def broken(:", "DRIVER", "SyntaxError"),
        ("x = 1", "DRIVER", "AttributeError"),
        ("raise OSError('no such port')", "DRIVER", "no such port"),
        ("DRIVER = 7", "DRIVER", "not a DriverType but int"),
    ],
)
def test_broken_third_party_names_its_distribution(install: Install, source: str, attribute: str, says: str) -> None:
    install("acme-broken", "broken", source, attribute)
    with pytest.raises(registry.DriverBroken) as caught:
        registry.load("broken")
    assert "acme-broken 1.2" in str(caught.value)
    assert says in str(caught.value)
    assert "acme-broken" in caught.value.remedy


def test_name_offered_twice_is_refused(install: Install) -> None:
    install("acme-one", "scale", GOOD.format(name="scale"))
    install("acme-two", "scale", GOOD.format(name="scale"))
    with pytest.raises(registry.DriverBroken) as caught:
        registry.load("scale")
    assert "acme-one" in str(caught.value)
    assert "acme-two" in str(caught.value)
