"""``python -m scripts.sandbox.month``: how far a month of digests agrees with what really happened."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.sandbox.month.check import Report, check
from scripts.sandbox.month.plant import Plant, berlin, shanghai
from scripts.sandbox.month.run import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, have the digests made, compare; 0 when they agree."""
    parser = argparse.ArgumentParser(prog="python -m scripts.sandbox.month", description=__doc__)
    parser.add_argument("--plant", choices=("shanghai", "berlin"), default="shanghai", help="which plant")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another history")
    parser.add_argument("--period", type=int, default=15, choices=(15, 60), help="minutes of a digest (shanghai)")
    options = parser.parse_args(arguments)
    plant = berlin(options.seed) if options.plant == "berlin" else shanghai(options.seed, period_min=options.period)
    used = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(compared(plant, Path(folder)))
    print(f"CPU          {time.process_time() - used:.0f} s")
    for line in told(report):
        print(line)
    return 0 if report.agrees else 1


async def compared(plant: Plant, folder: Path) -> Report:
    """The report on a plant's month; the store is made in ``folder``."""
    show = (lambda text: print(text, file=sys.stderr)) if sys.stderr.isatty() else (lambda text: None)
    made = await run(plant, folder, show)
    await made.store.close()
    return check(plant, made.digests)


def told(report: Report) -> list[str]:
    """The report for people."""
    lines = [f"{name:12} {100 * error:.4f} % at most ({where})" for name, (error, where) in report.errors.items()]
    lines.append(f"unknown time within {report.unknown_s[0]:.1f} s ({report.unknown_s[1]})")
    lines.append(
        f"{report.agreed} verdicts of rules agree; {len(report.missed)} missed, {len(report.invented)} invented"
    )
    planted = sorted({rule for rule, _ in report.planted})
    lines.append(f"rules that found something, as they should: {len(planted)} ({', '.join(planted)})")
    return [*lines, *report.events, *report.sums, *report.missed, *report.invented]


if __name__ == "__main__":
    sys.exit(main())
