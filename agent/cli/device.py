"""``gongfu-edge device learned NAME``: what was learned about a device, and how to forget it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from agent.cli.main import parser_for
from agent.cli.times import iso
from agent.errors import GongfuError
from agent.table import one_line, table


def main(arguments: Sequence[str]) -> int:
    """Show the record, or reset it."""
    example = "  gongfu-edge device learned press-1\n  gongfu-edge device learned press-1 --forget"
    parser = parser_for("device", example=example)
    parser.add_argument("action", choices=["learned"], help="what was learned about it: holes, limits, habits")
    parser.add_argument("name", help="name of a device")
    parser.add_argument("--forget", action="store_true", help="reset it; a running agent learns anew at its next read")
    return _learned(parser.parse_args(arguments))


def _learned(options: Namespace) -> int:
    from agent.cli.owner import loaded
    from agent.learned import Unusable, file_of, load

    configuration = loaded(options.config)
    path = file_of(Path(configuration.file.gateway.data_dir), options.name)
    if options.forget:
        return _forget(options.name, path, [device.name for device in configuration.devices])
    try:
        record = load(path, options.name)
    except Unusable as error:
        denied = isinstance(error.__cause__, PermissionError)
        remedy = f"sudo gongfu-edge device learned {options.name}" + ("" if denied else " --forget")
        raise GongfuError(f"{path} {error}", remedy=remedy) from error
    if record is None:
        _known(options.name, [device.name for device in configuration.devices])
        print(f"{options.name}: nothing learned yet")
        return 0
    print(one_line(f"{options.name} ({record.of}), as of {iso(record.saved)}"))
    print(table(("what", "learned"), [(key, _words(value)) for key, value in sorted(record.learned.items())]))
    return 0


def _forget(name: str, path: Path, known: Sequence[str]) -> int:
    try:
        path.unlink()
    except FileNotFoundError:
        _known(name, known)
        print(f"{name}: nothing learned yet")
    except OSError as error:
        raise GongfuError(f"{path} cannot be removed: {error.strerror}", remedy="run it with sudo") from error
    else:
        print(f"{name}: forgotten; the device is learned anew")
    return 0


def _known(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise GongfuError(f"no device {name!r}", remedy=f"one of: {', '.join(known[:10])}")


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_words(each) for each in value[:50]) + (" …" if len(value) > 50 else "") or "–"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(each)}" for key, each in sorted(value.items())) or "–"
    return value if isinstance(value, str) else json.dumps(value)
