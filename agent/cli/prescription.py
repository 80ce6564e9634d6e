"""``gongfu-edge prescription``: what the platform prescribes, what the plant makes of it, and what it has brought."""

from __future__ import annotations

import argparse
import asyncio
import time
from argparse import Namespace
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from agent.cli.main import parser_for
from agent.cli.times import iso
from agent.errors import GongfuError
from agent.table import one_line, table

if TYPE_CHECKING:
    from agent.config.model import Configuration
    from agent.control.prescription import Prescription
    from agent.control.prescriptions import Case, Decision, Prescriptions
    from agent.digest.prescriptions import Prescribed
    from agent.digest.report import PrescriptionLine, Stretch

EXAMPLE = """  gongfu-edge prescription list
  gongfu-edge prescription show rx-2026-014
  gongfu-edge prescription adopt rx-2026-014 --on 2026-11-23 --note "timer set by Mr Li"
  gongfu-edge prescription decline rx-2026-014 --reason no_means --note "budget of next year"
The platform is told the day and the reason's word; a note stays in the plant. Works whether or not the agent runs."""
KEPT_DAYS = 400
"""Sums of days are kept for so long."""


def main(arguments: Sequence[str]) -> int:
    """Run the subcommand."""
    parser = parser_for("prescription", example=EXAMPLE)
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|show|adopt|decline")
    commands.add_parser("list", help="all of them, and what became of each")
    show = commands.add_parser("show", help="the whole text, the decision, and the measured effect until yesterday")
    adopt = commands.add_parser("adopt", help="say that the plant has carried it out")
    adopt.add_argument("--on", metavar="DATE", help="first day with the measure (default: today, at the plant)")
    adopt.add_argument("--note", default="", help="for the plant itself; never sent")
    decline = commands.add_parser("decline", help="say that the plant does not carry it out")
    decline.add_argument("--reason", required=True, metavar="WORD", help="what the platform is told; see below")
    decline.add_argument("--note", default="", help="for the plant itself; never sent")
    decline.formatter_class = argparse.RawDescriptionHelpFormatter
    decline.epilog = _reasons()
    for each in (show, adopt, decline):
        each.add_argument("id")
    for each in commands.choices.values():
        each.add_argument("--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    return _COMMANDS[options.action](_Here(options.config), options)


def _reasons() -> str:
    from agent.control.prescriptions import REASONS

    return "reasons:\n" + "\n".join(f"  {word:<19}{meaning}" for word, meaning in REASONS.items())


class _Here:
    """The gateway that the command is about."""

    def __init__(self, path: Path) -> None:
        from agent.cli.owner import loaded
        from agent.control.prescriptions import Prescriptions

        self.configuration: Configuration = loaded(path)
        gateway = self.configuration.file.gateway
        self.zone = ZoneInfo(gateway.timezone)
        self.book: Prescriptions = Prescriptions(Path(gateway.data_dir) / "prescriptions")
        self.now_us = time.time_ns() // 1000

    @property
    def today(self) -> date:
        """By the plant's calendar."""
        from agent.digest.effect import local_date

        return local_date(self.now_us, self.zone)

    def line(self, case: Case) -> PrescriptionLine:
        """What the next digest would say, nothing withheld from the plant itself."""
        found = case.at(self.now_us + 1)
        if found is None:
            raise GongfuError(f"{case.id} came later than this machine's clock says", remedy="set the clock")
        return asyncio.run(self._measured(found))

    async def _measured(self, found: Prescribed) -> PrescriptionLine:
        from agent.cli.stores import reading
        from agent.digest import rollups
        from agent.digest.prescriptions import lines, look_back
        from agent.digest.spec import compile_spec

        first, days = look_back([found]), []
        if first is not None:
            async with reading(self.configuration) as store:
                begin, end = (rollups.day_begin(each, self.zone) for each in (first, self.today))
                days = rollups.days_of(await store.rollups(rollups.DAY, begin, end))
        spec = compile_spec(self.configuration, {}, {})
        (line,) = lines([found], spec, days, self.today, self.zone, within=True)
        return line


def _list(here: _Here, _options: Namespace) -> int:
    from agent.digest.prescriptions import state_of

    rows = []
    for case in here.book.cases():
        content, found = case.newest.content(), case.at(here.now_us + 1)
        state = state_of(found, here.today) if found else "received"
        rows.append((case.id, str(content.revision), state, str(content.until), _target(content), _first(content)))
    rows += [(each.id or "?", str(each.revision or ""), "refused", "", "", each.reason) for each in here.book.refused()]
    if not rows:
        print("the platform has prescribed nothing")
        return 0
    print(table(("id", "revision", "state", "until", "target", "measure"), rows))
    return 0


def _show(here: _Here, options: Namespace) -> int:
    case = here.book.case(options.id)
    content, line = case.newest.content(), here.line(case)
    print(f"{case.id}, revision {content.revision}: {line.state}")
    print(f"signed by  {one_line(', '.join(case.newest.signers))}, received {iso(case.newest.received_us)}")
    print(f"time       {content.begin} to {content.until}")
    print(f"target     {_target(content)}")
    for each in content.findings:
        where = f"{each.name or 'the gateway'}{f', digest {each.seq}' if each.seq else ''}"
        print(f"because of {each.rule}: {one_line(where)}")
    for title, texts in (("finding", content.text), ("measure", content.measure)):
        for text in filter(None, (texts.en, texts.zh)):
            print(f"\n{title}:\n{_indented(text)}")
    decision = case.decision()
    if decision is not None:
        print(f"\n{_decided(decision)}")
    if line.state == "adopted":
        _print_effect(line)
    return 0


def _print_effect(line: PrescriptionLine) -> None:
    found = {name: each for name, each in (("before", line.before), ("after", line.after)) if each}
    print("measured effect, of whole days:")
    if found:
        rows = [_cells(name, each) for name, each in found.items()]
        print(table(("", "value", "made of", "days", "coverage", "from", "to"), rows, right=(1, 3, 4)))
    words = [f"change {line.change:+.6g}"] if isinstance(line.change, float) else []
    words += ["target reached" if line.reached else "target not reached"] if isinstance(line.reached, bool) else []
    words += [line.reason] if isinstance(line.reason, str) else []
    print("; ".join(words))


def _cells(name: str, each: Stretch) -> tuple[str, ...]:
    unit = "" if each.unit == "1" else f" {each.unit}"
    made_of = "" if each.numerator is None else f"{each.numerator:.6g} / {_number(each.denominator)}"
    coverage = "-" if each.coverage is None else f"{100 * each.coverage:.1f} %"
    value = f"{_number(each.value)}{unit}" if each.value is not None else f"- ({each.reason})"
    return name, value, made_of, str(each.days), coverage, each.span.start, each.span.end


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _adopt(here: _Here, options: Namespace) -> int:
    on = _date(options.on) if options.on else here.today
    if not here.today - timedelta(days=KEPT_DAYS) <= on <= here.today:
        raise GongfuError(
            f"--on {on} is {'in the future' if on > here.today else 'too long ago'}",
            remedy="say it when it has been done; the effect is measured from the day after",
        )
    _decide(here, options, "adopted", on=on.isoformat())
    print(f"{options.id} is adopted since {on}; the effect is measured from the day after")
    return 0


def _decline(here: _Here, options: Namespace) -> int:
    from agent.control.prescriptions import REASONS

    if options.reason not in REASONS:
        raise GongfuError(
            f"--reason {options.reason} is none", remedy=f"one of: {', '.join(REASONS)}; words go to --note"
        )
    _decide(here, options, "declined", reason=options.reason)
    print(f"{options.id} is declined: {REASONS[options.reason]}")
    return 0


def _decide(here: _Here, options: Namespace, state: Literal["adopted", "declined"], **more: str) -> None:
    from agent.control.prescriptions import LONGEST_NOTE, Decision

    if len(options.note) > LONGEST_NOTE:
        raise GongfuError(f"the note has {len(options.note)} characters", remedy=f"{LONGEST_NOTE} at most")
    newest = here.book.case(options.id).newest
    # Nothing is decided before it has come, whatever this machine's clock says.
    at_us = max(here.now_us, newest.received_us)
    decision = Decision(revision=newest.revision, state=state, at_us=at_us, note=options.note, **more)
    here.book.decide(options.id, decision)


def _decided(decision: Decision) -> str:
    what = f"adopted on {decision.on}" if decision.on else f"declined: {decision.reason}"
    note = f" ({one_line(decision.note)})" if decision.note else ""
    return f"{what}{note}, said {iso(decision.at_us)}"


def _target(content: Prescription) -> str:
    target = content.target
    return one_line(f"{target.indicator} of {target.machine} {target.side.replace('_', ' ')} {target.value:g}")


def _first(content: Prescription) -> str:
    text = (content.measure.en or content.measure.zh).strip().partition("\n")[0]
    return text if len(text) <= 50 else text[:49] + "…"


def _indented(text: str) -> str:
    return "\n".join(f"  {one_line(line)}" for line in text.split("\n"))


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise GongfuError(f"cannot read the date {text!r}", remedy='write it as "2026-11-23"') from None


_COMMANDS = {"list": _list, "show": _show, "adopt": _adopt, "decline": _decline}
