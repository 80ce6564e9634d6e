"""Why a configuration from outside is not in force: one code each, in the order of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

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

    @property
    def held(self) -> bool:
        """Whether it shall be judged again without having changed."""
        return self.code == HELD

    def line(self) -> str:
        """As the status says it in ``last_error``: the code, a colon, and one line for a person."""
        text = " ".join(f"{self.code}: {self.text}".split())
        if self.remedy:
            text += f" → {self.remedy}"
        return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"
