"""Everything that a digest is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.buffer.batch import Batch
from agent.buffer.records import Event, Loss
from agent.config.model import EnterpriseSection
from agent.digest.counters import Path
from agent.digest.equipment.times import Carry
from agent.digest.report import PrescriptionLine
from agent.digest.rollups import Sums
from agent.digest.spec import DigestSpec
from agent.digest.windows import Period
from agent.evidence.chain import GENESIS


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the header says of the gateway; ``offset_us``: the system's clock minus the agent's."""

    gateway: str
    timezone: str
    config_hash: str
    agent_version: str
    clock_trusted: bool
    clock_source: str
    offset_us: int = 0
    revision: int = 0
    """Of the configuration; 0: the local file."""
    seq: int = 1
    previous: str = GENESIS
    """The place in the chain; set for each audience when the digest is added to its chain."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DigestInputs:
    """``events``: those of the period, and starts and stops of the agent after it, as far as known.
    ``losses``: entries of the ledger that no digest tells of yet, of this period or before. ``batches``: in the
    order of the store, from ``spec.lookback_us`` before the period. ``carries``: what was open on each machine
    when the period before ended, by its name; ``paths``: of shared counters,
    likewise. ``days``: sums of the plant's days before the period and of its day so far, oldest first, as far back as
    findings look. ``prescriptions``: what is told of them."""

    period: Period
    spec: DigestSpec
    enterprise: EnterpriseSection
    facts: Facts
    batches: Iterable[Batch] = ()
    events: Sequence[Event] = ()
    losses: Sequence[Loss] = ()
    carries: Mapping[str, Carry] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)
    days: Sequence[Sums] = ()
    prescriptions: tuple[PrescriptionLine, ...] = ()
