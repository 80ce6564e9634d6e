"""What a command is doing, while it takes its time: shown on a terminal, and not in a pipe."""

from __future__ import annotations

import sys


def progress(text: str) -> None:
    """Replace the line on the terminal; empty text removes it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
