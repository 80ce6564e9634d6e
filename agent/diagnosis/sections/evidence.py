"""Indicators of diagnosis schemes, who measured and how it can be proven, and how it was done."""

from __future__ import annotations

from agent.diagnosis.html import Markup, bullets, el, pairs, table
from agent.diagnosis.model import Report
from agent.diagnosis.sections.common import Chapter, note, said
from agent.diagnosis.values import figure, specific, term
from agent.diagnosis.words import Words
from agent.digest.report import BaselineFit, IndicatorLine

_LEAVES = ("raw", "setpoints", "alarms", "addresses", "persons", "secret")
_METHOD = ("states", "planned", "unknown", "energy", "thresholds", "score")


def indicators(report: Report, words: Words) -> Chapter:
    """A row each, with what it is made of."""
    yield note(words("indicators.note"))
    columns = [words("column.indicator"), *(f"#{words(f'column.{name}')}" for name in (
        "value", "numerator", "denominator")), words("column.basis"), f"#{words('column.known')}",
        words("column.standard")]  # fmt: skip
    yield table(columns, [_row(each, words) for each in report.summary.indicators], kind="wide")


def _row(line: IndicatorLine, words: Words) -> list[Markup]:
    scheme = said(line.standard, words)
    name = words.of("indicator", line.code)
    if name == line.code:
        name = words.of("kpi", line.code)
    reason = said(line.reason, words) if isinstance(line.reason, str) else None
    value = figure(line.value, specific(line.code, line.unit), words)
    shown = f"{value} {line.bin}" if isinstance(line.bin, str) else value
    small = line.code if not isinstance(line.machine, str) else f"{line.code} · {line.machine}"
    fit = _fit(line.fit, words) if isinstance(line.fit, BaselineFit) and line.fit.b1 is not None else None
    return [
        el("span", name, el("small", small)),
        el("span", shown),
        el("span", term(line.code, 0, line.numerator, words)),
        el("span", term(line.code, 1, line.denominator, words)),
        el("span", words.of("basis", line.basis)),
        el("span", words.percent(line.coverage)),
        el("span", scheme, fit, el("small", reason) if reason else None),
    ]


def _fit(fit: BaselineFit, words: Words) -> Markup:
    b0, b1, r2 = (words.number(each) for each in (fit.b0, fit.b1, fit.r2))
    return el("small", words("indicators.fit", b0=b0, b1=b1, n=fit.n, r2=r2))


def proof(report: Report, words: Words) -> Chapter:
    """Which digests, whose key, and how to check them."""
    source, proven = report.source, report.proof
    yield note(words("proof.note"))
    state = ", ".join(words(f"proof.{name}", count=count) for name, count in proven.states.items())
    offset = words("proof.offset", source=source.clock or "–", offset=words.number(source.clock_offset_s, 3))
    yield pairs(
        [
            (words("proof.gateway"), f"{source.name} · {source.gateway}" if source.gateway else source.name),
            (words("proof.fingerprint"), el("code", source.fingerprint) if source.fingerprint else ""),
            (words("proof.version"), f"gongfu-edge {source.version}" if source.version else ""),
            (words("proof.clock"), offset if source.gateway else ""),
            (words("proof.digests"), words("proof.range", first=proven.first_seq, last=proven.last_seq,
                                           count=proven.count) if proven.count else words("proof.gone")),
            (words("proof.states"), state if proven.count else ""),
            (words("proof.head"), el("code", proven.head_hash) if proven.head_hash else ""),
        ],
        kind="proof",
    )  # fmt: skip
    yield el("p", words("proof.how"))
    yield el(
        "pre", "gongfu-edge digest export evidence/\ngongfu-edge digest verify evidence/ --keys evidence/keys.jwks"
    )


def method(report: Report, words: Words) -> Chapter:
    """How it was measured, and what stays in the plant."""
    yield bullets(words(f"method.{name}") for name in _METHOD)
    yield el("h3", words("leaves.title"))
    yield el("p", words("leaves.note"))
    yield bullets(words(f"leaves.{name}") for name in _LEAVES)
