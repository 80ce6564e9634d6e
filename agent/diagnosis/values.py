"""How the numbers of KPIs, indicators and findings are written: with the unit that each one has. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from agent.diagnosis.model import Machine
from agent.diagnosis.words import NONE, Words
from agent.digest.report import FindingLine

# What numerator and denominator are counted in; "s" is shown in hours.
_TERMS = {
    "ISO22400.AVAILABILITY": ("s", "s"),
    "ISO22400.EFFECTIVENESS": ("s", "s"),
    "ISO22400.NEE_AVAILABILITY": ("s", "s"),
    "ISO22400.UTILIZATION_EFFICIENCY": ("s", "s"),
    "ISO22400.TECHNICAL_EFFICIENCY": ("s", "s"),
    "ISO22400.SETUP_RATE": ("s", "s"),
    "ISO22400.MTBF": ("s", ""),
    "ISO22400.MTTR": ("s", ""),
    "ENPI.SEC": ("kWh", ""),
    "ENPI.IDLE_SHARE": ("kWh", "kWh"),
    "ENPI.BASELOAD_RATIO": ("kW", "kW"),
    "ENPI.LOAD_FACTOR": ("kW", "kW"),
}
_SHARES = ("_share", "_ratio", "availability", "effectiveness", "load_factor", "quality_week", "quality_month")
_UNITS = (("_kwh", "kWh"), ("_kw", "kW"), ("_h", "h"), ("_min", "min"))
_COUNTED_BY_SECOND = ("clock_offset_s",)


def figure(value: float | None, unit: str, words: Words) -> str:
    """A value with its unit; ``1`` is a share."""
    if value is None:
        return NONE
    if unit == "1":
        return words.percent(value)
    if unit == "s":
        return words.hours(value * 1e6)
    return f"{words.number(value)} {unit}".strip()


def term(code: str, place: int, value: float | None, words: Words) -> str:
    """Numerator (``place`` 0) or denominator (1) of a KPI or indicator."""
    return figure(value, _TERMS.get(code, ("", ""))[place], words)


def specific(code: str, unit: str) -> str:
    """The unit of the value: specific energy is per good piece."""
    return "kWh/pc" if code == "ENPI.SEC" else unit


def evidence(name: str, value: float | None, words: Words) -> str:
    """A number that a finding rests on, told by its name."""
    if value is None:
        return NONE
    if name.endswith(_SHARES):
        return words.percent(value)
    if name in _COUNTED_BY_SECOND:
        return f"{words.number(value)} s"
    if name.endswith("_s"):
        return words.hours(value * 1e6)
    unit = next((unit for suffix, unit in _UNITS if name.endswith(suffix)), "")
    return f"{words.number(value)} {unit}".strip()


def compared(line: FindingLine, words: Words) -> str:
    """What a finding measured, beside its threshold."""
    name = str(line.measure)
    numbers = (each if isinstance(each, float | int) else None for each in (line.value, line.threshold))
    value, threshold = (evidence(name, each, words) for each in numbers)
    key = "findings.above" if line.side == "above" else "findings.below"
    return words(key, name=words.evidence(name), value=value, threshold=threshold)


def idle_share(machines: Iterable[Machine]) -> float | None:
    """Idle energy ÷ the energy that could be joined with a state, as in ENPI.IDLE_SHARE; None where there is none."""
    sums = [each.sums for each in machines]
    joined = sum(each.joined_kwh for each in sums)
    return sum(each.idle_kwh for each in sums) / joined if joined else None
