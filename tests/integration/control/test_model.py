"""Whatever administrators, crashes and the local engineer do, a gateway runs one whole configuration and says which.

A model-based test: the control room with its real journal, trust list and drivers; the plant around it is a model
whose devices deliver, or do not. Time jumps, so that a probation takes no time.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Hashable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.config.model import Configuration
from agent.config.parse import load
from agent.control.journal import Journal
from agent.control.reasons import Refusal
from agent.control.service import Control, Gateway, compose
from agent.snapshot import LatestValue
from agent.supervisor import DeviceSnapshot
from tests.support.control_bundles import Signer, signed

GATEWAY = "gw-0123456789abcdef"
LOCAL = """
[gateway]
name = "model"
data_dir = "{folder}/data"
[remote]
allow = ["device", "digest"]
probation = "10s"
trust_file = "{folder}/admins.jwks"
[[device]]
name = "press"
driver = "simulated"
[[device.tag]]
name = "x"
address = "constant:{local}"
"""
PRESS = '[[device]]\nname = "press"\ndriver = "simulated"\n[[device.tag]]\nname = "x"\naddress = "{address}"\n'


class JumpingLoop(asyncio.SelectorEventLoop):
    """Where everybody only waits for time to pass, it has passed."""

    def __init__(self) -> None:
        super().__init__()
        self._jumped = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def jump(timeout: float | None = None) -> Any:
            if timeout is None or timeout <= 0:
                return select(timeout)
            events = select(0)
            if not events:
                self._jumped += timeout
            return events

        self._selector.select = jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return super().time() + self._jumped


class ModelClock:
    """Trusted, or not; moved by the test."""

    def __init__(self) -> None:
        self.trusted = True
        self.time_us = 1_790_000_000_000_000

    def now(self) -> int:
        self.time_us += 1_000  # no two readings of it are alike
        return self.time_us


class ModelPlant:
    """Every device that is configured delivers what its address says, unless the plant is dead."""

    def __init__(self, configuration: Configuration, clock: ModelClock) -> None:
        self.configuration = configuration
        self.shared: MutableMapping[Hashable, Any] = {}
        self.clock = clock
        self.dies_when_switched = False
        self.switches: list[str] = []

    async def switch(self, configuration: Configuration) -> None:
        await asyncio.sleep(0)
        self.configuration = configuration
        self.switches.append(configuration.hash)

    async def try_platform(self, configuration: Configuration) -> None:
        raise AssertionError("no platform is configured")

    def reached_since(self, time_us: int) -> bool:
        return True

    @property
    def dead(self) -> bool:
        return self.dies_when_switched and bool(self.switches)

    def now(self) -> int:
        return self.clock.now()

    def devices(self) -> list[DeviceSnapshot]:
        state, good = ("down", 0) if self.dead else ("running", 1)
        return [
            DeviceSnapshot(device.name, state, good, 1 - good, 0, self.clock.now() if good else 0, 0.0, 0, 1, 1,
                           "no answer" if self.dead else "", "", (), {})
            for device in self.configuration.devices
        ]  # fmt: skip

    def latest(self) -> Iterator[LatestValue]:
        for device in self.configuration.devices:
            for tag in device.tags:
                yield LatestValue(tag.series, self.clock.now(), None if self.dead else 1.0, 0, "")


class Gateways(RuleBasedStateMachine):
    """Rules are what people and accidents do."""

    @initialize()
    def install(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "data").mkdir()
        self.admin = Signer("Li Wei")
        trust = {"keys": [self.admin.jwk()], "threshold": 1}
        (self.folder / "admins.jwks").write_text(json.dumps(trust), encoding="utf-8")
        self.loop = JumpingLoop()
        self.clock = ModelClock()
        self.local, self.overlay = 0, ""
        """The register of the local file, and the address of the overlay in force (empty: none)."""
        self.revision = 0
        self.bundles: dict[int, tuple[bytes, str]] = {}
        self.applied = {0: ""}
        self.edit(0)
        self.start()

    def start(self) -> None:
        """The agent starts."""
        self.journal = Journal(self.folder / "data" / "config")
        configuration, _ = compose(load(self.folder / "config.toml"), self.journal)
        self.plant = ModelPlant(configuration, self.clock)
        gateway = Gateway(id=lambda: GATEWAY, enrolled_admins=dict)
        self.control = Control(self.plant, self.journal, self.clock, gateway)

    def edit(self, local: int) -> None:
        text = LOCAL.format(folder=self.folder, local=local)
        (self.folder / "config.toml").write_text(text, encoding="utf-8")
        self.local = local

    def bundle(self, address: str, *, expires: str = "2099-01-01T00:00:00Z") -> bytes:
        self.revision += 1
        data = signed(
            self.admin, gateway_id=GATEWAY, revision=self.revision, config=PRESS.format(address=address),
            issued_at="2020-01-01T00:00:00Z", expires_at=expires,
        )  # fmt: skip
        self.bundles[self.revision] = (data, address)
        return data

    def offer(self, data: bytes) -> Refusal | None:
        return self.loop.run_until_complete(self.control.offer(data))

    def code(self, refusal: Refusal | None) -> str:
        return refusal.code if refusal else ""

    # -- what happens --------------------------------------------------------------------------------

    @rule(value=st.integers(1, 3))
    def push_a_good_revision(self, value: int) -> None:
        address = f"constant:{value}"
        refusal = self.offer(self.bundle(address))
        if self.control.locked:
            assert self.code(refusal) == "locked"
            return
        assert refusal is None, refusal
        self.overlay = address
        self.applied[self.revision] = address
        assert self.control.standing.running == self.revision

    @precondition(lambda self: not self.control.locked)
    @rule()
    def push_a_wrong_register_map(self) -> None:
        assert self.code(self.offer(self.bundle("bad:address"))) == "dry_run_failed"

    @precondition(lambda self: not self.control.locked)
    @rule()
    def push_what_stops_the_plant(self) -> None:
        self.plant.switches.clear()
        self.plant.dies_when_switched = True
        refusal = self.offer(self.bundle(f"constant:{100 + self.revision}"))
        self.plant.dies_when_switched = False
        assert self.code(refusal) == "probation_failed"
        assert len(self.plant.switches) == 2  # there and back

    @rule()
    def push_an_expired_revision(self) -> None:
        refusal = self.offer(self.bundle("constant:9", expires="2020-01-02T00:00:00Z"))
        assert self.code(refusal) == "expired"

    @precondition(lambda self: self.bundles)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.bundles)))
        before = self.plant.configuration
        if number <= self.control.standing.newest:
            refusal = self.offer(self.bundles[number][0])
            assert self.code(refusal) in ("", "not_newer", "expired")
            assert self.plant.configuration is before

    @precondition(lambda self: not self.control.locked)
    @rule(steps=st.integers(1, 60))
    def kill_during_an_attempt(self, steps: int) -> None:
        address = f"constant:{50 + self.revision}"
        task = self.loop.create_task(self.control.offer(self.bundle(address)))
        for _ in range(steps):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            if task.done():
                break
        if not task.done():
            task.cancel()
            self.loop.run_until_complete(asyncio.wait({task}))
        elif task.result() is None:
            self.overlay, self.applied[self.revision] = address, address
        self.start()  # nothing in memory survives

    @rule()
    def restart(self) -> None:
        self.start()

    @rule(local=st.integers(0, 3))
    def edit_the_local_file(self, local: int) -> None:
        self.edit(local)
        assert self.loop.run_until_complete(self.control.reload()) is None

    @rule()
    def lock_or_unlock(self) -> None:
        self.loop.run_until_complete(self.control.lock(0.0 if self.control.locked else 3600.0))
        if not self.control.locked:
            held = self.control._held
            self.loop.run_until_complete(self.control.look_again())
            number = self.control.standing.running
            if held is not None and number in self.bundles and number not in self.applied:
                self.overlay = self.applied[number] = self.bundles[number][1]

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.applied)))
        if number and self.journal.revision(number) is None:
            return
        assert self.loop.run_until_complete(self.control.roll_back(number)) is None
        self.overlay = self.applied[number]

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def the_plant_runs_what_is_proven(self) -> None:
        if not hasattr(self, "control"):
            return
        (device,) = self.plant.configuration.devices
        assert device.tags[0].point.address == (self.overlay or f"constant:{self.local}")

    @invariant()
    def a_restart_would_change_nothing(self) -> None:
        if not hasattr(self, "control"):
            return
        configuration, standing = compose(load(self.folder / "config.toml"), self.journal)
        assert configuration.hash == self.plant.configuration.hash
        assert standing == self.control.standing

    @invariant()
    def a_failure_says_why_and_nothing_else_does(self) -> None:
        if not hasattr(self, "control"):
            return
        standing = self.control.standing
        assert standing.state != "APPLYING"
        assert bool(standing.last_error) == (standing.state == "FAILED")
        assert standing.running in self.applied

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()
            shutil.rmtree(self.folder)


TestGateways = Gateways.TestCase
TestGateways.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
