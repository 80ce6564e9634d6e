"""Whom a bundle is for: one gateway, or all of a district, town, park or chain. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.config.model import EnterpriseSection

FIELDS = ("district", "town", "park", "chain")


def selects(selector: Mapping[str, str], enterprise: EnterpriseSection) -> bool:
    """Whether every field given is this enterprise's own; ``chain`` is the name of any of its chains.

    An empty selector, or an unknown or empty field, selects nobody.
    """
    return bool(selector) and all(_holds(field, wanted, enterprise) for field, wanted in selector.items())


def _holds(field: str, wanted: str, enterprise: EnterpriseSection) -> bool:
    if not wanted or field not in FIELDS:
        return False
    if field == "chain":
        return any(chain.name == wanted for chain in enterprise.chains)
    return bool(getattr(enterprise, field) == wanted)


def read_selector(value: Any) -> dict[str, str]:
    """The selector of a bundle. Raises ValueError unless it has known fields with text, at least one."""
    if not isinstance(value, dict) or not value:
        raise ValueError("selector must be an object with at least one member")
    for field, wanted in value.items():
        if field not in FIELDS:
            raise ValueError(f"selector has a member {field[:40]!r}; there are {', '.join(FIELDS)}")
        if not isinstance(wanted, str) or not 0 < len(wanted) <= 255:
            raise ValueError(f"selector.{field} must be text")
    return dict(value)


def show_target(gateway_id: str, selector: Mapping[str, str]) -> str:
    """Whom a bundle is for, for a person: ``gw-0123456789abcdef``, or ``park=hongkou-01, chain=auto-parts``."""
    return gateway_id or ", ".join(f"{field}={wanted}" for field, wanted in selector.items())
