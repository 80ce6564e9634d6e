"""The machining centre: its history depends on the seed alone, and its nodes say what is true."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from scripts.sandbox.plant import Plant
from scripts.sandbox.plant.__main__ import main
from scripts.sandbox.plant.cnc import Cnc, ItemState
from scripts.sandbox.plant.serve import serving
from tests.support.ports import free_port

LONG = 8 * 3600.0
ENOUGH_S = 60.0
MACHINE = "urn:gongfu:plant:cnc-1"


def run(cnc: Cnc, to: float, step: float) -> list[Any]:
    events, at = [], 0.0
    while at < to:
        at = min(at + step, to)
        events += cnc.advance(at)
    return events


@pytest.mark.parametrize("step", [0.37, 10.0, LONG])
def test_history_does_not_depend_on_how_often_one_looks(step: float) -> None:
    a, b = Cnc(seed=7), Cnc(seed=7)
    assert run(a, LONG, 1.0) == run(b, LONG, step)
    assert (a.produced, a.good, a.state, a.alarm) == (b.produced, b.good, b.state, b.alarm)
    assert a.energy == pytest.approx(b.energy)


def test_energy_is_the_integral_of_power() -> None:
    cnc, kws, step = Cnc(seed=3), 0.0, 0.05
    for number in range(round(600 / step)):
        cnc.now = number * step
        list(cnc.advance(cnc.now))
        kws += cnc.power * step
    assert cnc.energy * 3600 == pytest.approx(kws, rel=1e-3)


def test_a_shift_has_everything_in_it() -> None:
    cnc, before = Cnc(seed=3), Cnc(seed=3).produced
    events = run(cnc, LONG, 60.0)
    parts = [event for event in events if event.what == "part"]
    assert cnc.produced - before == len(parts) > 800
    assert any(not event.detail["ok"] for event in parts)
    states = {event.detail["state"] for event in events if event.what == "state"}
    assert {ItemState.OUT_OF_SERVICE, ItemState.NOT_EXECUTING} <= states


def test_spindle_turns_only_while_it_cuts() -> None:
    cnc = Cnc(seed=3)
    for second in range(3600):
        list(cnc.advance(float(second)))
        assert (cnc.spindle_load > 0) == (cnc.state is ItemState.EXECUTING)
        assert bool(cnc.alarm) == (cnc.state is ItemState.OUT_OF_SERVICE)
        assert all(0 <= position <= 600 for position in cnc.axes)


async def test_its_nodes_say_what_is_true() -> None:
    plant, port = Plant(seed=2, speed=50.0), free_port()
    async with serving(plant, opcua_port=port), Client(f"opc.tcp://127.0.0.1:{port}", timeout=ENOUGH_S) as client:
        at = await client.get_namespace_index(MACHINE)
        end = time.monotonic() + ENOUGH_S
        first = plant.cnc.produced
        while (shown := await client.get_node(f"ns={at};s=PartsProduced").read_value()) <= first:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        assert first < shown <= plant.cnc.produced
        number = await client.get_node(f"ns={at};s=CurrentState.Number").read_value()
        assert number in list(ItemState)
        name = await client.get_node(f"ns={at};s=CurrentState").read_data_value()
        assert name.Value is not None
        assert name.Value.VariantType is ua.VariantType.LocalizedText
        assert len(await client.get_node(f"ns={at};s=AxisPositions").read_value()) == 3
        unit = await client.get_node(f"ns={at};s=SpindleLoad").get_child("0:EngineeringUnits")
        told = await unit.read_value()
        assert (told.DisplayName.Text, told.UnitId) == ("%", 0x5031)


async def test_truth_of_both_machines_is_told_in_order() -> None:
    told: list[dict[str, Any]] = []
    us = [1_700_000_000_000_000]
    plant = Plant(seed=4, speed=10.0, now_us=lambda: us[0], truth=told.append)
    for _ in range(60):
        us[0] += 10_000_000
        plant.advance()
    plant.finish()
    parts = [record for record in told if record["event"] == "part"]
    assert told[-1]["cnc"]["produced"] - told[0]["cnc"]["produced"] == len(parts) > 200
    stamps = [record["time_us"] for record in told if record["equipment"] in ("press-1", "cnc-1")]
    assert stamps == sorted(stamps)


def test_opcua_port_in_use_is_said_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["--tcp-port", "0", "--opcua-port", port]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
