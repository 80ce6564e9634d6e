"""At a glance, and what to do: the findings with their evidence."""

from __future__ import annotations

from datetime import datetime

from agent.diagnosis.html import Child, Markup, bullets, el, table
from agent.diagnosis.model import Report
from agent.diagnosis.sections.common import Chapter, note, said
from agent.diagnosis.values import compared, evidence, idle_share
from agent.diagnosis.words import Words
from agent.digest.proposals import proposals
from agent.digest.report import FindingLine, IndicatorLine
from agent.digest.windows import SECOND

_AT_A_GLANCE = 6


def glance(report: Report, words: Words) -> Chapter:
    """Numbers, then the findings by name."""
    yield el("div", *(_tile(name, value, small) for name, value, small in _tiles(report, words)), class_="tiles")
    groups = _groups(report)
    if groups:
        yield el("h3", words("glance.findings"))
        yield bullets(_headline(each, report, words) for each in groups[:_AT_A_GLANCE])
        if len(groups) > _AT_A_GLANCE:
            yield note(words("glance.more", count=len(groups) - _AT_A_GLANCE))
    else:
        yield note(words("findings.none"))


def _tile(name: str, value: str, small: Child) -> Markup:
    return el("div", el("b", value), el("span", name), el("small", small) if small else None, class_="tile")


def _tiles(report: Report, words: Words) -> list[tuple[str, str, Child]]:
    rows = {row.code: row for row in report.summary.indicators}
    devices = report.summary.devices
    good, due = sum(each.good for each in devices), sum(each.expected for each in devices)
    grade = proposals().grade(good, due)
    kwh = sum(each.sums.kwh for each in report.feeds)
    idle, wasted = idle_share(report.idlers), sum(each.sums.idle_kwh for each in report.idlers)
    lost = sum(each.lost_us for each in report.pareto)
    recorded = report.summary.recorded_s * 1e6 / report.span.length
    tiles: list[tuple[str, str, Child]] = [
        (words("tile.oee"), *_value(rows.get("ISO22400.OEE"), words)),
        (words("tile.availability"), *_value(rows.get("ISO22400.AVAILABILITY"), words)),
        (words("tile.lost"), words.hours(lost) if report.pareto else "–", words("tile.lost.small")),
        (words("tile.energy"), f"{words.number(kwh)} kWh" if kwh else "–",
         words("tile.energy.small", kwh=words.number(wasted), share=words.percent(idle)) if idle is not None else None),
        (words("tile.coverage"), f"{grade or '–'} · {words.percent(good / due if due else None)}",
         words("tile.coverage.small", share=words.percent(min(recorded, 1.0)))),
        (words("tile.findings"), str(len(report.found)), words("tile.findings.small", count=len(report.insufficient))),
    ]  # fmt: skip
    return tiles


def _value(row: IndicatorLine | None, words: Words) -> tuple[str, Child]:
    if row is None:
        return "–", None
    reason = said(row.reason, words) if isinstance(row.reason, str) else None
    return words.percent(row.value), reason or words("tile.known", share=words.percent(row.coverage))


def _groups(report: Report) -> list[list[FindingLine]]:
    """Findings of one rule and level side by side, the most urgent first, and in a group the worst."""
    groups: dict[tuple[object, ...], list[FindingLine]] = {}
    for line in report.found:
        groups.setdefault((line.rule, line.level, line.measure, line.threshold), []).append(line)
    return [sorted(group, key=_distance, reverse=True) for group in groups.values()]


def _distance(line: FindingLine) -> float:
    if not isinstance(line.value, float | int) or not isinstance(line.threshold, float | int):
        return 0.0
    return line.value - line.threshold if line.side == "above" else line.threshold - line.value


def _headline(group: list[FindingLine], report: Report, words: Words) -> Markup:
    worst = group[0]
    more = words("glance.others", count=len(group) - 1) if len(group) > 1 else ""
    said = f" · {_subject(worst, words)} · {compared(worst, words)}{more}"
    return el("span", el("b", _title(worst, report, words)), said)


def _title(line: FindingLine, report: Report, words: Words) -> str:
    return _rule_title(line.rule, report, words)


def _rule_title(rule: str, report: Report, words: Words) -> str:
    return words.pick(report.rules[rule]) if rule in report.rules else rule


def _subject(line: FindingLine, words: Words) -> str:
    return line.name or words("findings.gateway")


def chapter(report: Report, words: Words) -> Chapter:
    """Each rule's findings with what was measured and what to do; then what could not be told, and what is in order."""
    yield note(words("findings.note", table=report.summary.tables.get("findings", "–")))
    for group in _groups(report):
        yield _card(group, report, words)
    if not report.found:
        yield note(words("findings.none"))
    if report.insufficient:
        rows = [
            (_title(each, report, words), _subject(each, words), _window(each, words),
             said(each.reason, words) if isinstance(each.reason, str) else "–")
            for each in report.insufficient
        ]  # fmt: skip
        columns = [words(f"column.{name}") for name in ("rule", "subject", "window", "reason")]
        yield el("h3", words("findings.insufficient"))
        yield table(columns, rows)
    spoken = {line.rule for line in report.found}
    quiet = [rule for rule, count in report.summary.findings_assessed.items() if count and rule not in spoken]
    if quiet:
        yield el("h3", words("findings.quiet"))
        yield el("p", " · ".join(_rule_title(rule, report, words) for rule in quiet))


def _window(line: FindingLine, words: Words) -> str:
    return words.of("window", line.window)


def _microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * SECOND)


def _card(group: list[FindingLine], report: Report, words: Words) -> Markup:
    line = group[0]
    start, end = (words.moment(_microseconds(each), report.zone) for each in (line.span.start, line.span.end))
    names = list(dict.fromkeys(name for each in group for name in each.evidence))
    columns = [words("column.subject"), *(f"#{words.evidence(name)}" for name in names), f"#{words('column.known')}"]
    rows = [
        [_subject(each, words), *(evidence(name, each.evidence.get(name), words) for name in names),
         words.percent(each.coverage)]
        for each in group
    ]  # fmt: skip
    threshold = line.threshold if isinstance(line.threshold, float | int) else None
    name = str(line.measure)
    key = "findings.over" if line.side == "above" else "findings.under"
    action = words.pick(told) if (told := report.action(line)) else "–"
    return el(
        "article",
        el("h3", el("span", words.of("level", str(line.level)), class_=f"level {line.level}"), " ",
           _title(line, report, words)),
        el("p", el("b", words("findings.action")), " ", action, class_="action"),
        table(columns, rows),
        el("small", words(key, name=words.evidence(name), threshold=evidence(name, threshold, words)),
           f" · {_window(line, words)}: {start} – {end} · {words('findings.rule')} {line.rule}/{line.version}"),
    )  # fmt: skip
