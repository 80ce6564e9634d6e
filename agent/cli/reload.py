"""``gongfu-edge reload``: let the running agent take over the local file, proven by data like any other change."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.main import parser_for


def main(arguments: Sequence[str]) -> int:
    """Wait until the file is in force; exit 1 and the reason when it is not taken."""
    options = parser_for("reload", example="  gongfu-edge check && gongfu-edge reload").parse_args(arguments)
    from agent.cli.config import reload

    return reload(options.config)
