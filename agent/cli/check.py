"""``gongfu-edge check``: the configuration's summary, or every problem; with ``--connect`` the devices too."""

from __future__ import annotations

import argparse
import asyncio
import difflib
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.main import parser_for
from agent.cli.progress import progress
from agent.errors import GongfuError
from agent.table import one_line, table

if TYPE_CHECKING:
    from agent.config.model import Configuration, Device
    from agent.health.model import DeviceStatus
    from agent.trial import Trial

EXAMPLE = """  gongfu-edge check --config press-shop.toml
  gongfu-edge check --connect
  gongfu-edge check --connect --trust cnc-1"""
TAGS_SHOWN = 4


def main(arguments: Sequence[str]) -> int:
    """Print the summary; problems are raised and printed by the entry point (exit 78).

    With ``--connect``: exit 1 when something is wrong with a device.
    """
    parser = parser_for("check", example=EXAMPLE)
    parser.add_argument("device", nargs="*", help="with --connect: only these devices (default: all)")
    parser.add_argument("--connect", action="store_true", help="open each device and read every tag once")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="with --connect: trust the certificates that the devices show now",
    )
    parser.add_argument("--within", default="30s", metavar="T", help="with --connect: time for a device (default: 30s)")
    options = parser.parse_args(arguments)
    if (options.trust or options.device) and not options.connect:
        parser.error("devices and --trust need --connect")
    within_s = _seconds(parser, options.within)
    from agent.cli.owner import become_owner
    from agent.config.parse import load
    from agent.config.serial_ports import port_warnings
    from agent.config.summary import summary

    configuration = load(options.config)
    devices = _chosen(configuration, options) if options.connect else ()
    if options.connect:
        become_owner(Path(configuration.file.gateway.data_dir))
    doubts = (*configuration.warnings, *port_warnings(configuration), *_trust_warnings(configuration))
    print(summary(configuration, doubts))
    return asyncio.run(_connect(configuration, devices, options.trust, within_s)) if options.connect else 0


def _trust_warnings(configuration: Configuration) -> tuple[str, ...]:
    remote = configuration.file.remote
    if not (remote.allow and remote.trust_file) or remote.trust_path.exists():
        return ()
    text = f"remote.trust_file: {remote.trust_path} is missing, so no administrator is trusted"
    return (f"{text}; put the administrators' list there, or correct the path",)


def _seconds(parser: argparse.ArgumentParser, text: str) -> float:
    from agent.config.units import DURATION_REMEDY, parse_seconds

    found = parse_seconds(text)
    if not found:
        parser.error(f'--within: "{text}" is no duration; {DURATION_REMEDY}')
    return float(found)


def _chosen(configuration: Configuration, options: Namespace) -> tuple[Device, ...]:
    known = {device.name: device for device in configuration.devices}
    for name in options.device:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join([*known][:10])}"
            raise GongfuError(f"no device {name!r} in {options.config}", remedy=remedy)
    return tuple(device for device in configuration.devices if not options.device or device.name in options.device)


async def _connect(configuration: Configuration, devices: Sequence[Device], trust: bool, within_s: float) -> int:
    from agent.trial import excused, trying

    done: list[Trial] = []
    running: Mapping[str, DeviceStatus] | None = None
    data_dir = Path(configuration.file.gateway.data_dir)
    async with trying(devices, data_dir, trust=trust, within_s=within_s) as tasks:
        for task in tasks:
            progress(f"waiting for {task.get_name().removeprefix('try ')} …")
            trial = await task
            progress("")
            if trial.failed:
                running = await asyncio.to_thread(_running, configuration) if running is None else running
                trial = excused(trial, running)
            done.append(trial)
            print("\n" + _show(trial), flush=True)
    wrong = sum(not trial.ok for trial in done)
    print(
        f"\n{len(done)} device{'' if len(done) == 1 else 's'}: {len(done) - wrong} ok, {wrong} with something to mend"
    )
    if trust and any(trial.told for trial in done):
        print("a running agent takes up what is trusted now within 5 minutes; at once: systemctl restart gongfu-edge")
    return 1 if wrong else 0


def _running(configuration: Configuration) -> Mapping[str, DeviceStatus]:
    """The devices of the agent that runs with this configuration; empty if there is none."""
    from agent.cli.status import fetch
    from agent.health.status import decode

    try:
        status = decode(fetch(configuration.file.console.listen, "/api/status"))
    except GongfuError:
        return {}
    same = status.config.running_hash == configuration.hash
    return {device.name: device for device in status.devices} if same else {}


def _show(trial: Trial) -> str:
    verdict = "ok" if trial.ok else "failed" if trial.failed else "something is wrong"
    lines = [f"{trial.device} ({trial.driver}): {verdict}, {trial.good} of {trial.tags} tags, {trial.seconds:.1f} s"]
    lines += [f"  {one_line(text)}" for text in trial.told]
    if not trial.tags and not trial.failed:
        lines.append(
            "  no tags: nothing was tested but that it answers → add [[device.tag]], or tags_file, or a template"
        )
    if trial.values:
        lines += [f"  {line}" for line in table((), trial.values, right=(1,)).splitlines()]
    rows = [(_names(each.tags), each.what, each.remedy or "–") for each in trial.findings]
    if rows:
        body = table(("tag", "what is wrong", "how to mend it"), rows)
        lines += [f"  {line}" for line in body.splitlines()]
    return "\n".join(lines)


def _names(tags: Sequence[str]) -> str:
    if not tags:
        return "(all)"
    more = f" and {len(tags) - TAGS_SHOWN} more" if len(tags) > TAGS_SHOWN else ""
    return ", ".join(tags[:TAGS_SHOWN]) + more
