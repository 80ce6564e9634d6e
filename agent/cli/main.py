"""Entry point: finds the command, imports only what it needs, turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agent import __version__
from agent.errors import ConfigurationInvalid, GongfuError
from agent.table import one_line

DEFAULT_CONFIG = "/etc/gongfu-edge/config.toml"
USAGE = 2

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("agent.cli.run", "run the agent in the foreground"),
    "check": ("agent.cli.check", "check the configuration and print a summary, or every problem"),
    "status": ("agent.cli.status", "show how the running agent is doing"),
    "read": ("agent.cli.read", "read a device once, now"),
    "browse": ("agent.cli.browse", "show what a device has, and print ready tag entries of it"),
    "device": ("agent.cli.device", "show, or forget, what was learned about a device"),
    "export": ("agent.cli.export", "write recorded samples as CSV or JSON lines"),
    "digest": ("agent.cli.digest", "list, show, preview, export and verify digests"),
    "diagnose": ("agent.cli.diagnose", "the diagnosis of a span of days, as a page with pictures or on the terminal"),
    "ledger": ("agent.cli.ledger", "show what was lost or shed, and what was uploaded"),
    "prescription": ("agent.cli.prescription", "what the platform prescribes: list, show, adopt, decline"),
    "config": ("agent.cli.config", "show what is in force, compare, roll back, lock"),
    "reload": ("agent.cli.reload", "let the running agent take over the local file"),
    "enroll": ("agent.cli.enroll", "enrol this gateway at a platform with a one-time token"),
    "admin": ("agent.cli.admin", "for platform administrators: sign configuration and roll it out"),
}


def overview() -> str:
    """The text of ``gongfu-edge --help``."""
    lines = [
        "gongfu-edge: reads PLCs and meters, keeps the data, reports signed digests",
        "",
        "usage: gongfu-edge COMMAND [--config FILE] …      (COMMAND --help shows an example)",
        "",
        *(f"  {name:<13}{text}" for name, (_, text) in COMMANDS.items()),
        "",
        f"The configuration is {DEFAULT_CONFIG} unless --config or $GONGFU_EDGE_CONFIG names another.",
    ]
    return "\n".join(lines)


def parser_for(name: str, *, example: str, description: str = "") -> argparse.ArgumentParser:
    """An argument parser with what every command has: ``--config``, and an example in its help."""
    parser = argparse.ArgumentParser(
        prog=f"gongfu-edge {name}",
        description=description or COMMANDS[name][1],
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get("GONGFU_EDGE_CONFIG") or DEFAULT_CONFIG),
        metavar="FILE",
        help=f"configuration file (default: $GONGFU_EDGE_CONFIG or {DEFAULT_CONFIG})",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (0 done, 1 failed, 2 usage, 78 invalid configuration)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if arguments else USAGE
    if arguments[0] in ("-V", "--version"):
        print(f"gongfu-edge {__version__}")
        return 0
    arguments = _command_first(arguments)
    if arguments[0] not in COMMANDS:
        print(f"gongfu-edge: unknown command {arguments[0]!r} → one of: {', '.join(COMMANDS)}", file=sys.stderr)
        return USAGE
    return _run(arguments[0], arguments[1:])


def _command_first(arguments: list[str]) -> list[str]:
    """``--config FILE COMMAND …``, as many programs want it, in the order in which we take it."""
    taken = 2 if arguments[0] == "--config" else 1 if arguments[0].startswith("--config=") else 0
    if not taken or len(arguments) <= taken:
        return arguments
    return [arguments[taken], *arguments[:taken], *arguments[taken + 1 :]]


def _run(name: str, arguments: list[str]) -> int:
    module = importlib.import_module(COMMANDS[name][0])
    try:
        code: int = module.main(arguments)
        sys.stdout.flush()
    except ConfigurationInvalid as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return error.exit_code
    except GongfuError as error:
        print(one_line(f"gongfu-edge {name}: {error.line()}"), file=sys.stderr)  # a device may have a say in it
        return error.exit_code
    except BrokenPipeError:  # the reader of our pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
