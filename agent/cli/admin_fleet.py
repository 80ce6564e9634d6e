"""``gongfu-edge admin push`` and ``status``: roll a bundle out in waves, and see what the fleet runs."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import GongfuError

if TYPE_CHECKING:
    from agent.control.bundle import Payload
    from agent.control.fleet import Fleet, Member
    from agent.control.rollout import Progress

ONLINE = timedelta(minutes=5)
"""A gateway that was seen longer ago is offered the revision last."""
MOST_SHOWN = 20
Selector = Callable[[str], dict[str, str]]


def _add_platform(parser: ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="the platform's base URL, such as https://platform.example/api/v1")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key")
    parser.add_argument(
        "--ca-file", default="", metavar="FILE", help="certificates to trust instead of the bundled ones"
    )
    parser.add_argument("--proxy", default="", metavar="URL")


def add_push(parser: ArgumentParser, selector: Selector) -> None:
    """The arguments of ``push``."""
    parser.add_argument("bundle", type=Path)
    _add_platform(parser)
    parser.add_argument("--selector", type=selector, default={}, metavar="FIELD=…", help="only these of its addressees")
    parser.add_argument("--wave", type=_waves, default="100%", metavar="1,10%,100%", help="how many at a time")
    parser.add_argument(
        "--halt-above", type=_share, default="0%", metavar="2%", help="halt when more failed (default: 0%%)"
    )
    parser.add_argument("--patience", type=_seconds, default="15m", metavar="TIME", help="longest wait for a wave")
    parser.add_argument("--every", type=_seconds, default="5s", metavar="TIME", help="between two looks (default: 5s)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="where the rollout stands (default: BUNDLE.rollout)")
    parser.add_argument("--go-on", action="store_true", help="go on after a halt, with the failures there are")


def add_status(parser: ArgumentParser, selector: Selector) -> None:
    """The arguments of ``status``."""
    _add_platform(parser)
    parser.add_argument("--selector", type=selector, default={}, metavar="FIELD=…", help="only these gateways")
    parser.add_argument("--drift", action="store_true", help="only gateways that run something else than they shall")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.add_argument("--keys", type=Path, metavar="JWKS", help="write the gateways' keys, for sign --recipient")


def _typed(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _waves(text: str) -> list[tuple[float, bool]]:
    from agent.control.rollout import read_waves

    found: list[tuple[float, bool]] = _typed(read_waves, text)
    return found


def _share(text: str) -> float:
    from agent.control.rollout import read_share

    found: float = _typed(read_share, text)
    return found


def _seconds(text: str) -> float:
    from agent.config.units import parse_seconds

    seconds = parse_seconds(text)
    if not seconds:
        raise ArgumentTypeError(f'"{text}" is no duration: write 30s, 15m or 2h')
    return float(seconds)


def _fleet(options: Namespace) -> Fleet:
    from agent.control.admin_key import AdminKey
    from agent.control.fleet import Fleet

    return Fleet(options.url, AdminKey.load(options.key), ca_file=options.ca_file, proxy=options.proxy)


# --- push ------------------------------------------------------------------------------------------------


def push(options: Namespace) -> int:
    """Roll out; 0 when all waves are done, 1 when it halted, 130 when it was interrupted."""
    from agent.control.rollout import Rollout
    from agent.control.signing import open_bundle

    try:
        data = options.bundle.read_bytes()
    except OSError as error:
        raise GongfuError(f"{options.bundle}: {error.strerror}", remedy="name a file that admin sign wrote") from error
    payload = open_bundle(data, str(options.bundle)).payload
    whom = _narrowed(payload, options.selector)
    fleet = _fleet(options)
    receipt = fleet.hand_in(data, for_all=False)
    if len(receipt.signers) < receipt.threshold:
        raise GongfuError(
            f"{len(receipt.signers)} of {receipt.threshold} signatures; the platform keeps it until there are more",
            remedy="let further administrators sign: gongfu-edge admin sign --add, and push again",
        )
    path = options.state or options.bundle.with_name(options.bundle.name + ".rollout")
    progress = _progress(path, receipt.hash, options, fleet, whom, payload)
    show = _Line()
    rollout = Rollout(
        fleet,
        progress,
        path,
        revision=payload.revision,
        selector=whom,
        gateway_id=payload.gateway_id,
        halt_above=options.halt_above,
        patience_s=options.patience,
        every_s=options.every,
        now=time.monotonic,
        sleep=time.sleep,
        tell=show.tell,
    )
    try:
        done = rollout.run(for_all_at_last=not options.selector and progress.sizes[-1] == len(progress.order))
    except KeyboardInterrupt:
        show.clear()
        print(f"interrupted; the same command goes on where {path} says", file=sys.stderr)
        return 130
    show.clear()
    _summarise(progress, payload.revision)
    return 0 if done else 1


def _narrowed(payload: Payload, selector: Mapping[str, str]) -> dict[str, str]:
    for field, wanted in selector.items():
        if payload.selector.get(field, wanted) != wanted:
            raise GongfuError(
                f"the bundle is for {payload.target}, which leaves nobody in {field}={wanted}",
                remedy="push it without --selector, or sign it for others",
            )
    return {**payload.selector, **selector}


def _progress(
    path: Path, hash_: str, options: Namespace, fleet: Fleet, whom: Mapping[str, str], payload: Payload
) -> Progress:
    from agent.control.rollout import Progress, in_order, load, sizes

    known = load(path, hash_)
    if known is not None:
        if known.halted and not options.go_on:
            raise GongfuError(
                f"this rollout halted: {known.halted}",
                remedy="look at admin status; go on with --go-on, or sign a better revision",
            )
        if known.halted:
            known.accepted = sorted({*known.accepted, *known.failures()})
            known.halted = ""
        return known
    members = fleet.members(whom, payload.gateway_id)
    if not members:
        raise GongfuError(f"the platform knows no gateway of {payload.target}", remedy="see: gongfu-edge admin status")
    since = (datetime.now(UTC) - ONLINE).strftime("%Y-%m-%dT%H:%M:%SZ")
    order = in_order(members, hash_, since)
    return Progress(hash=hash_, order=order, sizes=sizes(options.wave, len(order)))


def _summarise(progress: Progress, revision: int) -> None:
    counts = [f"{progress.count('applied')} applied"]
    counts += [f"{number} {name}" for name in ("failed", "silent", "held") if (number := progress.count(name))]
    left = len(progress.order) - progress.released
    if left:
        counts.append(f"{left} not offered")
    print(f"revision {revision}: {', '.join(counts)} of {len(progress.order)} gateways")
    bad = [(name, each) for name, each in sorted(progress.results.items()) if each.outcome != "applied"]
    for name, each in bad[:MOST_SHOWN]:
        print(f"  {name}: {each.outcome}: {each.reason}")
    if len(bad) > MOST_SHOWN:
        print(f"  and {len(bad) - MOST_SHOWN} more: gongfu-edge admin status --drift")
    if progress.halted:
        print(f"HALTED: {progress.halted} → look into the reasons; --go-on goes on all the same", file=sys.stderr)


class _Line:
    """One line that is written over and over on a terminal, and not at all elsewhere."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()

    def tell(self, progress: Progress, trouble: str) -> None:
        """Where the rollout stands."""
        text = (
            f"wave {progress.wave} of {len(progress.sizes)}: {progress.released} of {len(progress.order)} offered, "
            f"{progress.count('applied')} applied, {len(progress.failures())} failed, {len(progress.waiting())} waiting"
        )
        if self._on:
            print(f"\r\x1b[K{trouble or text}"[:200], end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the line empty."""
        if self._on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# --- status ----------------------------------------------------------------------------------------------


def status(options: Namespace) -> int:
    """Print the fleet; 1 when a gateway drifts, so that a script notices."""
    import msgspec

    members = _fleet(options).members(options.selector)
    if options.keys is not None:
        _write_keys(options.keys, members)
    shown = [each for each in members if each.drift or not options.drift]
    if options.json:
        print(json.dumps(msgspec.to_builtins(shown), indent=2, ensure_ascii=False))
    else:
        _print_table(shown)
        print(f"{len(members)} gateways, {sum(each.drift for each in members)} drifting")
    return 1 if any(each.drift for each in members) else 0


def _print_table(members: list[Member]) -> None:
    from agent.table import table

    header = ("gateway", "park", "desired", "running", "state", "attempted", "version", "last seen", "reason")
    rows = []
    for each in members:
        numbers = (each.desired_revision, each.running_revision, each.attempted_revision)
        desired, running, attempted = (str(number) if number else "-" for number in numbers)
        running += " drift" if each.drift else ""
        state = each.state + (" locked" if each.locked_until else "")
        park = str(each.affiliation.get("park") or "-")
        rows.append((each.id, park, desired, running, state, attempted, each.version, each.last_seen, each.last_error))
    if rows:
        print(table(header, rows))


def _write_keys(path: Path, members: list[Member]) -> None:
    from agent.control.secrets import recipient
    from agent.evidence.files import write_atomically

    keys = []
    for each in members:
        if each.encryption_key is not None:
            kid = recipient(each.encryption_key).thumbprint()
            keys.append({**each.encryption_key, "kid": kid, "gateway": each.id})
    write_atomically(path, json.dumps({"keys": keys}, indent=2).encode() + b"\n", 0o644)
    lacking = len(members) - len(keys)
    print(
        f"{len(keys)} keys written to {path}; compare each kid with what enroll printed on the gateway"
        + (f"; {lacking} gateways registered none" if lacking else ""),
        file=sys.stderr,
    )
