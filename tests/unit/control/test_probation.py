"""D4: a configuration is proven by what delivers to the end of its probation, not by what delivered once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.config.difference import difference
from agent.config.model import Configuration
from agent.control import probation as module
from agent.control.probation import delivering, probation
from agent.snapshot import LatestValue
from agent.supervisor import DeviceSnapshot
from tests.support.config_driver import device, made, tag, use_plc

SECOND = 1_000_000


@pytest.fixture
def configurations(monkeypatch: pytest.MonkeyPatch) -> tuple[Configuration, Configuration]:
    use_plc(monkeypatch)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "LEAST_GRACE_S", 0.1)
    old = made(device(tags=tag("a"), name="kept", interval="100ms"))
    new = made(
        device(tags=tag("a"), name="kept", interval="100ms") + device(tags=tag("b"), name="fresh", interval="100ms")
    )
    return old, new


class Plant:
    """Devices that deliver as told; the time is that of the looks at it: each is 100 ms later."""

    def __init__(self, **until_s: float) -> None:
        """``until_s``: by name, how many seconds after the switch it delivers for the last time."""
        self.until_s = until_s
        self.time_us = 1_000 * SECOND
        self.states: dict[str, tuple[str, int]] = {}

    def now(self) -> int:
        return self.time_us

    def _last(self, name: str) -> int:
        return min(self.time_us, 1_000 * SECOND + int(self.until_s[name] * SECOND))

    def devices(self) -> list[DeviceSnapshot]:
        found = []
        for name in self.until_s:
            state, good = self.states.get(name, ("running", 1))
            last = self._last(name)
            found.append(DeviceSnapshot(name, state, good, 0, 0, last, 0.01, 0, 1, last, "", "", (), {}))
        return found

    def latest(self) -> Iterator[LatestValue]:
        self.time_us += SECOND // 10
        names = {"kept": "kept.a", "fresh": "fresh.b"}
        for name in self.until_s:
            yield LatestValue(names[name], self._last(name), 1.0, 0, "")


async def verdict(plant: Plant, configurations: tuple[Configuration, Configuration]) -> Any:
    old, new = configurations
    began = plant.now()
    return await probation(plant, new, difference(old, new), ["kept"], began_us=began, seconds=0.3)


async def test_d4_what_delivers_to_the_end_is_proven(configurations: tuple[Configuration, Configuration]) -> None:
    assert await verdict(Plant(kept=1e6, fresh=1e6), configurations) is None


@pytest.mark.parametrize("silent", ["kept", "fresh"])
async def test_d4_what_delivered_once_and_nothing_since_is_not_proven(
    configurations: tuple[Configuration, Configuration], silent: str
) -> None:
    refusal = await verdict(Plant(**{"kept": 1e6, "fresh": 1e6, silent: 0.1}), configurations)
    assert refusal is not None and refusal.code == "probation_failed" and silent in refusal.text
    assert silent in refusal.told(with_tags=False)


async def test_d4_degraded_without_a_good_value_does_not_deliver(
    configurations: tuple[Configuration, Configuration],
) -> None:
    plant = Plant(kept=1e6, fresh=1e6)
    plant.states["kept"] = ("degraded", 0)
    assert delivering(plant) == ["fresh"]
    refusal = await verdict(plant, configurations)
    assert refusal is not None and refusal.devices == (("kept", "degraded"),)


async def test_a2_a_clock_that_is_put_back_during_probation_fails_nothing(
    configurations: tuple[Configuration, Configuration],
) -> None:
    plant = Plant(kept=1e6, fresh=1e6)
    old, new = configurations
    began = plant.now()
    plant.time_us -= 500 * SECOND
    assert await probation(plant, new, difference(old, new), ["kept"], began_us=began, seconds=0.3) is None


async def test_a2_what_was_stamped_before_the_clock_was_put_back_proves_nothing(
    configurations: tuple[Configuration, Configuration],
) -> None:
    class Silent(Plant):
        def _last(self, name: str) -> int:
            return 1_000 * SECOND

    plant = Silent(kept=0.0, fresh=0.0)
    old, new = configurations
    began = plant.now()
    plant.time_us -= 500 * SECOND
    refusal = await probation(plant, new, difference(old, new), ["kept"], began_us=began, seconds=0.3)
    assert refusal is not None and refusal.code == "probation_failed"
