"""Every type, from the server to the export: numbers exact as far as a float64 goes, texts as they are."""

from __future__ import annotations

import asyncio
import csv
import io
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.quality import Quality
from tests.support.agents import gongfu_edge, running
from tests.support.opcua_devices import ENOUGH_S, configuration, until, watched
from tests.support.opcua_servers import Node, Nursery, double, node, tag, variable

MODES = pytest.mark.parametrize("mode", ["subscribe", "poll"])
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
GOOD, UNCERTAIN, BAD = Quality.GOOD, Quality.UNCERTAIN, Quality.BAD
CASES: list[tuple[str, str, Any, float | str, Quality]] = [
    ("bool", "Boolean", True, 1.0, GOOD),
    ("int8", "SByte", -128, -128.0, GOOD),
    ("uint8", "Byte", 255, 255.0, GOOD),
    ("int16", "Int16", -32768, -32768.0, GOOD),
    ("uint16", "UInt16", 65535, 65535.0, GOOD),
    ("int32", "Int32", -12, -12.0, GOOD),
    ("uint32", "UInt32", 4294967284, 4294967284.0, GOOD),
    ("int64", "Int64", -(2**53), -(2.0**53), GOOD),
    ("int64_beyond", "Int64", 2**53 + 1, 2.0**53, Quality.IMPRECISE),
    ("uint64", "UInt64", 2**53, 2.0**53, GOOD),
    ("uint64_beyond", "UInt64", 2**64 - 1, 2.0**64, Quality.IMPRECISE),
    ("float32", "Float", 0.1, float(np.float32(0.1)), GOOD),
    ("float64", "Double", math.pi, math.pi, GOOD),
    ("string", "String", "铣床 Nº 1, „läuft“", "铣床 Nº 1, „läuft“", GOOD),
    ("empty", "String", "", "", GOOD),
    ("localised", "LocalizedText", "运行", "运行", GOOD),
    ("datetime", "DateTime", WHEN.isoformat(), WHEN.timestamp(), GOOD),
    ("nan", "Double", "nan", math.nan, Quality.INVALID),
    ("guid", "Guid", "12345678-1234-5678-1234-567812345678", math.nan, Quality.DECODE),
    ("bytes", "ByteString", "00ff", math.nan, Quality.DECODE),
    ("structure", "Structure", 3, math.nan, Quality.DECODE),
]
ENUM = variable("mode", "Enumeration", 2, enum=["Off", "Manual", "Automatic"])


def nodes() -> list[Node]:
    return [*(variable(name, kind, value) for name, kind, value, _, _ in CASES), ENUM]


@MODES
async def test_L14_every_type(nursery: Nursery, mode: str) -> None:
    tags = [tag(name) for name, *_ in CASES] + [tag("mode", kind="state")]
    with nursery.server(*nodes()) as server:
        async with watched(server.url, *tags, mode=mode) as device:
            await until(lambda: all(device.rows[each["name"]] for each in tags), "a row of each")
            assert device.rows["mode"][-1].value == 2.0
            for name, _, _, value, quality in CASES:
                row = device.rows[name][-1]
                assert row.quality is quality, name
                assert row.value == value or (value != value and row.value != row.value), name


@MODES
async def test_L14_scale_and_offset_go_over_every_number(nursery: Nursery, mode: str) -> None:
    with nursery.server(variable("a", "Int32", -12), variable("b", "UInt16[]", [10, 20])) as server:
        of = (tag("a", scale=0.5, offset=1.0), tag("b", count=2, scale=10.0), tag("c") | {"address": node("a")})
        async with watched(server.url, *of, mode=mode) as device:
            await device.is_("a", -5.0)
            await device.is_("b[1]", 200.0)
            await device.is_("c", -12.0)


@MODES
async def test_arrays_by_count_and_by_index(nursery: Nursery, mode: str) -> None:
    axes = variable("axes", "Double[]", [1.5, 2.5, 3.5])
    words = variable("words", "String[]", ["eins", "二"])
    tags = (
        tag("axes", count=3),
        {"name": "y", "address": f"index=1;{node('axes')}"},
        {"name": "beyond", "address": f"index=3;{node('axes')}"},
        {"name": "word", "address": f"index=1;{node('words')}", "type": "string"},
    )
    with nursery.server(axes, words) as server:
        async with watched(server.url, *tags, mode=mode) as device:
            await device.is_("axes[2]", 3.5)
            await device.is_("y", 2.5)
            await device.is_("word", "二")
            await device.is_bad("beyond")
            server.do("write", node=node("axes"), value=[10.0, 20.0, 30.0, 40.0])
            await device.is_("axes[0]", 10.0)
            await device.is_("y", 20.0)
            await device.is_("beyond", 40.0)
            server.do("write", node=node("axes"), value=[0.5])
            await device.is_("axes[0]", 0.5)
            await device.is_bad("y")


@MODES
async def test_a_bad_status_is_recorded_with_its_cause_and_never_as_a_value(nursery: Nursery, mode: str) -> None:
    with nursery.server(double("a", 1.0), double("b", 2.0)) as server:
        async with watched(server.url, tag("a"), tag("b"), mode=mode) as device:
            await device.is_("a", 1.0)
            for code, quality in (
                ("BadSensorFailure", Quality.DEVICE),
                ("BadNotReadable", Quality.REFUSED),
                ("BadNoCommunication", Quality.CONNECTION),
            ):
                server.do("write", node=node("a"), value=1.0, code=code)
                await device.is_bad("a", quality)
                assert device.rows["a"][-1].value != device.rows["a"][-1].value
            server.do("write", node=node("a"), value=9.0, code="UncertainSensorNotAccurate")
            await device.is_("a", 9.0)
            assert device.rows["a"][-1].quality is UNCERTAIN
            server.do("write", node=node("a"), value=10.0)
            await device.is_("a", 10.0)
            assert device.rows["a"][-1].quality is GOOD
            assert device.values("b") == [2.0], "nothing of it touched the neighbour"


@MODES
async def test_a_declared_type_that_the_server_does_not_have_is_said(nursery: Nursery, mode: str) -> None:
    with nursery.server(variable("a", "String", "nineteen"), double("b", 2.0)) as server:
        async with watched(server.url, tag("a", type="float64"), tag("b"), mode=mode) as device:
            await device.is_("b", 2.0)
            await device.is_bad("a", Quality.DECODE)
            assert any("a" in fault for fault in device.snapshot.faults)


async def test_L14_every_type_end_to_end_through_export(nursery: Nursery, tmp_path: Path) -> None:
    tags = [tag(name) for name, *_ in CASES] + [tag("mode", kind="state")]
    with nursery.server(*nodes()) as server:
        text = configuration(server.url, *tags)
        gateway = f'[gateway]\nname = "lab"\ndata_dir = "{tmp_path / "data"}"\n[buffer]\nflush = "100ms"\n'
        gateway += '[console]\nlisten = ""\n'
        config = tmp_path / "config.toml"
        config.write_text(text.replace('[gateway]\nname = "lab"\n', gateway), encoding="utf-8")
        with running(config) as agent:
            loop = asyncio.get_running_loop()
            end = loop.time() + 2 * ENOUGH_S
            rows: dict[str, dict[str, str]] = {}
            while len(rows) < len(tags):
                assert loop.time() < end, f"only {sorted(rows)} were exported"
                assert agent.poll() is None
                rows = await asyncio.to_thread(exported, config)
    assert (rows["cnc.mode"]["value"], rows["cnc.mode"]["quality"]) == ("2", "good")
    for name, _, _, value, quality in CASES:
        row = rows[f"cnc.{name}"]
        assert (row["quality"], row["quality_cause"]) == (quality.level, quality.cause), name
        if isinstance(value, str):
            assert row["value"] == value, name
        elif value == value:
            assert float(row["value"]) == value, name
        else:
            assert row["value"] == "", name


def exported(config: Path) -> dict[str, dict[str, str]]:
    """Tag → its last row."""
    done = gongfu_edge("export", "--from", "1h", "--to", "now", "--config", str(config))
    assert done.returncode == 0 or "nothing recorded yet" in done.stderr, done.stderr
    return {row["tag"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
