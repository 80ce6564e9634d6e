"""The demonstration's administrator: a good revision that is applied live, and a bad one that is refused.

Everything is done with the commands that an administrator types, by processes of their own beside the
demonstration; :meth:`Administrator.go_on` is called now and then and never waits.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from scripts.sandbox.demo_summary import Place, get, gongfu_edge
from scripts.sandbox.processes import Failed, Processes

OVERLAY = Path(__file__).with_name("demo_overlay.toml")
PARK = "park=hongkou-01"
ENERGY = {1: "0x101E", 2: "0x401E"}
"""By revision: where the meter's energy is said to be. The second is wrong."""
AIM = {1: "meter-1 shall be read with one tag more", 2: "the same, with a wrong register for meter-1.energy"}
PATIENCE = "180s"

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the platform says of both revisions."""

    applied: bool = False
    refused: bool = False
    reason: str = ""

    @property
    def good(self) -> bool:
        """The good one is in force, and the bad one was refused before anything was switched."""
        return self.applied and self.refused

    def text(self) -> str:
        """Two lines for a person."""
        first = "applied live, proven by data" if self.applied else "NOT applied"
        second = "refused by the dry run" if self.refused else "NOT refused"
        return (
            f"  revision 1      {first}: {AIM[1]}\n"
            f"  revision 2      {second}: {self.reason or 'the platform says nothing of it'}"
        )


class Administrator:
    """Makes a key, then signs and pushes one revision after the other."""

    def __init__(self, place: Place, processes: Processes, modbus: int, tell: Tell) -> None:
        self._place = place
        self._processes = processes
        self._modbus = modbus
        self._tell = tell
        self._trust = place.run / "admins.jwks"
        self._steps = [self._until_known, *(step for number in ENERGY for step in self._rollout(number))]
        self.outcome = Outcome()
        self._said = ""

    @property
    def done(self) -> bool:
        """Whether both rollouts have ended, however."""
        return not self._steps

    def make_key(self) -> None:
        """Begin to make the key."""
        made = ["--out", str(self._place.run / "admin.key"), "--trust", str(self._trust)]
        command = [*gongfu_edge(), "admin", "keygen", "--name", "Demo Admin", *made]
        self._processes.start("keygen", command, cwd=self._place.run, ends=True)

    def pin_key(self, platform: Path) -> None:
        """Pin it at the platform that keeps its data there; the gateway's configuration names the trust file."""
        self._processes.wait_for("the administrator's key", lambda: self._processes.ended("keygen") is not None)
        try:
            shutil.copyfile(self._trust, platform / "admins.jwks")
        except OSError as error:
            raise Failed(f"no administrator's key was made → see {self._place.run / 'keygen.log'}") from error

    def go_on(self) -> None:
        """Take the next step if the one before has ended."""
        if self._steps and self._steps[0]():
            del self._steps[0]
        self._tell_news()

    def _until_known(self) -> bool:
        """Whether the platform knows where the gateway belongs, and all that is to go on delivering delivers."""
        if PARK.partition("=")[2].encode() not in (get(f"{self._place.platform}/fleet") or b""):
            return False
        devices = self._place.status().get("devices", [])
        return bool(devices) and all(each["state"] == "running" for each in devices)

    def _rollout(self, number: int) -> list[Callable[[], bool]]:
        draft = self._place.run / f"revision-{number}.toml"
        bundle, key = draft.with_suffix(".bundle"), ["--key", str(self._place.run / "admin.key")]

        def start(action: str, *arguments: str) -> bool:
            command = [*gongfu_edge(), "admin", action, *arguments, *key]
            self._processes.start(f"{action}-{number}", command, cwd=self._place.run, ends=True)
            return True

        def sign() -> bool:
            overlay = Template(OVERLAY.read_text(encoding="utf-8"))
            draft.write_text(overlay.substitute(MODBUS=self._modbus, ENERGY=ENERGY[number]), encoding="utf-8")
            against = ["--against", str(self._place.run / "config.toml")]
            return start("sign", str(draft), "--selector", PARK, "--revision", str(number), *against)

        def push() -> bool:
            self._tell("admin", f"revision {number} signed and pushed: {AIM[number]}")
            url = f"{self._place.platform}/api/v1"
            return start("push", str(bundle), "--url", url, "--every", "500ms", "--patience", PATIENCE)

        def has_ended(action: str) -> Callable[[], bool]:
            return lambda: self._processes.ended(f"{action}-{number}") is not None

        return [sign, has_ended("sign"), push, has_ended("push"), self._judge]

    def _judge(self) -> bool:
        """Ask the platform how it went, and whether its page says so."""
        shown = self._gateway()
        reason, page = (
            str(shown.get("last_error", "")),
            get(f"{self._place.platform}/gateways/{shown.get('id')}") or b"",
        )
        applied = shown.get("running_revision") == 1
        refused = shown.get("attempted_revision") == 2 and reason.startswith("dry_run_failed: ")
        self.outcome = Outcome(applied, refused and b"dry_run_failed: " in page, reason)
        return True

    def _gateway(self) -> dict[str, Any]:
        arguments = ["--url", f"{self._place.platform}/api/v1", "--key", str(self._place.run / "admin.key"), "--json"]
        try:
            found = json.loads(self._place.plain("admin", "status", *arguments, codes=(0, 1)))
        except ValueError:
            found = []
        return dict(found[0]) if found else {}

    def _tell_news(self) -> None:
        """What the gateway makes of it, at each change."""
        config = self._place.status().get("config", {})
        state, attempted = config.get("status", "UNSET"), config.get("attempted_revision", 0)
        said = {
            "APPLYING": f"revision {attempted}: read once for trial, then on probation",
            "APPLIED": f"revision {attempted}: in force; every device delivers",
            "FAILED": f"revision {attempted}: refused, revision {config.get('running_revision')} stays in force",
        }.get(state, "")
        if said != self._said:
            self._said = said
            self._tell("gateway", said)
