"""Prescriptions as an administrator signs them, with nothing of the agent's own code but the key format."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent.control.inbox import Addressee, Inbox
from agent.control.prescription import Verified, verify
from agent.control.prescriptions import Prescriptions
from agent.control.reasons import Refusal
from agent.control.trust import Trust
from tests.support.control_bundles import GATEWAY, Signer, b64, envelope

TYPE = "gongfu-prescription"
ZONE = ZoneInfo("Asia/Shanghai")
NOW_US = 1_790_000_000_000_000
"""2026-09-21, 21:33 in Shanghai."""
TARGET = {"indicator": "ENPI.IDLE_SHARE", "machine": "press-1", "side": "at_most", "value": 0.15}


def claims(**changes: Any) -> dict[str, Any]:
    """A sound payload; None removes a member. ``begin`` is its member ``from``."""
    if "begin" in changes:
        changes["from"] = changes.pop("begin")
    value = {
        "schema": "gongfu.prescription/1",
        "gateway_id": GATEWAY,
        "id": "rx-1",
        "revision": 1,
        "issued_at": "2026-09-20T08:00:00Z",
        "findings": [{"rule": "idle_energy", "name": "press-1", "seq": 12}],
        "text": {"en": "A third of the energy is used while idle.", "zh": "三分之一的电能消耗于空载。"},
        "measure": {"en": "Switch the pump off after 5 min.", "zh": "空载5分钟后停泵。"},
        "target": TARGET,
        "from": "2026-09-21",
        "until": "2026-12-31",
        **changes,
    }
    return {name: each for name, each in value.items() if each is not None}


def signed(*signers: Signer, payload: Any = None, typ: str | None = TYPE, **changes: Any) -> bytes:
    """A prescription that these have signed. ``payload``: bytes instead of the claims."""
    body = payload if isinstance(payload, bytes) else json.dumps(claims(**changes)).encode()
    header = {"typ": typ} if typ is not None else {}
    return envelope(body, [each.signature(b64(body), **header) for each in signers])


def judged(data: bytes, trust: Trust, **options: Any) -> Verified | Refusal:
    """:func:`verify` for the gateway of these tests, whose clock is trusted."""
    given = {"now_us": NOW_US, "zone": ZONE, "newest": {}, **options}
    return verify(data, trust, given.pop("gateway_id", GATEWAY), **given)


def answer(*items: bytes) -> bytes:
    """What a platform answers."""
    return b'{"prescriptions": [' + b", ".join(items) + b"]}"


@dataclass
class SetClock:
    """Stands still until it is set."""

    now_us: int = NOW_US
    trusted: bool = True

    def now(self) -> int:
        return self.now_us


@dataclass
class Desk:
    """A folder, and what judges for it."""

    folder: Path
    trust: Trust
    clock: SetClock = field(default_factory=SetClock)
    wanted: bool | None = None

    @property
    def book(self) -> Prescriptions:
        """As a command would open it."""
        return Prescriptions(self.folder)

    def inbox(self) -> Inbox:
        """As after a start of the agent."""
        addressee = Addressee(
            id=lambda: GATEWAY, trust=lambda: self.trust, zone=lambda: ZONE, wanted=lambda: self.wanted
        )
        return Inbox(self.book, self.clock, addressee)

    def refusals(self) -> list[tuple[str, str]]:
        """(id, code) of what is not taken."""
        return [(each.id, each.reason.partition(":")[0]) for each in self.book.refused()]
