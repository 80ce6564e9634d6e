"""Why a configuration from outside is not in force: one code each, in the order of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from agent.disclosure.messages import reason

Code = Literal[
    "malformed",
    "not_trusted",
    "not_addressed",
    "expired",
    "clock_untrusted",
    "not_newer",
    "sections_not_allowed",
    "invalid",
    "unresolvable",
    "locked",
    "dry_run_failed",
    "probation_failed",
    "crashed",
    "platform_unreachable",
]
CODES: tuple[Code, ...] = get_args(Code)
HELD: Code = "clock_untrusted"
"""The only one that passes by itself: the bundle is kept and judged again when the clock is trusted."""

LONGEST_LINE = 2000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A configuration that was refused, or is held for now."""

    code: Code
    text: str
    remedy: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    """Full names of tags that it is about, each with a cause."""
    devices: tuple[tuple[str, str], ...] = ()
    """Names of devices that it is about, each with a cause."""
    places: tuple[str, ...] = ()
    """Keys of the configuration that it is about."""

    @property
    def held(self) -> bool:
        """Whether it shall be judged again without having changed."""
        return self.code == HELD

    def told(self, *, with_tags: bool) -> str:
        """As the platform is told it; ``with_tags``: see :func:`agent.disclosure.messages.reason`."""
        return reason(self.code, tags=self.tags, devices=self.devices, places=self.places, with_tags=with_tags)

    def line(self) -> str:
        """For the gateway's own journal and status: the code, a colon, and one line for a person."""
        text = " ".join(f"{self.code}: {self.text}".split())
        if self.remedy:
            text += f" → {self.remedy}"
        return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"
