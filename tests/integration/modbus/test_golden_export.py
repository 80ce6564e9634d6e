"""L14, end to end: a server that is not ours, the agent as a process, and what ``export`` says."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.agents import gongfu_edge, running, write_config
from tests.support.modbus_devices import foreign_server, golden, golden_points

CASES = golden()
CAUSES = {"imprecise": "uncertain", "invalid": "bad", "decode": "bad"}
"""Qualities in the golden file, and the level that ``export`` gives them."""


def tag(number: int, case: Mapping[str, Any], address: str) -> str:
    """A tag's inline table."""
    keys = {key: case[key] for key in ("type", "order", "length", "scale", "offset", "invalid") if key in case}
    keys |= {"name": f"t{number}", "address": address}
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()) + " }"


def export(config: Path, form: str) -> subprocess.CompletedProcess[str]:
    """All that was recorded; it fails before there is anything."""
    return gongfu_edge("export", "--from", "1h", "--format", form, "--config", str(config))


def recorded(config: Path, form: str) -> dict[int, dict[str, Any]]:
    """What ``export`` gives, by number of the case: the first row of each."""
    done = export(config, form)
    assert done.returncode == 0, done.stderr
    lines: Any = (
        csv.DictReader(io.StringIO(done.stdout)) if form == "csv" else map(json.loads, done.stdout.splitlines())
    )
    found: dict[int, dict[str, Any]] = {}
    for row in lines:
        found.setdefault(int(row["tag"].removeprefix("plc.t")), row)
    return found


def as_csv(case: Mapping[str, Any]) -> str:
    """The cell that a case's value must be: a text to the letter, a whole number without a point."""
    if "text" in case:
        return str(case["text"])
    value = case["value"]
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


async def test_L14_golden_values_through_export(tmp_path: Path) -> None:
    points, registers = golden_points(CASES)
    async with foreign_server("tcp", tmp_path, registers) as options:
        tags = ",\n".join(tag(point.index, CASES[point.index], point.address) for point in points)
        connection = f'{{ transport = "tcp", host = "127.0.0.1", port = {options.port} }}'
        device = f'[[device]]\nname = "plc"\ndriver = "modbus"\nconnection = {connection}\ntag = [\n{tags}\n]\n'
        config = write_config(tmp_path, device)
        with running(config) as process:
            async with asyncio.timeout(150):
                while (await asyncio.to_thread(export, config, "jsonl")).stdout.count("\n") < len(CASES):
                    assert process.poll() is None, process.communicate()[1]
            await asyncio.to_thread(stop, process)
    in_json, in_csv = recorded(config, "jsonl"), recorded(config, "csv")
    for number, case in enumerate(CASES):
        quality = case.get("quality", "good")
        level = CAUSES.get(quality, "good")
        said = {"quality": level, "quality_cause": quality if level != "good" else ""}
        value = case.get("text", case.get("value"))
        assert {key: in_json[number][key] for key in ("value", *said)} == {"value": value} | said, case
        assert isinstance(in_json[number]["value"], str) == ("text" in case), case
        assert {key: in_csv[number][key] for key in ("value", *said)} == {"value": as_csv(case)} | said, case


def stop(process: subprocess.Popen[str]) -> None:
    """End the agent as systemd does."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_L14_the_golden_cases_hold_what_went_wrong_elsewhere() -> None:
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        assert any((case["type"], case["order"], case.get("value")) == ("int32", order, -12) for case in CASES)
        assert any((case["order"], case.get("text")) == (order, "007") for case in CASES)
    types = {"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"}
    assert {case["type"] for case in CASES} == types | {"bcd16", "bcd32", "string"}
