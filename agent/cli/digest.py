"""``gongfu-edge digest``: list, show, preview, export and verify digests."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from agent.cli.main import parser_for
from agent.cli.owner import acting_as_owner
from agent.cli.stores import in_force, reading
from agent.cli.times import iso
from agent.config.problems import did_you_mean
from agent.errors import GongfuError
from agent.table import table

if TYPE_CHECKING:
    from agent.buffer.records import DigestRecord
    from agent.buffer.store import Store
    from agent.buffer.streams import Stream
    from agent.config.model import Configuration

EXAMPLE = """  gongfu-edge digest list
  gongfu-edge digest show 12
  gongfu-edge digest show --day 2026-11-23
  gongfu-edge digest preview
  gongfu-edge digest preview --audience park
  gongfu-edge digest export evidence/
  gongfu-edge digest verify evidence/ --keys keys.jwks
  gongfu-edge digest table findings > findings.json"""


def main(arguments: Sequence[str]) -> int:
    """Run one of the digest commands."""
    parser = parser_for("digest", example=EXAMPLE)
    commands = parser.add_subparsers(
        dest="action", required=True, metavar="list|show|preview|export|verify|table|follow"
    )
    listing = commands.add_parser("list", help="digests, newest first")
    listing.add_argument("--limit", type=int, default=50)
    show = commands.add_parser(
        "show", help="the exact bytes of one digest, indented on a terminal; or that of a day, week or month"
    )
    which = show.add_mutually_exclusive_group(required=True)
    which.add_argument("seq", type=int, nargs="?")
    for kind in ("day", "week", "month"):
        which.add_argument(f"--{kind}", metavar="2026-11-23", help=f"the {kind} of the plant that holds this date")
    commands.add_parser("preview", help="the running period as it would be reported now")
    export = commands.add_parser("export", help="<seq>.json, <seq>.json.jws, keys.jwks; audiences in folders below")
    export.add_argument("directory", type=Path)
    verify = commands.add_parser(
        "verify", help="check signatures, sequence, chain, and days by their parts; needs no agent"
    )
    verify.add_argument("path", type=Path, nargs="+", help="digest files or folders")
    verify.add_argument(
        "--keys",
        type=Path,
        required=True,
        action="append",
        help="JWKS with a gateway's public key; may be repeated",
    )
    tables = commands.add_parser("table", help="the table in force that indicators or findings follow, as JSON")
    tables.add_argument("name", choices=("indicators", "findings"))
    follow = commands.add_parser("follow", help="let the chain go on behind a platform's head that nobody has signed")
    follow.add_argument("head", metavar="SEQ:HASH", help="as the status names it")
    for each in (listing, show, export, follow, commands.choices["preview"]):
        each.add_argument("--audience", default="", metavar="NAME", help="those for an [[audience]]")
    for each in (listing, show, export, verify, tables, follow, commands.choices["preview"]):
        each.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.action == "verify":
        return _verify(options)
    if options.action == "follow":
        return _follow(options)
    return asyncio.run(_run(options))


def _verify(options: Namespace) -> int:
    from agent.digest.agreement import agreements
    from agent.evidence.verify import verdicts, verify_paths

    results = verify_paths(options.path, *options.keys)
    for result in results:
        print(result.line())
    for line in verdicts(results):
        print(line)
    compared = agreements(results)
    for each in compared:
        print(each.line)
    failed = sum(not result.ok for result in results)
    print(f"{len(results) - failed} verified, {failed} failed")
    return 1 if failed or not results or any(each.disagrees for each in compared) else 0


def _follow(options: Namespace) -> int:
    from agent.config.parse import load
    from agent.core.bounds import MAX_SEQ
    from agent.evidence.identity import Identity

    if not (found := re.fullmatch(r"([1-9][0-9]{0,14}):([0-9a-f]{16,64})", options.head)) or int(found[1]) > MAX_SEQ:
        raise GongfuError(
            f'"{options.head[:80]}" is no head', remedy="copy it as gongfu-edge status names it: SEQ:HASH"
        )
    configuration = load(options.config)
    if options.audience and options.audience not in [each.name for each in configuration.file.audience]:
        raise GongfuError(f'there is no audience "{options.audience}"', remedy="see [[audience]] in the configuration")
    Identity.load_or_create(Path(configuration.file.gateway.data_dir) / "identity").follow(
        options.audience, options.head
    )
    print(f"digest {found[1]} of the platform is followed when it is asked for its head again, within 15 minutes")
    return 0


async def _run(options: Namespace) -> int:
    from agent.config.parse import load

    if options.action == "table":
        return _table(options.name, in_force(options.config))
    if options.action == "preview":
        return await _preview(in_force(options.config), options.audience)
    of_sums = options.action == "show" and options.seq is None
    configuration = in_force(options.config) if of_sums or options.action == "list" else load(options.config)
    async with reading(configuration) as whole:
        store = await _chain(whole, configuration, options.audience)
        if options.action == "list":
            _list(await store.digests(options.limit), sent=_is_sent(configuration, options.audience))
            return 0
        if of_sums:
            return await _show_summary(options, configuration, whole)
        if options.action == "show":
            record = await store.digest(options.seq)
            if record is None:
                remedy = f"see: gongfu-edge digest list{f' --audience {options.audience}' if options.audience else ''}"
                raise GongfuError(f"there is no digest {options.seq}", remedy=remedy)
            _print(record.body)
            return 0
        if options.action == "export":
            # The gateway's own chain, and that of each audience beside it; or the one that is asked for.
            for name in [options.audience] if options.audience else await whole.streams() or [""]:
                await _export(whole.stream_of(name), options.directory / name)
    _export_keys(configuration, options.directory)
    return 0


def _list(records: Sequence[DigestRecord], *, sent: bool) -> None:
    rows = []
    for each in records:
        state = each.state if sent or each.state != "pending" else "kept here"
        rows.append((str(each.seq), each.kind, iso(each.start), iso(each.end), state, str(len(each.body)), each.reason))
    print(table(("seq", "kind", "from", "to", "state", "bytes", "reason"), rows))


def _is_sent(configuration: Configuration, audience: str) -> bool:
    """Whether there is somebody that digests of this chain go to."""
    file = configuration.file
    return any(each.name == audience for each in file.audience) if audience else file.platform is not None


async def _chain(store: Store, configuration: Configuration, audience: str) -> Store | Stream:
    known = {*(each.name for each in configuration.file.audience), *await store.streams()} - {""}
    if audience and audience not in known:
        remedy = did_you_mean(audience, sorted(known)) or "add [[audience]] with that name"
        raise GongfuError(f'there is no audience "{audience}"', remedy=remedy)
    return store.stream_of(audience)


async def _export(chain: Store | Stream, directory: Path) -> None:
    count = 0
    directory.mkdir(parents=True, exist_ok=True)
    for record in reversed(await chain.digests(limit=1_000_000)):
        _write(record, directory / f"{record.seq}.json")
        count += 1
    aside = await chain.set_aside()
    for each in aside:
        _write(each.record, directory / "set-aside" / f"{each.number}-{each.record.seq}.json")
    print(f"{count} digests written to {directory}")
    if aside:
        print(f"{len(aside)} that are no part of the chain (this disk was restored) written to set-aside/ there")


def _table(name: str, configuration: Configuration) -> int:
    import msgspec

    from agent.digest.tables import own_findings, own_indicators

    digest = configuration.file.digest
    table = digest.findings or own_findings() if name == "findings" else digest.indicators or own_indicators()
    print(msgspec.json.format(msgspec.json.encode(table), indent=2).decode())
    return 0


async def _show_summary(options: Namespace, configuration: Configuration, store: Store) -> int:
    from agent.digest.report import encode_any
    from agent.digest.rollups import DAY, days_of
    from agent.digest.summary import Kind, look_back, span_of, summary

    kinds: tuple[Kind, ...] = ("day", "week", "month")
    kind, text = next((kind, text) for kind in kinds if (text := getattr(options, kind)) is not None)
    span = span_of(kind, text, ZoneInfo(configuration.file.gateway.timezone))
    places = await store.places(1_000_000)
    found = next((each for each in places if (each.kind, each.start, each.end) == (kind, span.start, span.end)), None)
    if found is not None and (signed := await store.digest(found.seq)) is not None:
        _print(signed.body)
        return 0
    made = summary(kind, span, days_of(await store.rollups(DAY, look_back(span), span.end)), configuration)
    if made is None:
        raise GongfuError(f"no digest has been built for the {kind} of {text}", remedy="see: gongfu-edge digest list")
    print(f"provisional: there is no signed digest of this {kind}, or not yet", file=sys.stderr)
    _print(encode_any(made))
    return 0


def _write(record: DigestRecord, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(record.body)
    path.with_name(path.name + ".jws").write_text(record.jws + "\n", encoding="ascii")


def _export_keys(configuration: Configuration, directory: Path) -> None:
    from agent.evidence.identity import Identity

    data_dir = Path(configuration.file.gateway.data_dir)
    with acting_as_owner(data_dir):
        identity = Identity.load_or_create(data_dir / "identity")
    (directory / "keys.jwks").write_text(json.dumps(identity.public_jwks(), indent=2) + "\n", encoding="ascii")


async def _preview(configuration: Configuration, audience: str) -> int:
    from agent.clock import Clock
    from agent.control.prescriptions import Prescriptions
    from agent.digest.service import DigestService
    from agent.evidence.identity import Identity

    names = [each.name for each in configuration.file.audience]
    if audience and audience not in names:
        remedy = did_you_mean(audience, names) or "add [[audience]] with that name"
        raise GongfuError(f'there is no audience "{audience}" in {configuration.path}', remedy=remedy)
    async with reading(configuration) as store:  # first: where nothing runs, no identity shall be made
        data_dir = Path(configuration.file.gateway.data_dir)
        with acting_as_owner(data_dir):
            identity, book = Identity.load_or_create(data_dir / "identity"), Prescriptions(data_dir / "prescriptions")
        service = DigestService(store, configuration, Clock(), identity, prescribed=book.prescribed)
        _print(await service.preview(audience))
    return 0


def _print(body: bytes) -> None:
    # A pipe gets the exact bytes, so that a hash of them can be compared; a person gets them readable.
    if sys.stdout.isatty():
        print(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    else:
        sys.stdout.buffer.write(body)
