"""``gongfu-edge admin prescribe``: sign a prescription for one gateway's plant, and hand it in."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import GongfuError

if TYPE_CHECKING:
    from agent.control.admin_key import AdminKey

EXAMPLE = """a file:
  id = "rx-2026-014"                     # names it at this gateway, for ever
  revision = 1                           # a higher one replaces it, and is decided anew
  from = 2026-12-01
  until = 2027-02-28                     # last day; the effect is measured until then
  text = { en = "A third of the energy is used while idle.", zh = "三分之一的电能消耗于空载。" }
  measure = { en = "Switch the pump off after 5 min.", zh = "空载5分钟后停泵。" }
  target = { indicator = "ENPI.IDLE_SHARE", machine = "press-1", at_most = 0.15 }
  finding = [{ rule = "idle_energy", name = "press-1", seq = 812 }]
  # withdrawn = true                     # in a higher revision: nobody shall carry it out any more
example:
  gongfu-edge admin prescribe rx.toml --gateway gw-0123456789abcdef --key wang.key --url https://platform.example/api/v1
  gongfu-edge admin prescribe --add rx.prescription --key li.key --url https://platform.example/api/v1"""


def add_prescribe(parser: ArgumentParser) -> None:
    """The arguments of ``prescribe``."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("file", type=Path, nargs="?", metavar="TOML", help="what is prescribed; see below")
    parser.add_argument("--key", type=Path, action="append", required=True, metavar="FILE", help="your private key")
    parser.add_argument("--add", type=Path, metavar="FILE", help="add your signature to this prescription instead")
    parser.add_argument("--gateway", default="", metavar="ID", help="for this gateway, where the file does not say")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the result (default: TOML's name with .prescription)")
    parser.add_argument("--url", default="", help="the platform's base URL: hand it in there")
    parser.add_argument("--ca-file", default="", metavar="FILE", help="certificates to trust, not the bundled ones")
    parser.add_argument("--proxy", default="", metavar="URL")


def prescribe(options: Namespace) -> int:
    """Sign, write, and hand in where ``--url`` says where."""
    from agent.control.admin_key import AdminKey

    if (options.add is None) == (options.file is None):
        raise GongfuError(
            "prescribe takes either a TOML file or --add FILE", remedy="gongfu-edge admin prescribe --help"
        )
    keys = [AdminKey.load(path) for path in options.key]
    out = options.out or options.add or options.file.with_suffix(".prescription")
    data = _added(options, keys) if options.add else _signed(options, keys)
    _write(out, data)
    _describe(data, out)
    return _hand_in(options, keys[0], data) if options.url else 0


def _signed(options: Namespace, keys: list[AdminKey]) -> bytes:
    from agent.control.prescribing import make_prescription, read_draft

    claims = read_draft(options.file, options.gateway, time.time_ns() // 1000)
    if not claims["gateway_id"]:
        raise GongfuError(f"{options.file} is for nobody", remedy="give --gateway ID; admin status lists them")
    return make_prescription(keys, claims, options.file.name)


def _added(options: Namespace, keys: list[AdminKey]) -> bytes:
    from agent.control.prescribing import add_signature

    try:
        data: bytes = options.add.read_bytes()
    except OSError as error:
        raise GongfuError(f"{options.add}: {error.strerror}", remedy="correct the path") from error
    for key in keys:
        data = add_signature(data, key, options.add.name)
    return data


def _hand_in(options: Namespace, key: AdminKey, data: bytes) -> int:
    from agent.control.fleet import Fleet

    receipt = Fleet(options.url, key, ca_file=options.ca_file, proxy=options.proxy).prescribe(data)
    if receipt.offered:
        print("handed in  the gateway asks for it within half an hour")
        return 0
    missing = f"{len(receipt.signers)} of {receipt.threshold} signatures; the platform keeps it until there are more"
    print(f"{missing} → gongfu-edge admin prescribe --add", file=sys.stderr)
    return 0


def _describe(data: bytes, out: Path) -> None:
    from agent.control.prescribing import open_prescription

    envelope = open_prescription(data, str(out))
    content = envelope.payload
    target = content.target
    print(f"{content.id}, revision {content.revision}{', withdrawn' if content.withdrawn else ''}")
    print(f"for        {content.gateway_id}, {content.begin} to {content.until}")
    print(f"target     {target.indicator} of {target.machine} {target.side.replace('_', ' ')} {target.value:g}")
    for text in filter(None, (content.measure.en, content.measure.zh)):
        print(f"measure    {text}")
    print(f"hash       {envelope.sha256}")
    print(f"written    {out}, {len(envelope.signatures)} signed")


def _write(path: Path, data: bytes) -> None:
    from agent.evidence.files import write_atomically

    write_atomically(path, data + b"\n", 0o644, remedy="name a folder that exists with --out")
