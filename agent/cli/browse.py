"""``gongfu-edge browse DEVICE [PATH]``: what a device has, and ready tag entries of it."""

from __future__ import annotations

import asyncio
import difflib
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.main import parser_for
from agent.cli.progress import progress
from agent.errors import GongfuError

if TYPE_CHECKING:
    from drivers.browsing import Tree

EXAMPLE = """  gongfu-edge browse cnc-1
  gongfu-edge browse cnc-1 /Objects/Machines --depth 3
  gongfu-edge browse cnc-1 "ns=2;s=Spindle" --toml >> tags.toml"""


def main(arguments: Sequence[str]) -> int:
    """Print the tree, or with ``--toml`` what to add to the configuration."""
    parser = parser_for("browse", example=EXAMPLE)
    parser.add_argument("device", help="name of a configured device")
    parser.add_argument("path", nargs="?", default="", help="where to begin: a browse path or a node id")
    parser.add_argument("--depth", type=int, default=8, metavar="N", help="levels to go down (default: 8)")
    parser.add_argument("--limit", type=int, default=2000, metavar="N", help="nodes to look at (default: 2000)")
    parser.add_argument("--toml", action="store_true", help="print [[device.tag]] entries for the configuration")
    options = parser.parse_args(arguments)
    if options.depth < 1 or options.limit < 1:
        parser.error("--depth and --limit are at least 1")
    progress(f"looking around in {options.device} …")
    try:
        tree = asyncio.run(_browse(options))
    finally:
        progress("")
    from agent.outline import equipment, outline, proposal

    print(proposal(tree, options.device) if options.toml else outline(tree))
    if tree.states and not options.toml:
        print(f"\nstates of machines (--toml prints the tags too):\n\n{equipment(tree, options.device)}")
    for note in tree.notes:
        print(f"{note}: begin further down, or raise --depth or --limit", file=sys.stderr)
    return 0


async def _browse(options: Namespace) -> Tree:
    from agent.cli.owner import loaded
    from agent.driving import asked, lend
    from drivers.browsing import Wanted

    configuration = loaded(options.config)
    devices = {device.name: device for device in configuration.devices}
    device = devices.get(options.device)
    if device is None:
        near = difflib.get_close_matches(options.device, devices, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join([*devices][:10])}"
        raise GongfuError(f"no device {options.device!r} in {options.config}", remedy=remedy)
    if device.type.browse is None:
        message = f"{device.name}: a {device.driver} device does not tell what it has, so it cannot be browsed"
        remedy = f"take the addresses from its manual or a template; gongfu-edge read {device.name} shows its tags"
        raise GongfuError(message, remedy=remedy)
    data_dir = Path(configuration.file.gateway.data_dir)
    context = lend(device, data_dir, lambda: time.time_ns() // 1000, {})
    with asked(device.name):
        return await device.type.browse(
            device.options, context, Wanted(start=options.path, depth=options.depth, most=options.limit)
        )
