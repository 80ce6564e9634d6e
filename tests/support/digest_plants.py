"""Small plants for digest tests: a configuration, and batches as the recorder would cut them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from agent.buffer.batch import Batch
from agent.buffer.records import Event, Loss
from agent.config.model import (
    Configuration,
    Device,
    DigestSection,
    EnterpriseSection,
    EquipmentSection,
    FileSection,
    GatewaySection,
    Seconds,
    Tag,
)
from agent.digest.equipment.sums import MachineSums
from agent.digest.equipment.times import Carry
from agent.digest.inputs import DigestInputs, Facts
from agent.digest.rollups import DeviceSums, Sums, day_of
from agent.digest.spec import DigestSpec, compile_spec, group_interval
from agent.digest.windows import Period
from drivers.contract import DriverType, Point

SECOND = 1_000_000
START = 1_790_000_100 * SECOND
"""A multiple of 900 s and of 60 s."""

FACTS = Facts(
    gateway="gw-test",
    seq=1,
    previous="0" * 64,
    timezone="Asia/Shanghai",
    config_hash="c" * 64,
    agent_version="test",
    clock_trusted=True,
    clock_source="ntp",
)


class _Options(msgspec.Struct):
    pass


def _no_driver(*_: Any) -> Any:
    raise AssertionError("no digest test drives a device")


DRIVER = DriverType(name="none", options=_Options, create=_no_driver)


def tag(name: str, index: int = 0, **options: Any) -> Tag:
    """A tag; keys of ``Tag`` and ``Point`` mixed. ``name`` is the full name."""
    ours = {"unit": "", "kind": "gauge", "rollover": None, "sensitivity": 1}
    own = {key: options.pop(key, default) for key, default in ours.items()}
    return Tag(series=name, point=Point(index=index, name=name, address="holding:100", **options), **own)


def device(name: str, tags: Sequence[Tag], interval: float = 1.0) -> Device:
    return Device(name=name, driver="none", interval=interval, type=DRIVER, options=_Options(), tags=tuple(tags))


def configuration(
    devices: Sequence[Device],
    *,
    share: Sequence[str] = (),
    period: float = 60.0,
    enterprise: EnterpriseSection | None = None,
    data_dir: str = "/nonexistent",
    equipment: Sequence[EquipmentSection] = (),
    timezone: str = "Asia/Shanghai",
) -> Configuration:
    file = FileSection(
        gateway=GatewaySection(name="gw", data_dir=data_dir, timezone=timezone),
        equipment=tuple(equipment),
        digest=DigestSection(period=Seconds(period), share=tuple(share)),
        enterprise=enterprise or EnterpriseSection(),
    )
    return Configuration(file=file, path=Path("config.toml"), devices=tuple(devices), hash="c" * 64)


def ids(plant: Configuration) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """Series and group ids as a store would give them: not in the order of the configuration."""
    names = sorted((each.series for one in plant.devices for each in one.tags), reverse=True)
    keys = sorted({(one.name, group_interval(each.point.interval)) for one in plant.devices for each in one.tags})
    return {name: 3 + 2 * i for i, name in enumerate(names)}, {key: 5 + 2 * i for i, key in enumerate(keys)}


def spec_of(plant: Configuration) -> DigestSpec:
    return compile_spec(plant, *ids(plant))


Sample = tuple[int, float, float | str, int]
"""(series id, time in us, value or text, quality)."""
Scan = tuple[int, int, int]
"""(group id, time in us, late)."""


def batch(samples: Iterable[Sample] = (), scans: Iterable[Scan] = ()) -> Batch:
    """Sorted as the recorder sorts."""
    rows, runs = sorted(samples, key=lambda row: row[:2]), sorted(scans, key=lambda run: run[1])
    return Batch(
        series=np.array([row[0] for row in rows], np.int32),
        time=np.array([row[1] for row in rows], np.int64),
        value=np.array([math.nan if isinstance(row[2], str) else row[2] for row in rows], np.float64),
        text={number: row[2] for number, row in enumerate(rows) if isinstance(row[2], str)},
        quality=np.array([row[3] for row in rows], np.uint8),
        scan_group=np.array([run[0] for run in runs], np.int32),
        scan_time=np.array([run[1] for run in runs], np.int64),
        scan_late=np.array([run[2] for run in runs], np.int32),
    )


def cut(samples: Sequence[Sample], scans: Sequence[Scan], cuts: Iterable[int]) -> list[Batch]:
    """The same samples and scans in batches that end before each of the times ``cuts``."""
    edges = [-(2**60), *sorted(cuts), 2**60]
    return [
        batch([s for s in samples if low <= s[1] < high], [s for s in scans if low <= s[1] < high])
        for low, high in itertools.pairwise(edges)
    ]


def scenario(path: Path) -> tuple[DigestInputs, dict[str, Any]]:
    """A data folder of ``tests/testcases/digest-*``: ``input.json`` and ``expected.json``.

    Times in the folder are seconds from the period's start. ``scans`` holds, by device, lists of
    ``[first, step, count]`` or ``[first, step, count, late]``; ``samples``, by series, ``[time, value]`` or
    ``[time, value, quality]``, value null for none, text in quotes. ``days``: sums of days before, see :func:`_day`.
    """
    given = json.loads((path / "input.json").read_text(encoding="utf-8"))
    devices = [
        device(
            one["name"],
            [tag(each.pop("name"), index, interval=one["interval"], **each) for index, each in enumerate(one["tags"])],
            one["interval"],
        )
        for one in given["devices"]
    ]
    plant = configuration(
        devices,
        share=given["share"],
        enterprise=msgspec.convert(given.get("enterprise", {}), EnterpriseSection),
        equipment=msgspec.convert(
            given.get("equipment", []), tuple[EquipmentSection, ...], dec_hook=lambda kind, value: kind(value)
        ),
        timezone=given.get("timezone", "Asia/Shanghai"),
    )
    start = _start(given)
    series, groups = ids(plant)

    def at(seconds: float) -> int:
        return start + round(seconds * SECOND)

    samples = [
        (series[name], at(row[0]), _value(row[1]), row[2] if len(row) > 2 else 0)
        for name, rows in given["samples"].items()
        for row in rows
    ]
    group_of = {name: number for (name, _), number in groups.items()}
    scans = [
        (group_of[name], at(first + step * i), late[0] if late and i == 0 else 0)
        for name, runs in given["scans"].items()
        for first, step, count, *late in runs
        for i in range(count)
    ]
    inputs = DigestInputs(
        period=Period(start, at(given["period_s"])),
        spec=spec_of(plant),
        enterprise=plant.file.enterprise,
        facts=FACTS,
        batches=cut(samples, scans, [at(each) for each in given.get("cuts", [])]),
        events=[Event(at(row[0]), *row[1:]) for row in given.get("events", [])],
        losses=[Loss(at(row[0]), at(row[1]), *row[2:]) for row in given.get("losses", [])],
        carries={name: Carry(**each) for name, each in given.get("carries", {}).items()},
        days=[_day(each, plant.file.gateway.timezone) for each in given.get("days", [])],
    )
    return inputs, json.loads((path / "expected.json").read_text(encoding="utf-8"))


def _value(given: float | str | None) -> float | str:
    return given if isinstance(given, str) else math.nan if given is None else float(given)


def _day(given: dict[str, Any], timezone: str) -> Sums:
    """``date``, and what ``machines`` and ``devices`` have that is not 0; all of the day is recorded."""
    zone = ZoneInfo(timezone)
    day = day_of(round(datetime.fromisoformat(given["date"]).replace(tzinfo=zone).timestamp()) * SECOND, zone)
    return Sums(
        start=day.start,
        end=day.end,
        covered_us=day.length,
        machines={name: MachineSums(span_us=day.length, **each) for name, each in given.get("machines", {}).items()},
        devices={name: DeviceSums(**each) for name, each in given.get("devices", {}).items()},
    )


def _start(given: dict[str, Any]) -> int:
    """``start``: ISO 8601 with its offset; a round moment where it does not matter."""
    if "start" not in given:
        return START
    return round(datetime.fromisoformat(given["start"]).timestamp()) * SECOND
