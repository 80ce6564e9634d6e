"""``gongfu-edge read DEVICE [TAG…]``: one read, now, straight from the device."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agent.cli.main import parser_for
from agent.cli.times import nearest
from agent.errors import GongfuError
from agent.table import table
from drivers.contract import Point

if TYPE_CHECKING:
    from agent.cli.from_agent import Told
    from agent.config.model import Device, Tag

Row: TypeAlias = tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """Print tag, value, unit and quality; exit 1 when a value is bad."""
    parser = parser_for("read", example="  gongfu-edge read press-1\n  gongfu-edge read press-1 oil_temp pressure")
    parser.add_argument("device", help="name of a configured device")
    parser.add_argument("tag", nargs="*", help="only these tags (default: all)")
    options = parser.parse_args(arguments)
    rows, bad = _read(options.config, options.device, options.tag)
    print(table(("tag", "value", "unit", "quality"), rows))
    return 1 if bad else 0


def _read(path: Path, name: str, wanted: Sequence[str]) -> tuple[list[Row], bool]:
    from agent.cli.from_agent import ask_agent
    from agent.cli.owner import loaded

    configuration = loaded(path)
    devices = {device.name: device for device in configuration.devices}
    if name not in devices:
        raise GongfuError(f"no device {name!r} in {path}", remedy=nearest(name, list(devices)))
    device = devices[name]
    tags = {tag.point.name: tag for tag in device.tags}
    for tag in wanted:
        if tag not in tags:
            raise GongfuError(f"no tag {tag!r} on device {name}", remedy=nearest(tag, list(tags)))
    chosen = [tag for tag in device.tags if not wanted or tag.point.name in wanted]
    try:
        return asyncio.run(_read_device(device, Path(configuration.file.gateway.data_dir), chosen))
    except GongfuError as error:
        told = ask_agent(configuration, device, error)
    print(f"{name}: {told.how}")
    return _told(told, chosen)


async def _read_device(device: Device, data_dir: Path, chosen: Sequence[Tag]) -> tuple[list[Row], bool]:
    from agent.driving import asked, create_driver
    from drivers.contract import PointGroup
    from drivers.quality import cause, level

    points = tuple(tag.point for tag in chosen)
    driver = create_driver(device, data_dir, lambda: time.time_ns() // 1000, {})
    with asked(device.name):
        try:
            await driver.open()
            samples = await driver.read(PointGroup(points, device.interval))
        finally:
            await driver.close()
    rows = {}
    for row, index in enumerate(samples.index.tolist()):
        tag_of = device.tags[index]
        code = int(samples.quality[row])
        value = samples.text.get(row, shown(float(samples.value[row]), tag_of.point) if level(code) != "bad" else "–")
        rows[index] = (tag_of.point.name, value, tag_of.unit, " ".join(filter(None, (level(code), cause(code)))))
    return [rows[index] for index in sorted(rows)], bool((samples.quality >= 128).any())


def _told(told: Told, chosen: Sequence[Tag]) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    bad = False
    for tag in chosen:
        each = told.values.get(tag.series)
        if each is None:
            bad = True
            rows.append((tag.point.name, "–", tag.unit, "bad"))
            continue
        bad |= each.quality == "bad"
        value = shown(each.value, tag.point) if isinstance(each.value, float) else each.value or "–"
        rows.append((tag.point.name, value, tag.unit, " ".join(filter(None, (each.quality, each.quality_cause)))))
    return rows, bad


def shown(value: float, point: Point) -> str:
    """The shortest text that is this value, as the device keeps it; a date as a date (UTC)."""
    if point.type == "datetime":
        try:
            return datetime.fromtimestamp(value, UTC).isoformat(" ", "milliseconds").replace("+00:00", "Z")
        except (ValueError, OverflowError, OSError):
            return repr(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    single = np.float32(value)
    if np.isfinite(single) and float(single) == value:
        return str(single)
    # What was scaled has the digits of what it was scaled from.
    return f"{value:.7g}" if point.type == "float32" else f"{value:.15g}"
