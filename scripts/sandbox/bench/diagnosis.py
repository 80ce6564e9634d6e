"""What the diagnosis of machines costs: CPU-seconds of a digest and of its look back over 28 days; its size.

Prints a line of JSON for each round: ``digest_s``, ``findings_s`` (50 machines × 40 tags) and ``wire_bytes`` (20
machines, as the uplink sends them).
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from zoneinfo import ZoneInfo

import msgspec

from agent.buffer.codec import decode, encode
from agent.buffer.records import RollupRecord
from agent.digest.build import build
from agent.digest.findings import Gateway, findings, windows
from agent.digest.indicators import indicators
from agent.digest.report import encode as encode_digest
from agent.digest.rollups import DAY, closed_days, days_of
from agent.uplink.transport import compress
from scripts.sandbox.bench.machines import ZONE, Plant

MACHINES, TAGS = 50, 40


def main(seconds: float) -> None:
    """Measure for so long, three times at least."""
    plant = Plant(machines=MACHINES, tags=TAGS)
    stored = [encode(batch) for batch in plant.batches()]
    inputs = plant.inputs([])
    *before, today = inputs.days
    kept = [RollupRecord(DAY, day.start, day.end, msgspec.json.encode(day)) for day in before]
    wire = len(compress(encode_digest(build(Plant().inputs()))))
    began, made = time.monotonic(), 0
    while made < 3 or time.monotonic() - began < seconds:
        used = time.process_time()
        digest = build(replace(inputs, batches=map(decode, stored), days=[*days_of(kept), today]))
        encode_digest(digest)
        digest_s = time.process_time() - used

        used = time.process_time()
        days = days_of(kept)
        zone = ZoneInfo(ZONE)
        found, _ = findings(
            inputs.spec, windows(days, today, zone), Gateway(connected=50.0, declared=100.0, clock_offset_s=0.0)
        )
        indicators(inputs.spec, inputs.enterprise, today, closed_days(days, today, zone))
        findings_s = time.process_time() - used

        assert len(digest.equipment or ()) == MACHINES and found
        print(json.dumps({"digest_s": digest_s, "findings_s": findings_s, "wire_bytes": wire}), flush=True)
        made += 1


if __name__ == "__main__":
    main(float(sys.argv[1]))
