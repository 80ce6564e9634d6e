"""The digest as it travels: types, exact bytes, JSON Schema. Pure.

The same digest is the same bytes everywhere: keys are sorted, nothing is indented, times are UTC in
ISO 8601 with ``Z``, and no float has more digits than it means:

- a reading (:func:`number`) has :data:`DIGITS` significant ones, enough for any 32-bit counter;
- what is added up (:func:`amount`, :func:`seconds`) is whole: milliseconds of a machine's time, millionths
  of a kWh. Nothing is rounded on the way, so the sums of a day are those of its periods to the last digit;
- what is made of these (:func:`figure`), as a ratio or a mean, has :data:`FIGURE_DIGITS`: who needs more
  divides, for what it is made of stands beside it.

There is no NaN and no infinity: what cannot be said is ``null`` with a ``reason``.

Sections that came later are optional members; a reader ignores members that it does not know.
"""

from __future__ import annotations

import inspect
import math
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.config.digest_tables import Texts

SCHEMA: Final = "gongfu.digest/1"
DIGITS = 12
FIGURE_DIGITS = 6

Number = float | None
"""Null where there is none; the member ``reason`` beside it says why."""


Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]
"""UTC, ISO 8601."""
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0)]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object of the digest."""


class Span(Part, frozen=True):
    """From ``start`` up to, and without, ``end``; UTC."""

    start: Time
    end: Time


class ClockState(Part, frozen=True):
    """The gateway's clock when the digest was built; ``offset_s``: the system's clock minus it."""

    trusted: bool
    source: str
    offset_s: float


class Header(Part, frozen=True):
    """Who says this, about when, and after which digest (``previous``: SHA-256 of its bytes)."""

    gateway: str
    seq: Annotated[int, Meta(ge=1)]
    previous: Sha256
    period: Span
    timezone: str
    revision: int
    config_hash: str
    agent_version: str
    clock: ClockState
    audience: str | UnsetType = UNSET
    """For whom this is, where that is not the platform that the gateway belongs to. Such a digest is part of a chain
    of its own, has no ``config_hash`` (empty) and no ``revision`` (0), and leaves out what was not ``granted``."""


class ChainMembership(Part, frozen=True):
    """An industrial chain; ``owner`` is its owner's unified social credit code."""

    name: str
    owner: str
    role: str


class Affiliation(Part, frozen=True):
    """Whom the evidence is about, as the enterprise declared it; empty where it did not."""

    enterprise: str
    credit_code: str
    above_designated_size: bool | None
    industry: str
    district: str
    town: str
    park: str
    chains: tuple[ChainMembership, ...]
    operator: str
    uplink: str
    service_provider: str
    diagnosis_id: str


class InventoryCoverage(Part, frozen=True):
    """``total`` and ``digital`` are declared; ``configured`` counts the devices that this gateway reads,
    ``networked`` those of them that delivered good data in the period."""

    total: int | None
    digital: int | None
    configured: int
    networked: int


class DeviceCoverage(Part, frozen=True):
    """Samples are counted as scans × points. ``expected``: due by the configuration for the whole period,
    whether or not the agent was running; ``good`` + ``bad`` + ``missing`` = ``expected``; ``uncertain`` are
    among the good. ``late``: scans skipped because the one before took too long. ``grade``: null where
    nothing was due."""

    name: str
    interval_s: float
    points: Count
    expected: Count
    good: Count
    uncertain: Count
    bad: Count
    missing: Count
    bad_causes: dict[str, int]
    late: Count
    longest_gap_s: float
    disconnects: Count
    drops: dict[str, int]
    grade: str | None


class TotalCoverage(Part, frozen=True):
    """Over all devices. ``drops``: what the ledger counted in the period, by cause; ``restarts``: starts
    of the agent; ``agent_downtime_s``: how long there is no evidence that it was running."""

    expected: Count
    good: Count
    uncertain: Count
    bad: Count
    missing: Count
    late: Count
    disconnects: Count
    drops: dict[str, int]
    restarts: Count
    agent_downtime_s: float
    grade: str | None


class Coverage(Part, frozen=True):
    """How much of what should be known is known. ``grades``: name of the table that the grades follow."""

    inventory: InventoryCoverage
    devices: tuple[DeviceCoverage, ...]
    total: TotalCoverage
    grades: str


class TagSummary(Part, frozen=True):
    """Aggregates of one shared tag; its samples are counted as those of a device.

    ``known_s``: time for which a good value was known; mean, standard deviation, quantiles and ``seconds``
    are over this time. Gauges have ``mean`` … ``p95``; counters ``first``, ``last``, ``delta`` (what was counted,
    across resets and rollovers; never negative), how often it fell (``decrements``: slightly, or a
    correction) and ``stuck`` (it did not move at all); states ``seconds`` by value. A counter that left its path
    and came back to it (``dips``, ``spikes``) has not counted; nor does a meter that was ``replaced`` count from the
    old one's reading to its own. ``unexplained``: steps of which nobody knows whether they were counted: ``delta`` is
    null. ``undecided``: what the last readings mean is told, and counted, by the next digest.
    """

    name: str
    kind: Literal["gauge", "counter", "state"]
    unit: str
    expected: Count
    good: Count
    bad: Count
    missing: Count
    known_s: float
    reason: str | UnsetType = UNSET
    mean: Number | UnsetType = UNSET
    min: Number | UnsetType = UNSET
    max: Number | UnsetType = UNSET
    std: Number | UnsetType = UNSET
    first: Number | UnsetType = UNSET
    last: Number | UnsetType = UNSET
    p05: Number | UnsetType = UNSET
    p50: Number | UnsetType = UNSET
    p95: Number | UnsetType = UNSET
    delta: Number | UnsetType = UNSET
    resets: int | UnsetType = UNSET
    rollovers: int | UnsetType = UNSET
    decrements: int | UnsetType = UNSET
    dips: int | UnsetType = UNSET
    spikes: int | UnsetType = UNSET
    replaced: int | UnsetType = UNSET
    unexplained: int | UnsetType = UNSET
    undecided: bool | UnsetType = UNSET
    stuck: bool | UnsetType = UNSET
    seconds: dict[str, float] | UnsetType | None = UNSET


class TimeElements(Part, frozen=True):
    """ISO 22400-2 elements within planned busy time, in seconds; without a calendar ``pbt_s`` is null and they
    cover all time. ``apt_s`` executing, ``aust_s`` setup, ``adet_s`` standby and fault, ``adot_s`` maintenance and
    off, ``unknown_s`` without data; their sum is ``pbt_s``."""

    pbt_s: Number
    apt_s: float
    aust_s: float
    adet_s: float
    adot_s: float
    unknown_s: float


class Stops(Part, frozen=True):
    """Stops (standby or fault) that ended in the period, counted with their planned time; micro-stops are
    those shorter than the machine's ``micro_stop``."""

    count: Count
    seconds: float
    micro_count: Count
    micro_seconds: float
    longest_s: float


class Failures(Part, frozen=True):
    """Failures that ended in the period; ``between_s``: production and setup before each of them."""

    count: Count
    repair_s: float
    between_s: float


class Pieces(Part, frozen=True):
    """Null: not counted, or not known: then ``reasons`` says why, by member. ``ideal_s``: planned run time of the
    pieces that were produced in planned time. ``anomalies``: how often counters of the machine,
    that of energy included, showed what :class:`TagSummary` tells of counters; ``stuck``."""

    produced: Number
    good: Number
    scrap: Number
    rework: Number
    ideal_s: Number
    anomalies: dict[str, int]
    reasons: dict[str, str] | UnsetType = UNSET


class SubMeters(Part, frozen=True):
    """A main meter and all its sub-meters, over the time in which every one of them was known."""

    known_s: float
    main_kwh: Number
    sub_kwh: Number


class EnergyUse(Part, frozen=True):
    """``basis``: ``counter`` or ``power``. ``idle_kwh``: powered but not executing, of the ``joined_kwh`` whose
    state is known. ``demand_kw``: highest mean of an aligned quarter of an hour; ``mean_kw``: over ``known_s``;
    ``executing_kw``: mean while executing; ``baseload_kw``: what a tenth of the minutes outside production
    stay below. ``reason``: why ``kwh`` is null."""

    basis: Literal["counter", "power"]
    kwh: Number
    idle_kwh: Number
    joined_kwh: Number
    known_s: float
    peak_kw: Number
    demand_kw: Number
    mean_kw: Number
    executing_kw: Number
    baseload_kw: Number
    sub_meters: SubMeters | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class KpiLine(Part, frozen=True):
    """A key performance indicator of ISO 22400-2, or of energy, made of the members beside it:
    AVAILABILITY = apt_s ÷ (pbt_s − unknown_s); NEE_AVAILABILITY = (apt_s + aust_s) ÷ (pbt_s − unknown_s);
    EFFECTIVENESS = ideal_s ÷ apt_s; QUALITY_RATIO, SCRAP_RATIO, REWORK_RATIO = good, scrap, rework ÷ produced;
    OEE = AVAILABILITY × EFFECTIVENESS × QUALITY_RATIO; NEE likewise of NEE_AVAILABILITY;
    UTILIZATION_EFFICIENCY = apt_s ÷ (apt_s + aust_s + adet_s); TECHNICAL_EFFICIENCY = apt_s ÷ (apt_s + adet_s);
    SETUP_RATE = aust_s ÷ (apt_s + aust_s); MTBF, MTTR = between_s, repair_s ÷ failures;
    SEC = kwh ÷ good; IDLE_SHARE = idle_kwh ÷ joined_kwh; BASELOAD_RATIO = baseload_kw ÷ executing_kw;
    LOAD_FACTOR = mean_kw ÷ demand_kw. ``reason``: why there is none."""

    value: Number
    unit: str
    reason: str | UnsetType = UNSET


class EquipmentLine(Part, frozen=True):
    """A machine. ``known``: share of the period with a known state. Where a tag that it is measured by must not
    leave the plant there is nothing but ``withheld``, which says so."""

    name: str
    key_process: bool
    known: Number | UnsetType = UNSET
    states: dict[str, float] | UnsetType = UNSET
    times: TimeElements | UnsetType = UNSET
    stops: Stops | UnsetType = UNSET
    failures: Failures | UnsetType = UNSET
    pieces: Pieces | UnsetType = UNSET
    energy: EnergyUse | UnsetType | None = UNSET
    kpis: dict[str, KpiLine] | UnsetType = UNSET
    withheld: str | UnsetType = UNSET


class BaselineFit(Part, frozen=True):
    """Energy of a day = ``b0`` (kWh) + ``b1`` (kWh a piece) × pieces, by least squares over ``n`` whole days of the
    last 28. ``r2``: coefficient of determination; null where the energy does not vary."""

    b0: Number
    b1: Number
    n: Count
    r2: Number


class IndicatorLine(Part, frozen=True):
    """Evidence for an indicator of a diagnosis scheme, never a score. ``value`` = ``numerator`` ÷ ``denominator`` (a
    product of others has neither; nor has an energy baseline, whose value is ``b1`` of its ``fit``). ``machine``: of
    which the row speaks, where it is not of the plant. ``coverage``: share of what should be known that is; null where
    nothing is measured. ``reason``: why the value is null, or is to be doubted. ``bin``: of the scheme, in percent."""

    code: str
    value: Number
    unit: str
    numerator: Number
    denominator: Number
    basis: Literal["measured", "declared", "mixed"]
    coverage: Number
    standard: str
    reason: str | UnsetType = UNSET
    bin: str | UnsetType = UNSET
    machine: str | UnsetType = UNSET
    fit: BaselineFit | UnsetType = UNSET


class RuleTexts(Part, frozen=True):
    """What a rule's findings are called, and what to do about them."""

    title: Texts
    action: Texts


class FindingLine(Part, frozen=True):
    """What a rule says of the gateway, a device or a machine over a window that ends with the period.

    ``found``: ``measure`` is ``above`` or ``below`` its ``threshold``. ``insufficient``: less is known than the rule
    needs, ``reason`` says what. A rule without a line for a subject found nothing or has nothing to look at;
    ``findings_assessed`` of the digest counts the subjects that it could judge. Thresholds are engineering
    defaults, no norm. ``level``: ``improve`` (there is something to gain), ``warn``, ``void`` (the evidence does
    not hold), ``data`` (what was configured is wrong). The words are those of ``rules`` in the digest;
    ``action``: instead of the rule's."""

    rule: str
    version: int
    scope: Literal["gateway", "device", "machine"]
    name: str
    status: Literal["found", "insufficient"]
    window: Literal["period", "day", "week", "month"]
    span: Span
    coverage: Number
    evidence: dict[str, Number]
    level: Literal["improve", "warn", "void", "data"] | UnsetType = UNSET
    measure: str | UnsetType = UNSET
    value: Number | UnsetType = UNSET
    side: Literal["above", "below"] | UnsetType = UNSET
    threshold: Number | UnsetType = UNSET
    action: Texts | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class PrescribedTarget(Part, frozen=True):
    """What a prescription wants: an indicator of one machine, ``at_least`` or ``at_most`` the value."""

    indicator: str
    machine: str
    side: Literal["at_least", "at_most"]
    value: float


class Stretch(Part, frozen=True):
    """An indicator over whole days of the plant; ``days``: those with records. ``coverage``: share of what should be
    known that is; ``reason``: why the value is null."""

    span: Span
    days: Count
    value: Number
    unit: str
    numerator: Number
    denominator: Number
    coverage: Number
    reason: str | UnsetType = UNSET


class PrescriptionLine(Part, frozen=True):
    """A prescription of the platform and what became of it; ``hash``: SHA-256 of what was signed, empty where that
    could not be read. ``decided_at``: when the plant said so; ``adopted_on``: its date of adoption.

    ``before`` and ``after``, of adopted ones: the target indicator over up to 28 days before the day of adoption,
    and since then up to the end of ``until``; null where nothing was recorded. ``change``: after minus before.
    ``reached``: whether the target is met; null where too little is known. ``reason``: why that is so; of declined
    ones a word of a fixed list; of refused ones why the gateway does not take it. What people wrote stays in the
    plant. A digest tells of what changed in its period, and the first one of a day of all that are open."""

    id: str
    revision: int
    hash: str
    state: Literal["received", "adopted", "declined", "expired", "withdrawn", "refused"]
    received_at: Time
    until: str | UnsetType = UNSET
    decided_at: Time | UnsetType = UNSET
    adopted_on: str | UnsetType = UNSET
    target: PrescribedTarget | UnsetType = UNSET
    before: Stretch | UnsetType | None = UNSET
    after: Stretch | UnsetType | None = UNSET
    change: Number | UnsetType = UNSET
    reached: bool | UnsetType | None = UNSET
    reason: str | UnsetType = UNSET


class LedgerEntry(Part, frozen=True):
    """Something that was lost or shed. ``count``: samples, or digests, as the cause says; ``entries``: how
    many entries of the gateway's ledger this line stands for. Each entry is in one digest: where ``end`` lies
    before the digest's period, it came to light after that time had been reported."""

    start: Time
    end: Time
    cause: str
    device: str
    tag: str
    count: Count
    entries: int


class Numbers(Part, frozen=True):
    """Places in the chain, both ends included."""

    first_seq: Annotated[int, Meta(ge=1)]
    last_seq: Annotated[int, Meta(ge=1)]


class Parts(Numbers, frozen=True):
    """What a digest of a shift, day, week or month was made of: ``count`` digests of ``kind`` of the same chain that
    begin within its period, ``seconds`` long together. Whoever has them can make its sums again: counts, seconds,
    pieces and kWh add up; the longest gap and stop, peak and demand are the largest of theirs.

    ``without``: places between them where there are no parts of it: of a disk that was lost, or a period longer than
    all of the span."""

    kind: Literal["period", "shift", "day", "week", "month"]
    count: Annotated[int, Meta(ge=1)]
    seconds: float
    without: tuple[Numbers, ...] | UnsetType = UNSET


class Shift(Part, frozen=True):
    """By the plant's clock: the day on which it begins, and from when to when (``22:00-06:00``). A digest of a shift
    has the machines that work it, and all devices."""

    date: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$")]
    times: Annotated[str, Meta(pattern=r"^\d\d:\d\d-\d\d:\d\d$")]


class Granted(Part, frozen=True):
    """What the plant lets an audience know. ``equipment``: names of machines, or ``*`` for all; a digest about some of
    them has totals over those alone. ``tags``: those of which aggregates are told; an array's name stands for its
    elements."""

    sections: tuple[str, ...]
    equipment: tuple[str, ...]
    tags: tuple[str, ...]


class Digest(Part, frozen=True):
    """One link of the chain. A digest for a further audience has the sections that were granted to it, and no others.

    A digest of a shift, a day, a week (from Monday on) or a month of the plant follows that of the last period which
    begins within it, and says again what its ``parts`` said, as one. It has no ``tags``, whose quantiles do not add
    up, and no ``ledger``: each entry is in one digest, that of a period.
    """

    schema: Literal["gongfu.digest/1"]
    kind: Literal["period", "shift", "day", "week", "month"]
    header: Header
    affiliation: Affiliation | UnsetType = UNSET
    coverage: Coverage | UnsetType = UNSET
    tags: tuple[TagSummary, ...] | UnsetType = UNSET
    ledger: tuple[LedgerEntry, ...] | UnsetType = UNSET
    equipment: tuple[EquipmentLine, ...] | UnsetType = UNSET
    """Left out where no machine is configured."""
    indicators: tuple[IndicatorLine, ...] | UnsetType = UNSET
    findings: tuple[FindingLine, ...] | UnsetType = UNSET
    findings_assessed: dict[str, int] | UnsetType = UNSET
    rules: dict[str, RuleTexts] | UnsetType = UNSET
    """The words for ``findings``, by ``rule``, of the rules that found something."""
    tables: dict[str, str] | UnsetType = UNSET
    """Names with versions of the tables that indicators and findings follow."""
    prescriptions: tuple[PrescriptionLine, ...] | UnsetType = UNSET
    """Left out where there is nothing to say of any."""
    parts: Parts | UnsetType = UNSET
    """Of a digest of more than a period."""
    shift: Shift | UnsetType = UNSET
    """Of a digest of a shift."""
    granted: Granted | UnsetType = UNSET
    """Of a digest for a further audience."""


_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(digest: Digest) -> bytes:
    """The exact bytes that are hashed, signed and sent."""
    return _ENCODER.encode(digest)


def encode_any(digest: dict[str, Any] | Part) -> bytes:
    """As :func:`encode`, for a digest that may be of another version and keeps all its members, or any part."""
    return _ENCODER.encode(digest)


def decode(body: bytes) -> Digest:
    """The digest in ``body``; raises :class:`msgspec.ValidationError` where it is none of this version."""
    return msgspec.json.decode(body, type=Digest)


def number(value: float | None) -> Number:
    """``value`` with :data:`DIGITS` significant digits; None where it is none, or not a finite number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}") + 0.0  # no negative zero


def amount(value: float | None) -> Number:
    """A sum, to the millionth: as it is kept, without what adding binary fractions leaves behind."""
    return number(value if value is None or not math.isfinite(value) else round(value, 6))


def figure(value: float | None) -> Number:
    """What is made of sums, with :data:`FIGURE_DIGITS` significant digits; a whole number keeps all."""
    if value is None or not math.isfinite(value) or value.is_integer():
        return number(value)
    return float(f"{value:.{FIGURE_DIGITS}g}")


def seconds(microseconds: int) -> float:
    """Seconds, exact to the microsecond for any period."""
    return microseconds / 1e6


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a digest."""
    schema = _dedented(msgspec.json.schema(Digest))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:gongfu:digest:1",
        "title": f"Digest, {SCHEMA}",
        **schema,
        # Only a digest for a further audience may leave sections out.
        "if": {"properties": {"header": {"required": ["audience"]}}},
        "then": {"required": ["granted"]},
        "else": {"required": ["affiliation", "coverage", "tags", "ledger"]},
    }


def _dedented(schema: Any) -> Any:
    # Releases of msgspec differ in whether a docstring's indentation comes along; the schema shall not.
    if isinstance(schema, dict):
        return {key: _description(each) if key == "description" else _dedented(each) for key, each in schema.items()}
    return [_dedented(each) for each in schema] if isinstance(schema, list) else schema


def _description(text: Any) -> Any:
    return inspect.cleandoc(text) if isinstance(text, str) else _dedented(text)


def schema_text() -> str:
    """The schema as it is kept in ``agent/uplink/contract/digest.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(json_schema(), order="sorted"), indent=2).decode() + "\n"
