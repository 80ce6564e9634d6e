"""What came of a demonstration: what was read, what left, and whether it can be proven."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.sandbox.processes import Failed

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Place:
    """A demonstration's folder, with the agent's configuration in it, and the root URLs of platform and agent."""

    run: Path
    platform: str
    console: str

    def agent(self, *arguments: str) -> str:
        """What a command of the agent prints. Raises Failed."""
        return command([*gongfu_edge(), *arguments, "--config", str(self.run / "config.toml")], cwd=self.run)

    def plain(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """What a command prints that is not about the agent. Raises Failed when it ends with another code."""
        return command([*gongfu_edge(), *arguments], cwd=self.run, codes=codes)

    def status(self) -> dict[str, Any]:
        """What the running agent says of itself; empty while it does not answer."""
        return dict(json.loads(get(f"{self.console}/api/status") or b"{}"))

    def report(self) -> dict[str, Any]:
        """What the platform says of our gateway's chain, verified from the bytes that it stored."""
        reports = json.loads(get(f"{self.platform}/api/v1/gateways") or b"[]")
        nothing = {"digests": 0, "verified": 0, "rejected": 0, "ok": False, "failures": ["nothing received"]}
        return next((each for each in reports if not each["stream"]), nothing)


@dataclass(frozen=True, slots=True)
class Kept:
    """Samples of one device that the agent keeps."""

    tags: int
    samples: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of a demonstration whose agent has ended."""

    devices: dict[str, Kept]
    csv_bytes: int
    sent_bytes: int
    parts: str
    cnc_parts: str
    built: int
    digested: str
    report: dict[str, Any]
    by_platform: tuple[bool, str]
    by_agent: tuple[bool, str]

    @classmethod
    def gather(cls, place: Place, built: int) -> Summary:
        """Ask the agent's commands and the platform. Raises Failed."""
        samples = place.agent("export", "--from", "7d", "--to", "now")
        (place.run / "samples.csv").write_text(samples, encoding="utf-8")
        evidence = place.run / "evidence"
        place.agent("digest", "export", str(evidence))
        keys = ["--keys", str(evidence / "keys.jwks")]
        verify = [sys.executable, "-m", "scripts.sandbox.platform", "verify", "--data", str(place.run / "platform")]
        return cls(
            devices=kept(samples),
            csv_bytes=len(samples.encode()),
            sent_bytes=sent(place.agent("ledger", "--uploads")),
            parts=parts(samples, text(place.run / "truth.jsonl")),
            cnc_parts=parts(samples, text(place.run / "truth.jsonl"), "cnc-1.produced", "part"),
            built=built,
            digested=digested(evidence, "cnc-1."),
            report=place.report(),
            by_platform=_verdict(verify, ROOT, lines=9),  # one a chain
            by_agent=_verdict([*gongfu_edge(), "digest", "verify", str(evidence), *keys], place.run),
        )

    @property
    def accepted(self) -> int:
        """Digests that the platform took."""
        return int(self.report["digests"]) - int(self.report["rejected"])

    @property
    def good(self) -> bool:
        """Digests were accepted, and every one was verified by both sides."""
        verified = self.report["ok"] and self.report["verified"] == self.accepted > 0
        return bool(verified and self.by_platform[0] and self.by_agent[0])

    def text(self) -> str:
        """For a person."""
        rows = [f"  {'device':<16}{'tags':>6}{'samples kept':>16}{'bad':>8}"]
        rows += [
            f"  {name:<16}{each.tags:>6}{each.samples:>16,}{each.bad:>8,}"
            for name, each in sorted(self.devices.items())
        ]
        report = self.report
        proven = f"{report['verified']} verified, {report['rejected']} rejected by the platform"
        return "\n".join(
            [
                "",
                *rows,
                "",
                f"  digests         {self.built} built, {self.accepted} accepted, {proven}",
                f"  of OPC UA       {self.digested}",
                f"  the platform    {_indented(self.by_platform[1])}",
                f"  digest verify   {self.by_agent[1]}",
                f"  parts, press    {self.parts}",
                f"  parts, cnc      {self.cnc_parts} (OPC UA)",
                f"  left the plant  {self.sent_bytes:,} bytes; the samples, {self.csv_bytes:,} bytes as CSV, stayed",
                "",
            ]
        )


def diagnosis(place: Place) -> str:
    """Where the diagnosis of the demonstration lies, as a page; nothing where no pictures can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        return ""
    page = place.run / "diagnosis.html"
    place.agent("diagnose", "--from", "1h", "--html", str(page))
    return f"  diagnosis       {page.relative_to(ROOT)}      open it in a browser, or print it\n"


def commands(place: Place, wanted: Mapping[str, str]) -> str:
    """Commands of the agent, each with what it shows, as they are to be typed in the checkout."""
    typed = [_short(part) for part in gongfu_edge()]
    configuration = _short(str(place.run / "config.toml"))
    return "\n".join(
        f"    {' '.join([*typed, words, '--config', configuration])}\n        {what}" for words, what in wanted.items()
    )


def _short(path: str) -> str:
    return os.path.relpath(path, ROOT) if Path(path).is_relative_to(ROOT) else path


def kept(samples: str) -> dict[str, Kept]:
    """Device → what was kept of it, from an export as CSV."""
    total: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    tags: dict[str, set[str]] = {}
    for row in csv.DictReader(io.StringIO(samples)):
        device = row["tag"].partition(".")[0]
        total[device] += 1
        bad[device] += row["quality"] == "bad"
        tags.setdefault(device, set()).add(row["tag"])
    return {each: Kept(len(tags[each]), total[each], bad[each]) for each in total}


def parts(samples: str, truth: str, tag: str = "press-1.total", event: str = "cycle") -> str:
    """Parts as the agent counted them by a tag, and as the plant made them in the same time."""
    seen = [
        (row["time"], float(row["value"]))
        for row in csv.DictReader(io.StringIO(samples))
        if row["tag"] == tag and row["quality"] == "good"
    ]
    if not seen:
        return "none seen"
    (first, before), (last, after) = seen[0], seen[-1]
    cycles = [record for record in map(json.loads, truth.splitlines()) if record["event"] == event]
    made = sum(first < record["time"] <= last for record in cycles)
    return f"{after - before:.0f} counted by the agent, {made} really made in that time"


def digested(evidence: Path, prefix: str) -> str:
    """What the last digest that has something of these tags says of them."""
    for path in sorted(evidence.glob("*.json"), key=lambda each: int(each.stem), reverse=True):
        tags = [each for each in json.loads(path.read_bytes())["tags"] if each["name"].startswith(prefix)]
        known = [each for each in tags if each["good"]]
        if known:
            figures = sorted(
                (each for each in known if each["kind"] != "state"), key=lambda each: each["kind"] != "gauge"
            )
            shown = [f"{each['name']} {_figure(each)}" for each in figures]
            return f"digest {path.stem} has {len(known)} tags of it, such as {', '.join(shown[:2])}"
    return "no digest has anything of it"


def _figure(tag: dict[str, Any]) -> str:
    name = "delta" if tag["kind"] == "counter" else "mean"
    return f"{name} {tag[name]}"


def sent(ledger: str) -> int:
    """Bytes that left, from the agent's upload ledger; the last two columns are bytes and answer."""
    lines = [line.split() for line in ledger.splitlines()]
    return sum(int(line[-2]) for line in lines if len(line) > 2 and line[-2].isdigit())


def gongfu_edge() -> list[str]:
    """The installed command of this Python's environment; without one, the module."""
    installed = Path(sys.executable).with_name("gongfu-edge")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "agent.cli.main"]


def command(line: Sequence[str], *, cwd: Path, codes: Sequence[int] = (0,)) -> str:
    """What a command prints. Raises Failed with its last line when it fails."""
    code, out, error = _run(line, cwd)
    if code not in codes:
        said = (error or out).strip().splitlines() or ["it said nothing"]
        # Only the first words: the others may hold a token.
        raise Failed(f"{Path(line[0]).name} {' '.join(line[1:3])} failed: {said[-1]}")
    return out


def get(url: str) -> bytes | None:
    """The answer's body, or None while nobody answers. Never through a proxy: it is on this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            body: bytes = answer.read()
            return body
    except OSError:
        return None


def text(path: Path) -> str:
    """A file's text; empty while it does not exist."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _verdict(line: Sequence[str], cwd: Path, lines: int = 1) -> tuple[bool, str]:
    code, out, error = _run(line, cwd)
    return code == 0, "\n".join(((out + error).strip().splitlines() or ["it said nothing"])[-lines:])


def _indented(lines: str) -> str:
    return lines.replace("\n", "\n" + " " * 18)


def _run(line: Sequence[str], cwd: Path) -> tuple[int, str, str]:
    environment = os.environ | {"PYTHONUTF8": "1"}
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr
