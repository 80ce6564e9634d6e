"""``gongfu-edge read DEVICE [TAG…]``: one read, now, straight from the device."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from agent.cli.main import parser_for
from agent.cli.times import nearest
from agent.errors import GongfuError
from agent.table import table
from drivers.contract import Point


def main(arguments: Sequence[str]) -> int:
    """Print tag, value, unit and quality; exit 1 when a value is bad."""
    parser = parser_for("read", example="  gongfu-edge read press-1\n  gongfu-edge read press-1 oil_temp pressure")
    parser.add_argument("device", help="name of a configured device")
    parser.add_argument("tag", nargs="*", help="only these tags (default: all)")
    options = parser.parse_args(arguments)
    rows, bad = asyncio.run(_read(options.config, options.device, options.tag))
    print(table(("tag", "value", "unit", "quality"), rows))
    return 1 if bad else 0


async def _read(path: Path, name: str, wanted: Sequence[str]) -> tuple[list[tuple[str, ...]], bool]:
    from agent.cli.owner import loaded
    from agent.driving import asked, create_driver
    from drivers.contract import PointGroup
    from drivers.quality import cause, level

    configuration = loaded(path)
    devices = {device.name: device for device in configuration.devices}
    if name not in devices:
        raise GongfuError(f"no device {name!r} in {path}", remedy=nearest(name, list(devices)))
    device = devices[name]
    tags = {tag.point.name: tag for tag in device.tags}
    for tag in wanted:
        if tag not in tags:
            raise GongfuError(f"no tag {tag!r} on device {name}", remedy=nearest(tag, list(tags)))
    points = tuple(tag.point for tag in device.tags if not wanted or tag.point.name in wanted)
    data_dir = Path(configuration.file.gateway.data_dir)
    driver = create_driver(device, data_dir, lambda: time.time_ns() // 1000, {})
    with asked(name):
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
