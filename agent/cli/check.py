"""``gongfu-edge check``: the configuration's summary, or every problem."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.main import parser_for


def main(arguments: Sequence[str]) -> int:
    """Print the summary; problems are raised and printed by the entry point (exit 78)."""
    parser = parser_for("check", example="  gongfu-edge check --config press-shop.toml")
    options = parser.parse_args(arguments)
    from agent.config.parse import load
    from agent.config.summary import summary

    print(summary(load(options.config)))
    return 0
