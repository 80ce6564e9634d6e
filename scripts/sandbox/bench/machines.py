"""A plant of machines with all that a digest tells of them, seeded: for the size of digests and the time they take.

Each machine has a device of its own, read each second: state word, counters of pieces, power, energy, and gauges
up to the number of tags wanted. What it does is drawn at random, to the microsecond and the watt, so that nothing
compresses better than on a shop floor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.buffer.batch import Batch
from agent.config.model import Configuration
from agent.config.parse import load
from agent.digest.equipment.energy import bin_of
from agent.digest.equipment.sums import MachineSums
from agent.digest.inputs import DigestInputs, Facts
from agent.digest.rollups import DeviceSums, Sums, days_before
from agent.digest.spec import compile_spec, group_interval
from agent.digest.windows import Period

SECOND = 1_000_000
HOUR = 3600 * SECOND
START = 1_790_000_100 * SECOND
"""Within the second shift of a Monday."""
SAMPLES = 900
SCANS_A_BLOCK = 30
ZONE = "Asia/Shanghai"
KEY_TAGS = ("state", "total", "good", "scrap", "p", "energy")
OFF, STANDBY, EXECUTING, FAULT, SETUP = range(5)

_HEAD = """\
[gateway]
name = "press-shop-1"
timezone = "Asia/Shanghai"
[enterprise]
name = "示例精密冲压有限公司"
credit_code = "91350100M000100Y43"
above_designated_size = true
industry = "3670"
district = "310109"
town = "广中路街道"
park = "hongkou-01"
chains = [{ name = "auto-parts", owner = "91350100M000100Y43", role = "tier-2" }]
operator = "CT"
uplink = "5g"
inventory = { production_equipment = 48, digital = 36 }
"""
_MACHINE = """\
[[device]]
name = "{name}"
driver = "modbus"
interval = "1s"
connection = {{ host = "127.0.0.1" }}
tag = [
  {{ name = "state", address = "holding:0", type = "uint16", kind = "state" }},
  {{ name = "total", address = "holding:2", type = "uint32", kind = "counter" }},
  {{ name = "good", address = "holding:4", type = "uint32", kind = "counter" }},
  {{ name = "scrap", address = "holding:6", type = "uint32", kind = "counter" }},
  {{ name = "p", address = "holding:8", type = "float32", unit = "kW" }},
  {{ name = "energy", address = "holding:10", type = "float64", unit = "kWh", kind = "counter" }},
  {gauges}
]
[[equipment]]
name = "{name}"
key_process = {key}
state = {{ tag = "{name}.state", map = {{ 0 = "off", 1 = "standby", 2 = "executing", 3 = "fault", 4 = "setup" }} }}
produced = "{name}.total"
good = "{name}.good"
scrap = "{name}.scrap"
ideal_cycle = "{cycle}ms"
power = "{name}.p"
energy = "{name}.energy"
contract_kw = 60
calendar = {{ days = ["mon", "tue", "wed", "thu", "fri"], shifts = ["08:00-16:00", "16:00-24:00"] }}
"""


def names(machines: int) -> list[str]:
    """As a shop numbers them."""
    kinds = ("press", "cnc", "weld", "paint", "pack")
    return [f"{kinds[number % len(kinds)]}-{number // len(kinds) + 1}" for number in range(machines)]


def configuration(machines: int, tags: int = len(KEY_TAGS)) -> Configuration:
    """``tags``: of each machine, of which those beyond :data:`KEY_TAGS` are gauges that nobody shares."""
    more = tags - len(KEY_TAGS)
    gauges = f'{{ name = "g", address = "holding:20", type = "uint16", count = {more} }}' if more > 0 else ""
    text = _HEAD + "".join(
        _MACHINE.format(name=name, key=str(number % 3 == 0).lower(), cycle=3100 + 170 * number, gauges=gauges)
        for number, name in enumerate(names(machines))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load(path)


@dataclass(frozen=True, slots=True)
class Plant:
    """``trouble``: share of the machines that a rule finds something at, for each rule by itself."""

    machines: int = 20
    tags: int = len(KEY_TAGS)
    trouble: float = 0.15
    seed: int = 1

    def inputs(self, batches: Sequence[Batch] | Iterator[Batch] | None = None) -> DigestInputs:
        """What the digest of a quarter of an hour is made of; ``batches``: instead of :meth:`batches`."""
        plant = configuration(self.machines, self.tags)
        tags = [tag.series for device in plant.devices for tag in device.tags]
        groups = {(name, group_interval(1.0)): number for number, name in enumerate(names(self.machines))}
        return DigestInputs(
            period=Period(START, START + SAMPLES * SECOND),
            spec=compile_spec(plant, {name: number for number, name in enumerate(tags)}, groups),
            enterprise=plant.file.enterprise,
            facts=Facts(
                gateway="gw-d8eaf7eb0c147812",
                seq=2_716,
                previous=np.random.default_rng(self.seed).bytes(32).hex(),
                timezone=ZONE,
                config_hash=np.random.default_rng(self.seed + 1).bytes(32).hex(),
                agent_version="1.0.0",
                clock_trusted=True,
                clock_source="ntp",
                offset_us=1_734_211 if self.trouble == 1 else -3_127,
            ),
            batches=self.batches() if batches is None else batches,
            days=self.days(),
        )

    def batches(self) -> Iterator[Batch]:
        """As the recorder cuts them: what changed, with a full record at the start of each."""
        chance = np.random.default_rng(self.seed)
        columns = np.concatenate([self._columns(chance) for _ in range(self.machines)])
        rows = len(columns)
        machine = np.arange(rows) // self.tags
        changed = np.diff(columns, axis=1, prepend=np.nan) != 0
        changed[:, ::SCANS_A_BLOCK] = True
        read = chance.random((self.machines, SAMPLES)) > (0.0005 if self.trouble < 1 else 0.22)
        stamps = START + np.arange(SAMPLES, dtype=np.int64) * SECOND + chance.integers(1_000, 9_000, SAMPLES)
        delay = chance.integers(2_000, 30_000, (self.machines, SAMPLES))
        for first in range(0, SAMPLES, SCANS_A_BLOCK):
            part = slice(first, first + SCANS_A_BLOCK)
            row, column = np.nonzero(changed[:, part] & read[machine, part])
            scanned, when = np.nonzero(read[:, part].T)[::-1]
            yield Batch(
                series=row.astype(np.int32),
                time=(stamps[part] + delay[:, part])[machine[row], column],
                value=columns[:, part][row, column],
                quality=np.zeros(len(row), np.uint8),
                scan_group=scanned.astype(np.int32),
                scan_time=stamps[part][when],
                scan_late=np.zeros(len(scanned), np.int32),
            )

    def _columns(self, chance: np.random.Generator) -> NDArray[np.float64]:
        """One machine's tags × samples."""
        words: list[int] = []
        while len(words) < SAMPLES:
            words += [EXECUTING] * int(chance.exponential(240) + 20)
            words += [int(chance.choice([STANDBY, FAULT, SETUP], p=[0.7, 0.2, 0.1]))] * int(chance.exponential(45) + 3)
        state = np.array(words[:SAMPLES], np.float64)
        level = chance.uniform(8, 45)
        load = np.choose(state.astype(int), [0.02, 0.3, 1.0, 0.25, 0.4]) * level
        power = np.round(np.maximum(load + chance.normal(0, 0.03 * level, SAMPLES), 0.01), 3).astype(np.float32)
        energy = chance.uniform(1e4, 9e5) + np.cumsum(power) / 3600
        made = np.cumsum((state == EXECUTING) / chance.uniform(3.2, 9.0))
        pieces = np.floor(made)
        scrap = np.floor(pieces * chance.uniform(0.002, 0.03))
        total = chance.integers(10_000, 900_000) + pieces
        own = [state, total, total - 1000 - scrap, 50 + scrap, power.astype(np.float64), np.round(energy, 2)]
        gauges = self.tags - len(KEY_TAGS)
        noise = chance.normal(0, 20, (gauges, SAMPLES))
        return np.vstack([*own, np.clip(np.round(chance.uniform(0, 60_000, (gauges, 1)) + noise), 0, 65_535)])

    def days(self) -> list[Sums]:
        """The 27 days before, and today so far."""
        chance = np.random.default_rng(self.seed + 2)
        known = names(self.machines)
        characters = [self._character(chance) for _ in known]
        today = days_before(START, ZoneInfo(ZONE), 1)
        return [
            Sums(
                start=(start := today - back * 24 * HOUR),
                end=(end := START if back == 0 else start + 24 * HOUR),
                covered_us=end - start,
                machines={
                    name: _day(chance, character, end - start)
                    for name, character in zip(known, characters, strict=True)
                },
                devices={name: self._device(chance, (end - start) // SECOND) for name in known},
            )
            for back in range(27, -1, -1)
        ]

    def _device(self, chance: np.random.Generator, seconds: int) -> DeviceSums:
        expected = seconds * self.tags
        poor = self.trouble == 1
        missing = int(expected * (chance.uniform(0.06, 0.19) if poor else chance.uniform(0, 0.01)))
        bad = int(expected * (0.012 if poor else chance.uniform(0, 0.002)))
        return DeviceSums(
            expected=expected,
            good=expected - missing - bad,
            bad=bad,
            missing=missing,
            timeouts=bad,
            disconnects=int(chance.integers(4, 9) if poor else chance.poisson(0.4)),
        )

    def _character(self, chance: np.random.Generator) -> _Character:
        """For each rule: whether it has something to find at this machine."""

        def pick(good: tuple[float, float], bad: tuple[float, float]) -> float:
            return float(chance.uniform(*(bad if chance.random() < self.trouble else good)))

        return _Character(
            executing=pick((0.64, 0.9), (0.3, 0.5)),
            setup=pick((0.02, 0.08), (0.14, 0.2)),
            micro=pick((0.05, 0.25), (0.35, 0.7)),
            failures=pick((0.02, 0.15), (1.2, 2.5)),
            repair_min=pick((10, 50), (70, 160)),
            speed=pick((0.8, 1.0), (0.5, 0.72)),
            quality_drop=pick((0.0, 0.0), (0.01, 0.03)),
            idle_kw=pick((0.5, 1.5), (9.0, 14.0)),
            demand=pick((30, 40), (56, 70)),
            resets=pick((0, 0), (1, 3)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Character:
    executing: float
    setup: float
    micro: float
    failures: float
    repair_min: float
    speed: float
    quality_drop: float
    idle_kw: float
    demand: float
    resets: float


def _day(chance: np.random.Generator, machine: _Character, length: int) -> MachineSums:
    """The sums of a day of two planned shifts, or of what has passed of it."""
    planned = round(length * 16 / 24)
    noise = chance.uniform(0.97, 1.03, 8).tolist()
    apt = round(planned * min(machine.executing * noise[0], 0.95))
    aust = round((planned - apt) * machine.setup * 2 * noise[1])
    adet = planned - apt - aust
    failures = int(chance.poisson(machine.failures * length / 24 / HOUR))
    produced = float(round(apt * machine.speed / 5e6 * noise[2]))
    recent = length < 24 * HOUR
    good = float(round(produced * (0.985 - (machine.quality_drop if recent else 0)) * min(noise[3], 1.0)))
    executing_kwh = apt / 3.6e9 * 25 * noise[4]
    idle_kwh = (length - apt) / 3.6e9 * machine.idle_kw * noise[5]
    bins, minutes = np.unique(
        np.round(chance.normal(bin_of(machine.idle_kw), 3, (length - apt) // (60 * SECOND))), return_counts=True
    )
    return MachineSums(
        span_us=length,
        states={"executing": apt, "setup": aust, "standby": adet, "off": length - planned, "unknown": 0},
        calendar=True,
        planned_us=planned,
        apt_us=apt,
        aust_us=aust,
        adet_us=adet,
        stops=int(chance.poisson(40)),
        stop_us=adet,
        micro_stops=int(chance.poisson(30)),
        micro_us=round(adet * machine.micro * noise[6]),
        longest_stop_us=round(adet * 0.2),
        failures=failures,
        repair_us=sum(round(machine.repair_min * 6e7 * chance.uniform(0.8, 1.3)) for _ in range(failures)),
        between_us=sum(round(HOUR * chance.uniform(3, 7)) for _ in range(failures)),
        produced=produced,
        good=good,
        scrap=produced - good,
        ideal_us=produced * 5e6,
        flags={"resets": round(machine.resets)} if machine.resets else {},
        energy_basis="counter",
        kwh=executing_kwh + idle_kwh,
        idle_kwh=idle_kwh,
        joined_kwh=executing_kwh + idle_kwh,
        metered_kwh=executing_kwh + idle_kwh,
        energy_known_us=length - round(chance.uniform(0, 9e6)),
        executing_kwh=executing_kwh,
        executing_power_us=apt,
        peak_kw=machine.demand * 1.1,
        demand_kw=machine.demand * noise[7],
        minutes=tuple(zip(bins.astype(int).tolist(), minutes.tolist(), strict=True)),
    )
