"""``gongfu-edge config``: what is in force and where it comes from; what was tried; and the local engineer's say."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.main import parser_for
from agent.errors import GongfuError

if TYPE_CHECKING:
    from agent.config.model import Configuration
    from agent.config.overlay import Overlay
    from agent.control.journal import Journal

EXAMPLE = """  gongfu-edge config show --origin
  gongfu-edge config diff
  gongfu-edge config diff new.toml
  gongfu-edge config history
  gongfu-edge config rollback 11
  gongfu-edge config lock --for 8h"""


def main(arguments: Sequence[str]) -> int:
    """Run the subcommand."""
    parser = parser_for("config", example=EXAMPLE)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="every value in force")
    show.add_argument("--origin", action="store_true", help="also where each value comes from")
    diff = commands.add_parser("diff", help="what the edited file, another one, or a revision would change")
    diff.add_argument(
        "other",
        nargs="?",
        help="a configuration file, or the number of a revision (0: the local file alone); default: the file itself",
    )
    commands.add_parser("history", help="the revisions that were tried: who signed, when, how it ended")
    rollback = commands.add_parser("rollback", help="put an earlier revision in force again")
    rollback.add_argument("revision", nargs="?", type=int, help="its number (default: the one before; 0: none)")
    lock = commands.add_parser("lock", help="keep the platform out while you work on the machine")
    lock.add_argument("--for", dest="span", default="8h", metavar="TIME", help="such as 30m, 8h (default) or 1d")
    commands.add_parser("unlock", help="let the platform in again")
    for each in commands.choices.values():  # it may stand before or behind the subcommand
        each.add_argument("--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    return _COMMANDS[options.command](_Here(options.config), options)


class _Here:
    """The gateway that the command is about."""

    def __init__(self, path: Path) -> None:
        from agent.config.parse import load
        from agent.control.journal import Journal

        self.path = path
        self.local: Configuration = load(path)
        self.journal: Journal = Journal(Path(self.local.file.gateway.data_dir) / "config")

    def overlay(self, number: int) -> Overlay | None:
        """A revision as it lies over the local file; None for 0. Raises GongfuError."""
        from agent.cli.owner import acting_as_owner
        from agent.config.overlay import Overlay
        from agent.control.secrets import EncryptionKey

        entry = self.journal.revision(number) if number else None
        if entry is None:
            if number:
                raise GongfuError(f"revision {number} is not known here", remedy="gongfu-edge config history")
            return None
        data_dir = Path(self.local.file.gateway.data_dir)
        with acting_as_owner(data_dir):
            key = EncryptionKey.load_or_create(data_dir / "identity")
        return Overlay(entry.config, f"revision {number}", key.decrypt)

    def effective(self, number: int) -> Configuration:
        """The local file with a revision over it. Raises ConfigurationInvalid."""
        from agent.config.parse import load

        return load(self.path, overlay=self.overlay(number))

    @contextmanager
    def agent_stopped(self) -> Iterator[bool]:
        """Whether no agent runs; while the block lasts none can start then. From here on we are its user."""
        from agent.cli.owner import become_owner
        from agent.instance import open_lock

        data_dir = Path(self.local.file.gateway.data_dir)
        become_owner(data_dir)
        handle = open_lock(data_dir)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            yield False
            return
        try:
            yield True
        finally:
            os.close(handle)


def _show(here: _Here, options: argparse.Namespace) -> int:
    from agent.config.overlay import origins
    from agent.config.parse import read_text, tables

    running = here.journal.standing().running
    overlay = here.overlay(running)
    local = tables(read_text(here.path), here.path.name)
    over = tables(overlay.text, overlay.name) if overlay else {}
    for path, value, source in origins(local, over, f"revision {running}"):
        line = f"{path} = {_shown(path, value)}"
        print(f"{line:<60}  # {source}" if options.origin else line)
    return 0


def _shown(path: str, value: Any) -> str:
    from agent.control.redact import redacted

    key = path.rpartition(".")[2]
    return json.dumps(redacted({key: value})[key], ensure_ascii=False, default=str)


def _diff(here: _Here, options: argparse.Namespace) -> int:
    from agent.config.difference import difference_of_forms
    from agent.config.parse import load
    from agent.control.in_force import form, kept
    from agent.table import one_line

    running = here.journal.standing().running
    other = Path(options.other or here.path)
    if options.other and options.other.isascii() and options.other.isdecimal() and not other.exists():
        after = here.effective(int(options.other))
    else:
        after = load(other, overlay=here.overlay(running))
    before = kept(here.journal.folder)
    if before is not None:
        print(f"against {_in_force(here)}:")
    elif not options.other or other.resolve() == here.path.resolve():
        raise GongfuError(
            f"nothing was in force here yet that {here.path} could be compared with",
            remedy="see what it says: gongfu-edge check; the agent takes it when it starts",
        )
    else:  # no agent has run yet: the local file is what it would take
        before = form(here.effective(running))
    change = difference_of_forms(before, form(after))
    print("\n".join(map(one_line, change.lines())) or "nothing changes")
    if change.needs_restart:
        print(f"needs a restart: {', '.join(change.needs_restart)}")
    return 0


def _in_force(here: _Here) -> str:
    with here.agent_stopped() as stopped:
        if stopped:
            return "what was in force last (no agent runs)"
    trying = here.journal.standing().state == "APPLYING"
    return "what is in force; another configuration is being tried now" if trying else "what runs"


def _history(here: _Here, _options: argparse.Namespace) -> int:
    from agent.cli.times import iso
    from agent.table import table

    standing = here.journal.standing()
    rows = []
    for entry in here.journal.history():
        mark = "→" if entry.revision == standing.running else ""
        signed = ", ".join(entry.signers) or "-"
        rows.append((mark, str(entry.revision), iso(entry.received_us), signed, entry.state, entry.reason))
    if not rows:
        print("no revision has come from the platform; the local file alone is in force")
        return 0
    print(table(("", "revision", "received", "signed by", "result", "reason"), rows))
    if not standing.running:
        print("the local file alone is in force")
    return 0


def _rollback(here: _Here, options: argparse.Namespace) -> int:
    import msgspec

    standing = here.journal.standing()
    number = options.revision
    if number is None:
        applied = [each.revision for each in here.journal.history() if each.state == "APPLIED"]
        number = next((each for each in applied if each < standing.running), 0)
    configuration = here.effective(number)
    with here.agent_stopped() as stopped:
        if stopped:
            here.journal.keep(
                msgspec.structs.replace(
                    standing,
                    running=number,
                    attempted=number,
                    attempted_hash=configuration.hash,
                    state="UNSET",
                    last_error="",
                )
            )
            print(f"{_name(number)} will be in force when the agent starts")
            return 0
    return _ask(here, "rollback", f"{_name(number)} is in force", revision=number)


def _lock(here: _Here, options: argparse.Namespace) -> int:
    from agent.config.units import parse_seconds
    from agent.control.lock import LONGEST_S

    seconds = parse_seconds(options.span)
    if seconds is None or not 0 < seconds <= LONGEST_S:
        raise GongfuError(f"--for {options.span} is no duration of at most 30d", remedy="write 30m, 8h or 1d")
    return _set_lock(here, float(seconds), f"the platform changes nothing here for {options.span}")


def _unlock(here: _Here, _options: argparse.Namespace) -> int:
    return _set_lock(here, 0.0, "the platform may change this gateway again")


def _set_lock(here: _Here, seconds: float, done: str) -> int:
    import msgspec

    from agent.clock import boot_id, boottime_us
    from agent.control.lock import locked_for

    with here.agent_stopped() as stopped:
        if stopped:
            lock = locked_for(seconds, boot_id(), boottime_us())
            here.journal.keep(msgspec.structs.replace(here.journal.standing(), lock=lock))
            until_us = time.time_ns() // 1000 + lock.left_us if lock else 0
            print(done + _ends(until_us, "by the system clock"))
            return 0
    return _ask(here, "lock", done, seconds=seconds)


def _ends(until_us: int, whose: str) -> str:
    from agent.cli.times import iso

    return f", until {iso(until_us // 1_000_000 * 1_000_000)} {whose}" if until_us else ""


def reload(config: Path) -> int:
    """Let the running agent take over the local file."""
    here = _Here(config)
    with here.agent_stopped() as stopped:
        if stopped:
            raise GongfuError("no agent runs", remedy="the file is taken over when it starts: gongfu-edge run")
    return _ask(here, "reload", "the local file is in force")


def _ask(here: _Here, action: Any, done: str, **details: Any) -> int:
    from agent.cli.progress import progress
    from agent.control.mailbox import Mailbox

    probation = float(here.local.file.remote.probation)
    proven = f"; it is proven by data for {probation:g} s" if action != "lock" else ""
    try:
        reply = Mailbox(here.journal.folder).ask(
            action,
            timeout_s=2 * probation + 60,
            waiting=lambda seconds: progress(f"{action}: the agent is at it for {seconds:.0f} s{proven}"),
            **details,
        )
    finally:
        progress("")
    if reply.refusal:
        raise GongfuError(reply.refusal)
    whose = "by the agent's clock" + ("" if reply.trusted else ", which nobody vouches for; the duration holds")
    print(done + (_ends(reply.locked_until_us, whose) if action == "lock" else ""))
    return 0


def _name(number: int) -> str:
    return f"revision {number}" if number else "the local file alone"


_COMMANDS = {
    "show": _show,
    "diff": _diff,
    "history": _history,
    "rollback": _rollback,
    "lock": _lock,
    "unlock": _unlock,
}
