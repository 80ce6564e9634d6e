"""The examples of the published contract, made by the code that makes digests; and the command that writes them.

    PYTHONPATH=. python -m tests.support.contract_examples            the schema and the examples, after any change
    PYTHONPATH=. python -m tests.support.contract_examples --freeze   the promise to readers as well, before a release

The frozen schema is what readers were promised. It grows at a release; a change of it that takes a promise
back is a new version of the digest, not a new frozen file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import agent.uplink.contract
from agent.buffer.records import Place
from agent.digest import prescriptions
from agent.digest.accumulate import Accumulator
from agent.digest.audience import View
from agent.digest.build import build, conclude
from agent.digest.equipment.times import Carry
from agent.digest.prescriptions import Prescribed
from agent.digest.report import Digest, PrescribedTarget, encode, schema_text
from agent.digest.rollup import rollup
from agent.digest.rollups import Sums
from agent.digest.spans import RANK, Rolled, calendar_span
from agent.digest.windows import DAY, SECOND, Period
from scripts.sandbox.bench.machines import START as PLANT_START
from scripts.sandbox.bench.machines import ZONE, Plant
from tests.support.digest_plants import FACTS, START, scenario
from tests.support.digest_press import MINUTE, PLANT, Row, concluded

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "testcases"
FROZEN = SCENARIOS / "schema-digest-1" / "digest.schema.json"
SCHEMA = Path(agent.uplink.contract.__file__).parent / "digest.schema.json"
EXAMPLES = SCHEMA.parent / "examples"
COMMAND = "PYTHONPATH=. python -m tests.support.contract_examples"


def _period() -> Digest:
    """Machines, one of which must not be told of; findings; and what became of some prescriptions."""
    inputs = Plant(machines=3, trouble=1).inputs()
    first, second, last = inputs.spec.machines
    secret = replace(last, refusal="uses a tag of sensitivity 3, which never leaves the plant")
    inputs = replace(inputs, spec=replace(inputs.spec, machines=(first, second, secret)))
    today = date(2026, 9, 21)
    target = PrescribedTarget(indicator="ISO22400.AVAILABILITY", machine="press-1", side="at_least", value=0.7)
    common = Prescribed(
        id="rx-1", revision=1, hash="a" * 64, state="received", received_us=PLANT_START - 10 * DAY,
        until=date(2026, 10, 31), target=target,
    )  # fmt: skip
    told = (
        replace(common, state="adopted", adopted=date(2026, 9, 11), decided_us=PLANT_START - 10 * DAY + SECOND),
        replace(common, id="rx-2", state="declined", decided_us=PLANT_START + SECOND, reason="too_costly"),
        replace(common, id="rx-3"),
        replace(
            common, id="rx-4", state="adopted", adopted=date(2026, 9, 11), decided_us=PLANT_START - 10 * DAY + SECOND,
            target=PrescribedTarget(
                indicator="ISO22400.REWORK_RATIO", machine="cnc-1", side="at_most", value=0.02
            ),
        ),
    )  # fmt: skip
    lines = prescriptions.lines(told, inputs.spec, inputs.days, today, ZoneInfo(ZONE))
    return build(replace(inputs, prescriptions=lines))


def _scenario(name: str) -> Callable[[], Digest]:
    return lambda: build(scenario(SCENARIOS / f"digest-{name}")[0])


def _audience() -> Digest:
    """What a chain owner is told, to whom one machine was granted."""
    inputs = Plant(machines=2, trouble=1).inputs()
    accumulator = Accumulator(inputs.spec, inputs.period)
    for batch in inputs.batches:
        accumulator.add(batch)
    known, _ = conclude(inputs, accumulator.result())
    sections = frozenset(("coverage", "equipment", "findings"))
    return known.told(View("chain-owner", sections, frozenset(("press-1",)), frozenset()))


def _rolled(kind: str) -> Callable[[], Digest]:
    """Of six periods; the third of them is missing from the day."""

    def made() -> Digest:
        carries: dict[str, Carry] = {}
        parts: list[tuple[Place, Sums]] = []
        places: list[Place] = []
        for number in range(6):
            span = Period(START + number * 15 * MINUTE, START + (number + 1) * 15 * MINUTE)
            places.append(Place(number + 1, "period", span.start, span.end))
            _, kept = concluded(_ROWS, span, carries, replace(FACTS, seq=number + 1))
            carries = dict(kept.carries)
            parts.append((places[-1], kept.sums))
        zone = ZoneInfo(FACTS.timezone)
        if kind == "shift":
            what = Rolled(RANK["shift"], Period(START, parts[-1][0].end), ("press",))
        else:
            what = Rolled(RANK["day"], calendar_span("day", datetime.fromtimestamp(START // SECOND, zone).date(), zone))
            parts.pop(2)
        return rollup(what, parts, places, [], replace(FACTS, seq=7), PLANT)[0]

    return made


_ROWS: list[Row] = [((2, 2, 2, 1, 3, 4)[tick // 30], tick % 3, tick % 2, 10 + tick % 7) for tick in range(180)]

MAKERS: dict[str, Callable[[], Digest]] = {
    "period": _period,
    "tags": _scenario("state-seconds"),
    "counters": _scenario("counter-reset"),
    "sub-meters": _scenario("sub-meters"),
    "shift": _rolled("shift"),
    "day": _rolled("day"),
    "audience": _audience,
    "nothing-recorded": _scenario("zero-samples"),
}


def made() -> dict[str, str]:
    """File name → text: the members of the exact bytes in their order, indented for people."""
    return {
        f"{name}.json": json.dumps(json.loads(encode(maker())), indent=1, ensure_ascii=False) + "\n"
        for name, maker in MAKERS.items()
    }


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--freeze", action="store_true", help="promise the schema to readers as it is now")
    options = parser.parse_args()
    for path in [SCHEMA, *([FROZEN] if options.freeze else [])]:
        path.write_text(schema_text(), encoding="utf-8")
    EXAMPLES.mkdir(exist_ok=True)
    for name, text in made().items():
        (EXAMPLES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
