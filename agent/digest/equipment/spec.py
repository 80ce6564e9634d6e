"""What is needed of the configuration to measure a machine, frozen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from agent.config.model import Configuration, EquipmentSection, StateSection, Tag
from agent.digest.counters import Rules, counter_of
from agent.digest.equipment.calendar import Calendar
from agent.digest.equipment.energy import APPARENT, TO_KW, TO_KWH
from agent.digest.equipment.presets import preset
from agent.digest.equipment.states import STATES, PowerLimits, StateRule, code_of
from agent.disclosure import sharing


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A tag as a machine uses it. ``row``: position in ``DigestSpec.series``; ``factor``: to kW or kWh."""

    row: int
    kind: str
    factor: float = 1.0
    apparent: bool = False
    """Whether it is apparent power (kVA), of which only a part is used."""
    rules: Rules | None = None
    """Of a counter."""
    key: str = ""
    """Of a counter, by which its path is handed on from period to period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """One ``[[equipment]]``. ``state``: the inputs of its rule; ``counts``: produced, good, scrap, rework."""

    name: str
    key_process: bool
    rule: StateRule | None = None
    state: tuple[Input, ...] = ()
    counts: Mapping[str, Input] = field(default_factory=dict)
    cycle_state: int | None = None
    """One piece each time the machine leaves this state, where ``counts`` has no ``produced``."""
    ideal_cycle_us: int | None = None
    power: Input | None = None
    energy: Input | None = None
    calendar: Calendar | None = None
    micro_stop_us: int = 300_000_000
    contract_kw: float | None = None
    sub_meters: tuple[str, ...] = ()
    """Names of the machines behind this one's meter; empty where one of them must not be told of."""
    sub_meters_complete: bool = False
    metering_only: bool = False
    """A meter, and no machine."""
    devices: frozenset[str] = frozenset()
    """The devices that its tags are on."""
    refusal: str = ""
    """Why nothing of it may leave the plant; empty: it may."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All of them."""
        single = [each for each in (self.power, self.energy) if each is not None]
        return (*self.state, *self.counts.values(), *single)


def compile_machines(configuration: Configuration) -> tuple[MachineSpec, ...]:
    """In the order of the file; rows count the tags of the devices that are enabled."""
    running = [device for device in configuration.devices if device.enabled]
    rows = {tag.series: (row, tag) for row, tag in enumerate(tag for device in running for tag in device.tags)}
    zone = ZoneInfo(configuration.file.gateway.timezone)
    policy = sharing.policy_of(configuration.file)
    machines = [_machine(section, rows, zone, policy) for section in configuration.file.equipment]
    secret = {each.name for each in machines if each.refusal}
    # The sum of sub-meters tells of each of them.
    return tuple(replace(each, sub_meters=()) if secret & {*each.sub_meters} else each for each in machines)


Rows = Mapping[str, tuple[int, Tag]]


def _machine(section: EquipmentSection, rows: Rows, zone: ZoneInfo, policy: sharing.Policy) -> MachineSpec:
    names = tags_of(section)
    rule, inputs = _rule(section.state, rows) if section.state else (None, ())
    counted = {name: getattr(section, name) for name in ("produced", "good", "scrap", "rework")}
    refusals = [sharing.input_refusal(rows[name][1].sensitivity, policy) for name in names if name in rows]
    return MachineSpec(
        name=section.name,
        key_process=section.key_process,
        rule=rule,
        state=inputs,
        counts={name: _counter(rows, tag, None) for name, tag in counted.items() if tag in rows},
        cycle_state=STATES.index(section.produced_by_state) if section.produced_by_state else None,
        ideal_cycle_us=round(section.ideal_cycle * 1e6) if section.ideal_cycle else None,
        power=_power(rows, section.power),
        energy=_counter(rows, section.energy, TO_KWH) if section.energy in rows else None,
        calendar=Calendar(section.calendar, zone) if section.calendar and section.calendar.shifts else None,
        micro_stop_us=round(section.micro_stop * 1e6),
        contract_kw=section.contract_kw,
        sub_meters=section.sub_meters,
        sub_meters_complete=section.sub_meters_complete,
        metering_only=section.metering_only or (bool(section.sub_meters) and not rule and not any(counted.values())),
        devices=frozenset(name.partition(".")[0] for name in names),
        refusal=next((each for each in refusals if each), ""),
    )


def tags_of(section: EquipmentSection) -> list[str]:
    """The full names of all tags that a machine uses."""
    state = section.state
    of_state = [state.tag, state.power, *state.bits.values()] if state else []
    own = [section.produced, section.good, section.scrap, section.rework, section.power, section.energy]
    return [name for name in (*of_state, *own) if name]


def _rule(state: StateSection, rows: Rows) -> tuple[StateRule | None, tuple[Input, ...]]:
    if state.bits:
        bits = [(STATES.index(name), tag) for name, tag in state.bits.items() if tag in rows]
        rule = StateRule(bits=tuple(code for code, _ in bits))
        return rule, tuple(Input(row=rows[tag][0], kind="state") for _, tag in bits)
    if state.power:
        found = _power(rows, state.power)
        limits = PowerLimits(state.executing_above, state.standby_above, state.hysteresis)
        return (StateRule(power=limits), (found,)) if found else (None, ())
    if state.tag not in rows:
        return None, ()
    row, tag = rows[state.tag]
    if tag.kind == "text":
        words = {code_of(word): STATES.index(name) for word, name in state.map.items()}
        return StateRule(meaning=words), (Input(row=row, kind="text"),)
    meaning = {**(preset(state.preset) if state.preset else {}), **{int(key): each for key, each in state.map.items()}}
    rule = StateRule(meaning={float(value): STATES.index(name) for value, name in meaning.items()})
    return rule, (Input(row=row, kind="state"),)


def _power(rows: Rows, name: str) -> Input | None:
    if name not in rows:
        return None
    row, tag = rows[name]
    return Input(row=row, kind="gauge", factor=TO_KW.get(tag.unit, 1.0), apparent=tag.unit in APPARENT)


def _counter(rows: Rows, name: str, units: Mapping[str, float] | None) -> Input:
    row, tag = rows[name]
    factor = units.get(tag.unit, 1.0) if units else 1.0
    # A boolean or state tag is a pulse; whatever else is a number counts, whether or not it says so.
    kind = "pulse" if tag.kind == "state" else "counter"
    key, rules = counter_of(tag)
    return Input(row=row, kind=kind, factor=factor, rules=rules, key=key)
