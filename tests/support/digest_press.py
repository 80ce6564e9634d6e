"""A press over an hour and a half, as its tags tell of it; and the digest of any stretch of that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from agent.config.model import CalendarSection, EnterpriseSection, EquipmentSection, StateSection
from agent.digest.accumulate import Accumulator
from agent.digest.audience import EVERYTHING
from agent.digest.build import conclude
from agent.digest.equipment.times import Carry
from agent.digest.inputs import DigestInputs, Facts
from agent.digest.report import Digest
from agent.digest.rollups import Kept
from agent.digest.windows import Period
from tests.support.digest_plants import FACTS, SECOND, START, batch, configuration, device, ids, spec_of, tag

MINUTE = 60 * SECOND
HALF = MINUTE // 2
QUARTERS = 6
TICKS = QUARTERS * 30
"""Half minutes of an hour and a half; all tags are written in full at each, as the recorder does."""
NAMES = ("p.state", "p.total", "p.good", "p.kw")
PRESS = EquipmentSection(
    name="press",
    state=StateSection(tag="p.state", map={"0": "off", "1": "standby", "2": "executing", "3": "fault", "4": "setup"}),
    produced="p.total",
    good="p.good",
    power="p.kw",
    calendar=CalendarSection(
        days=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), shifts=("00:00-00:00",), breaks=("22:40-22:55",)
    ),
)
PLANT = configuration(
    [
        device(
            "p",
            [tag("p.state", 0, kind="state"), tag("p.total", 1, kind="counter"), tag("p.good", 2, kind="counter"),
             tag("p.kw", 3, unit="kW")],
            10.0,
        )
    ],
    equipment=[PRESS],
)  # fmt: skip
SERIES, GROUPS = ids(PLANT)

Row = tuple[int, int, int, int]
"""State, pieces since the row before, good ones of them, kW."""


def concluded(
    rows: Sequence[Row], period: Period, carries: Mapping[str, Carry], facts: Facts = FACTS
) -> tuple[Digest, Kept]:
    """Digest and sums of a period; ``rows``: one each half minute from ``START``."""
    pieces = list(itertools.accumulate(row[1] for row in rows))
    good = list(itertools.accumulate(min(row[1], row[2]) for row in rows))
    columns = ([row[0] for row in rows], pieces, good, [row[3] for row in rows])
    samples = [
        (SERIES[name], START + tick * HALF, float(column[tick]), 0)
        for name, column in zip(NAMES, columns, strict=True)
        for tick in range(len(rows))
    ]
    scans = [(number, START + each * HALF // 3, 0) for number in GROUPS.values() for each in range(3 * len(rows))]
    spec = spec_of(PLANT)
    inputs = DigestInputs(period=period, spec=spec, enterprise=EnterpriseSection(), facts=facts, carries=carries)
    accumulator = Accumulator(spec, period)
    accumulator.add(batch(samples, scans))
    known, kept = conclude(inputs, accumulator.result())
    return known.told(EVERYTHING), kept


rows: st.SearchStrategy[list[Row]] = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 2, 3, 4]), st.integers(0, 9), st.integers(0, 9), st.integers(0, 40)),
    min_size=TICKS // 10,
    max_size=TICKS // 10,
).map(lambda some: [row for row in some for _ in range(10)])
