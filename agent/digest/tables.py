"""The tables of indicators and findings that the agent brings with it (``indicators.json``, ``findings.json``)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from agent.config.digest_tables import FindingTable, IndicatorTable


@cache
def own_indicators() -> IndicatorTable:
    """Which indicators there are where the configuration brings no table of its own."""
    return msgspec.json.decode((files("agent.digest") / "indicators.json").read_bytes(), type=IndicatorTable)


@cache
def own_findings() -> FindingTable:
    """The rules where the configuration brings no table of its own."""
    return msgspec.json.decode((files("agent.digest") / "findings.json").read_bytes(), type=FindingTable)
