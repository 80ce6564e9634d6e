"""A configuration's plain values without its secrets, for the status, pages and histories. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.config.summary import redacted_url
from agent.control.content import SECRET_KEY
from agent.control.secrets import HIDDEN

_REFERENCES = ({"jwe"}, {"env"}, {"file"}, {"secret"})


def redacted(value: Any) -> Any:
    """TOML values with ``…`` where a secret is named, sealed or written in the clear."""
    if isinstance(value, Mapping):
        if set(value) in _REFERENCES:
            return HIDDEN
        return {
            key: HIDDEN if SECRET_KEY.fullmatch(key) and _may_be_secret(each) else redacted(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    if isinstance(value, str) and "://" in value and ("@" in value or "?" in value):
        return redacted_url(value)
    return value


def _may_be_secret(value: Any) -> bool:
    return value != "" and not isinstance(value, bool)
