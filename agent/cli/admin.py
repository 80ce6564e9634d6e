"""``gongfu-edge admin``: keys, signing and verification of configuration bundles, for platform administrators.

``push`` and ``status``, which talk to a platform, are in :mod:`agent.cli.admin_fleet`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.admin_fleet import add_push, add_status, push, status
from agent.cli.admin_prescribe import add_prescribe, prescribe
from agent.cli.main import parser_for
from agent.errors import GongfuError
from agent.table import one_line

if TYPE_CHECKING:
    from agent.control.bundle import Payload
    from agent.control.draft import Draft
    from agent.control.envelope import Envelope

EXAMPLE = """  gongfu-edge admin keygen --name "Wang Wei" --out wang.key --trust admins.jwks
  gongfu-edge admin sign press.toml --selector park=hongkou-01 --revision 12 --key wang.key --out press.bundle
  gongfu-edge admin sign --add press.bundle --key li.key
  gongfu-edge admin verify press.bundle --trust admins.jwks
  gongfu-edge admin push press.bundle --url https://platform.example/api/v1 --key wang.key --wave 1,10%,100%
  gongfu-edge admin status --url https://platform.example/api/v1 --key wang.key --selector park=hongkou-01
  gongfu-edge admin prescribe rx.toml --gateway gw-0123456789abcdef --key wang.key --url https://platform.example/api/v1"""


def main(arguments: Sequence[str]) -> int:
    """Run one of the administrators' commands."""
    parser = parser_for("admin", example=EXAMPLE)
    commands = parser.add_subparsers(dest="action", required=True, metavar="keygen|sign|push|status|prescribe|verify")
    _add_keygen(commands.add_parser("keygen", help="make a key; print its public half for admins.jwks"))
    _add_sign(commands.add_parser("sign", help="check a configuration, seal its secrets and sign it"))
    _add_verify(commands.add_parser("verify", help="tell who signed a bundle, for whom, and until when"))
    add_push(commands.add_parser("push", help="hand a bundle in and roll it out in waves"), selector)
    add_status(commands.add_parser("status", help="what every gateway shall run and runs, and why not"), selector)
    add_prescribe(commands.add_parser("prescribe", help="sign advice to a plant and hand it in"))
    for each in commands.choices.values():
        each.add_argument("--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    run = {
        "keygen": _keygen, "sign": _sign, "push": push, "status": status, "prescribe": prescribe, "verify": _verify,
    }  # fmt: skip
    return run[options.action](options)


def selector(text: str) -> dict[str, str]:
    """``park=hongkou-01,chain=auto-parts`` as a dictionary; for argparse."""
    from agent.control.selector import read_selector

    pairs = [part.partition("=") for part in text.split(",")]
    try:
        if any(not equals for _, equals, _ in pairs) or len({name.strip() for name, _, _ in pairs}) < len(pairs):
            raise ValueError("write park=hongkou-01, or park=hongkou-01,chain=auto-parts")
        return read_selector({name.strip(): value.strip() for name, _, value in pairs})
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# --- keygen ----------------------------------------------------------------------------------------------


def _add_keygen(parser: ArgumentParser) -> None:
    parser.add_argument("--name", default="", help="whose key it is, as histories show it")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="where the private key goes (mode 0600)"
    )
    parser.add_argument("--trust", type=Path, metavar="JWKS", help="add the public key to this trust file")
    parser.add_argument("--threshold", type=int, metavar="N", help="with --trust: how many must sign")


def _keygen(options: Namespace) -> int:
    from agent.control.admin_key import AdminKey, add_to_trust, read_trust_file

    if options.trust is not None and options.trust.exists():
        read_trust_file(options.trust)  # before a key is made that would then be in no list
    key = AdminKey.generate(options.out, options.name)
    print(json.dumps(key.public_jwk(), indent=2, ensure_ascii=False))
    if options.trust is not None:
        trust = add_to_trust(options.trust, key.public_jwk(), options.threshold)
        _say(f"{options.trust}: {trust.threshold} of {len(trust.admins)} must sign")
    _say(f"private key in {options.out}: keep it to yourself")
    return 0


# --- sign ------------------------------------------------------------------------------------------------


def _add_sign(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", metavar="TOML", help="the whole desired overlay")
    parser.add_argument("--key", type=Path, action="append", required=True, metavar="FILE", help="your private key")
    parser.add_argument("--add", type=Path, metavar="BUNDLE", help="add your signature to this bundle instead")
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--gateway", default="", metavar="ID", help="for this gateway")
    whom.add_argument(
        "--selector", type=selector, metavar="FIELD=…", help="for all of this district, town, park or chain"
    )
    parser.add_argument("--revision", type=int, metavar="N", help="must be above every one before it")
    parser.add_argument("--valid", default="30d", metavar="TIME", help="how long gateways may take it (default: 30d)")
    parser.add_argument("--against", type=Path, metavar="FILE", help="copy of a gateway's config.toml to check with")
    parser.add_argument("--replaces", type=Path, metavar="BUNDLE", help="with --against: the bundle in force there")
    parser.add_argument(
        "--recipient",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="JWK or JWKS with keys of gateways that secrets are sealed for",
    )
    parser.add_argument("--trust", type=Path, metavar="JWKS", help="rotate the administrators to this list")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the bundle (default: TOML's name with .bundle)")


def _sign(options: Namespace) -> int:
    if (options.add is None) == (options.file is None):
        raise GongfuError("sign takes either a TOML file or --add BUNDLE", remedy="see: gongfu-edge admin sign --help")
    return _add_signature(options) if options.add else _sign_draft(options)


def _sign_draft(options: Namespace) -> int:
    from agent.config.units import parse_seconds
    from agent.control.admin_key import AdminKey, read_trust_file
    from agent.control.draft import read_draft
    from agent.control.signing import make_bundle, open_bundle

    valid = parse_seconds(options.valid)
    if not (options.gateway or options.selector) or options.revision is None or not valid:
        missing = "--valid 30d" if not valid else "--gateway ID or --selector park=…, and --revision N"
        raise GongfuError("it is not said for whom, which revision or for how long this is", remedy=f"give {missing}")
    keys = [AdminKey.load(path) for path in options.key]
    trust = read_trust_file(options.trust)[0] if options.trust else None
    draft = read_draft(options.file, _recipients(options.recipient))
    for line in _differences(draft, options):
        print(line)
    now = time.time_ns() // 1000
    data = make_bundle(
        keys,
        gateway_id=options.gateway,
        selector=options.selector,
        revision=options.revision,
        issued_us=now,
        expires_us=now + int(valid * 1e6),
        config=draft.text,
        trust=trust,
    )
    out = options.out or options.file.with_suffix(".bundle")
    _write(out, data)
    _describe(open_bundle(data))
    if draft.secrets:
        print(f"secrets    {draft.secrets} sealed for {', '.join(_fingerprints(options.recipient))}")
    print(f"written    {out}")
    return 0


def _add_signature(options: Namespace) -> int:
    from agent.control.admin_key import AdminKey
    from agent.control.draft import against, of_bundle
    from agent.control.signing import add_signature, open_bundle

    keys = [AdminKey.load(path) for path in options.key]
    data = _read(options.add)
    envelope = open_bundle(data, str(options.add))
    _describe(envelope)
    if options.against:
        new = of_bundle(envelope.payload.config, str(options.add))
        print("\n".join(against(options.against, _replaced(options), new)))
    else:
        print("\n".join(map(one_line, envelope.payload.config.split("\n"))))
    for key in keys:
        data = add_signature(data, key)
    out = options.out or options.add
    _write(out, data)
    print(f"written    {out}, signed by {', '.join(key.name or key.kid for key in keys)} too")
    return 0


def _differences(draft: Draft, options: Namespace) -> list[str]:
    from agent.control.draft import against

    if options.against is None:
        return [f"{draft.name} is sound in itself; --against config.toml checks it with a gateway's own file"]
    lines = against(options.against, _replaced(options), draft.open)
    return lines or ["this changes nothing of the effective configuration"]


def _replaced(options: Namespace) -> Any:
    from agent.control.draft import of_bundle
    from agent.control.signing import open_bundle

    if options.replaces is None:
        return None
    return of_bundle(open_bundle(_read(options.replaces), str(options.replaces)).payload.config, str(options.replaces))


def _recipients(paths: Sequence[Path]) -> list[Mapping[str, Any]]:
    from agent.control.secrets import recipient
    from agent.control.strict import read_json

    found: list[Mapping[str, Any]] = []
    for path in paths:
        try:
            value = read_json(_read(path))
            keys = value["keys"] if isinstance(value, dict) and "keys" in value else [value]
            for jwk in keys:
                recipient(jwk)
                found.append(jwk)
        except (ValueError, TypeError) as error:
            raise GongfuError(
                f"{path}: {error}", remedy="admin status --keys FILE writes the gateways' keys"
            ) from error
    return found


def _fingerprints(paths: Sequence[Path]) -> list[str]:
    from agent.control.secrets import recipient

    keys = [recipient(jwk).thumbprint() for jwk in _recipients(paths)]
    return [*keys[:3], f"{len(keys) - 3} more"] if len(keys) > 4 else keys


# --- verify ----------------------------------------------------------------------------------------------


def _add_verify(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--trust", type=Path, required=True, metavar="JWKS", help="the administrators' public keys")
    parser.add_argument("--show", action="store_true", help="also print the configuration")


def _verify(options: Namespace) -> int:
    from agent.control.admin_key import read_trust_file
    from agent.control.envelope import show_time, signed_by
    from agent.control.signing import open_bundle

    _, trust = read_trust_file(options.trust)
    envelope = open_bundle(_read(options.bundle), str(options.bundle))
    signers = signed_by(envelope, trust)
    _describe(envelope)
    for each in signers:
        print(f"signed by  {each.name or 'unnamed'} ({each.kid})")
    others = len(envelope.signatures) - len(signers)
    if others:
        print(
            f"not valid  {others} {'signature' if others == 1 else 'signatures'} by nobody in {options.trust}, or twice"
        )
    if options.show:
        print("\n".join(map(one_line, envelope.payload.config.split("\n"))))
    if len(signers) < trust.threshold:
        _say(f"FAILED: {len(signers)} of {trust.threshold} signatures needed → gongfu-edge admin sign --add")
        return 1
    if envelope.payload.expires_us <= time.time_ns() // 1000:
        _say(f"FAILED: expired at {show_time(envelope.payload.expires_us)} → sign anew")
        return 1
    print("verified")
    return 0


def _describe(envelope: Envelope[Payload]) -> None:
    from agent.control.envelope import show_time

    payload = envelope.payload
    print(f"revision   {payload.revision}")
    print(f"for        {payload.target}")
    print(f"valid      {show_time(payload.issued_us)} to {show_time(payload.expires_us)}")
    print(f"hash       {envelope.sha256}")
    if payload.trust is not None:
        names = ", ".join(str(jwk.get("name") or jwk.get("kid", "unnamed")) for jwk in payload.trust["keys"])
        print(f"rotates    the administrators to {names}; {payload.trust.get('threshold', 1)} must sign")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GongfuError(f"{path}: {error.strerror}", remedy="correct the path") from error


def _write(path: Path, data: bytes) -> None:
    from agent.evidence.files import write_atomically

    write_atomically(path, data + b"\n", 0o644, remedy="name a folder that exists with --out")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
