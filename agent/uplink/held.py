"""Why nothing is sent for now."""

from __future__ import annotations

from agent.uplink.answers import Later, Unauthorized


class Held(Exception):
    """Nothing more can be sent now; everything is kept. ``after_s``: the platform's own wish.

    ``kind``: ``failing`` (no or no sensible answer), ``refused`` (the platform does not want this gateway, or
    this chain) or ``waiting`` (for midnight).
    """

    def __init__(self, reason: str, remedy: str = "", after_s: float | None = None, kind: str = "failing") -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.after_s = after_s
        self.kind = kind


def held_by(verdict: Unauthorized | Later) -> Held:
    """What to do about an answer that settles nothing."""
    if isinstance(verdict, Unauthorized):
        remedy = "compare this gateway's clock with the platform's; else enrol again: gongfu-edge enroll"
        return Held(f"the platform refuses this gateway: {verdict.reason}", remedy, kind="refused")
    return Held(f"the platform answers {verdict.reason}", after_s=verdict.after_s)
