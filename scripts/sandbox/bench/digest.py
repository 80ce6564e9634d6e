"""CPU-seconds to make a digest of 2,000 shared tags × 900 samples from stored blocks, several times."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.buffer.batch import Batch
from agent.buffer.codec import decode, encode
from agent.config.model import Configuration
from agent.config.parse import load
from agent.digest.build import build
from agent.digest.inputs import DigestInputs, Facts
from agent.digest.report import encode as encode_digest
from agent.digest.spec import compile_spec, group_interval
from agent.digest.windows import Period

TAGS, SAMPLES = 2_000, 900
SCANS_A_BLOCK = 5
SECOND = 1_000_000
START = 1_790_000_100 * SECOND

FACTS = Facts(
    gateway="bench",
    seq=1,
    previous="0" * 64,
    timezone="Asia/Shanghai",
    config_hash="0" * 64,
    agent_version="bench",
    clock_trusted=True,
    clock_source="ntp",
)


def configuration() -> Configuration:
    """One device, all of whose tags are shared."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(
            '[gateway]\nname = "bench"\n[digest]\nshare = ["plc.r"]\n'
            '[[device]]\nname = "plc"\ndriver = "modbus"\ninterval = "1s"\nconnection = { host = "127.0.0.1" }\n'
            f'[[device.tag]]\nname = "r"\naddress = "holding:0"\ntype = "uint16"\ncount = {TAGS}\n',
            encoding="utf-8",
        )
        return load(path)


def blocks() -> Iterator[bytes]:
    """The period as the store keeps it: noisy 16-bit values, all changing at every scan."""
    chance = np.random.default_rng(1)
    level = chance.uniform(0, 60_000, TAGS)
    for first in range(0, SAMPLES, SCANS_A_BLOCK):
        scans = START + (np.arange(first, first + SCANS_A_BLOCK, dtype=np.int64)) * SECOND + 5_000
        noise = chance.normal(0, 20, (TAGS, SCANS_A_BLOCK))
        yield encode(
            Batch(
                series=np.repeat(np.arange(TAGS, dtype=np.int32), SCANS_A_BLOCK),
                time=np.tile(scans, TAGS),
                value=np.clip(np.round(level[:, None] + noise), 0, 65_535).ravel(),
                quality=np.zeros(TAGS * SCANS_A_BLOCK, np.uint8),
                scan_group=np.zeros(SCANS_A_BLOCK, np.int32),
                scan_time=scans - 5_000,
                scan_late=np.zeros(SCANS_A_BLOCK, np.int32),
            )
        )


def main(seconds: float) -> None:
    """Print the CPU-seconds of each digest made within ``seconds``, three at least."""
    plant, stored = configuration(), list(blocks())
    names = [tag.series for device in plant.devices for tag in device.tags]
    spec = compile_spec(plant, {name: at for at, name in enumerate(names)}, {("plc", group_interval(1.0)): 0})
    began, made = time.monotonic(), 0
    while made < 3 or time.monotonic() - began < seconds:
        used = time.process_time()
        inputs = DigestInputs(
            period=Period(START, START + SAMPLES * SECOND),
            spec=spec,
            enterprise=plant.file.enterprise,
            facts=FACTS,
            batches=map(decode, stored),
        )
        digest = build(inputs)
        encode_digest(digest)
        print(time.process_time() - used, flush=True)
        assert len(digest.tags) == TAGS and digest.tags[0].good == SAMPLES
        made += 1


if __name__ == "__main__":
    main(float(sys.argv[1]))
