"""Whether a table of indicators or findings can be followed: known words only, sound numbers, bounded sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from agent.config.digest_tables import BaselineRule, FindingTable, IndicatorTable, Limit, Row, Rule, Texts
from agent.config.problems import Place, Problems, did_you_mean, show
from agent.config.vocabulary import FIGURES, INPUTS, KPIS, MEASURES

MOST_ROWS = 100
MOST_LIMITS = 8
LONGEST_TEXT = 300
OWN = "gongfu."
"""How the names of the agent's own tables begin."""

_TABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}/[1-9][0-9]{0,5}", re.ASCII)
_CODE = re.compile(r"[A-Z][A-Z0-9_.]{0,47}", re.ASCII)
_ID = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)


def check_indicators(table: IndicatorTable, place: Place, problems: Problems) -> None:
    """Note what is wrong with a table of indicators."""
    check = _Checks(problems)
    check.name(table.name, (place, "name"))
    for link, inputs in table.links.items():
        here: Place = ((place, "links"), link)
        check.short(link, here)
        for position, word in enumerate(inputs):
            check.word(word, INPUTS, "input of a machine", (here, position))
    for position, name in enumerate(table.protocols):
        check.short(name, ((place, "protocols"), position))
    check.size(table.links, (place, "links"))
    check.size(table.protocols, (place, "protocols"))
    check.rows(table.rows, (place, "rows"), lambda row: row.code, "code", _CODE)
    for position, row in enumerate(table.rows):
        check.row(row, ((place, "rows"), position))


def check_findings(table: FindingTable, place: Place, problems: Problems) -> None:
    """Note what is wrong with a table of findings."""
    check = _Checks(problems)
    check.name(table.name, (place, "name"))
    check.share(table.least_coverage, (place, "least_coverage"))
    check.rows(table.rules, (place, "rules"), lambda rule: rule.id, "id", _ID)
    for position, rule in enumerate(table.rules):
        check.rule(rule, ((place, "rules"), position))


Rows = Sequence[Row] | Sequence[Rule]


class _Checks:
    def __init__(self, problems: Problems) -> None:
        self._add = problems.add

    def name(self, name: str, place: Place) -> None:
        if not _TABLE.fullmatch(name):
            self._add(place, f"{show(name)} is no name with a version", 'such as "park.findings/1"')
        elif name.startswith(OWN):
            self._add(place, f"{show(name)} is how the agent calls its own tables", "give yours a name of its own")

    def size(self, found: Collection[object], place: Place, most: int = MOST_ROWS) -> None:
        if len(found) > most:
            self._add(place, f"has {len(found)} entries", f"at most {most}")

    def short(self, text: str, place: Place) -> None:
        if not text.strip() or len(text) > LONGEST_TEXT:
            self._add(place, f"must have from 1 to {LONGEST_TEXT} characters", "shorten it, or say something")

    def share(self, value: float, place: Place) -> None:
        if not 0 <= value <= 1:
            self._add(place, f"{value:g} is no share", "0.8 stands for 80 %")

    def word(self, word: str, known: Collection[str], what: str, place: Place) -> None:
        if word not in known:
            self._add(place, f"{show(word)} is no {what}", did_you_mean(word, known))

    def rows(self, rows: Rows, place: Place, of: Callable[..., str], key: str, form: re.Pattern[str]) -> None:
        self.size(rows, place)
        seen: set[str] = set()
        for position, row in enumerate(rows):
            name, here = of(row), ((place, position), key)
            if not form.fullmatch(name):
                self._add(here, f"{show(name)} cannot be used", f"of the form {form.pattern}")
            elif name in seen:
                self._add(here, f"{show(name)} is given twice", "remove one of them")
            seen.add(name)

    def row(self, row: Row, place: Place) -> None:
        self.short(row.standard, (place, "standard"))
        made_of = [bool(row.kpi), bool(row.numerator or row.denominator), row.baseline is not None]
        if sum(made_of) != 1:
            self._add(place, "must be made of one thing", "a kpi, a numerator with its denominator, or a baseline")
            return
        if row.kpi:
            self.word(row.kpi, KPIS, "kpi", (place, "kpi"))
        elif row.baseline is not None:
            self.baseline(row.baseline, (place, "baseline"))
        else:
            self.word(row.numerator, FIGURES, "figure of the plant", (place, "numerator"))
            self.word(row.denominator, FIGURES, "figure of the plant", (place, "denominator"))
        ascending = all(low < high for low, high in zip(row.edges, row.edges[1:], strict=False))
        if not ascending or any(not 0 < edge < 1 for edge in row.edges):
            self._add((place, "edges"), "must ascend between 0 and 1", "such as [0.1, 0.2, 0.4, 0.6]")
        self.size(row.edges, (place, "edges"), MOST_LIMITS)

    def baseline(self, rule: BaselineRule, place: Place) -> None:
        if not 3 <= rule.least_points <= 28:
            self._add((place, "least_points"), f"{rule.least_points} is out of range", "from 3 to 28 days")
        self.share(rule.least_coverage, (place, "least_coverage"))
        self.share(rule.least_spread, (place, "least_spread"))

    def rule(self, rule: Rule, place: Place) -> None:
        for key in ("number", "version"):
            if not 1 <= getattr(rule, key) <= 1_000_000:
                self._add((place, key), "must be at least 1", "count the rules and their versions from 1")
        self.texts(rule.title, (place, "title"))
        self.texts(rule.action, (place, "action"))
        if rule.scope == "gateway" and rule.window != "period":
            self._add((place, "window"), "a rule on the gateway looks at a period", 'write "period"')
        if rule.scope != "machine" and rule.coverage:
            self._add((place, "coverage"), "is known of machines only", "remove it")
        if not 0 <= rule.least_recorded_h <= 28 * 24:
            self._add((place, "least_recorded_h"), "is out of range", "hours, at most 28 days")
        key = "measured_by" if rule.measured_by else "id"
        if rule.subject not in MEASURES:
            remedy = did_you_mean(rule.subject, MEASURES)
            add = "" if rule.measured_by else "; or add measured_by"
            self._add((place, key), f"{show(rule.subject)} is nothing that is measured", f"{remedy}{add}")
            return
        scope, measures = MEASURES[rule.subject]
        if scope != rule.scope:
            self._add((place, "scope"), f"{show(rule.subject)} is measured of a {scope}", f'write "{scope}"')
        self.limits(rule.limits, measures, (place, "limits"))
        self.size(rule.least, (place, "least"), MOST_LIMITS)
        for name in rule.least:
            self.word(name, measures, f"measure of {rule.subject}", ((place, "least"), name))

    def limits(self, limits: Sequence[Limit], measures: Collection[str], place: Place) -> None:
        if not 1 <= len(limits) <= MOST_LIMITS:
            self._add(place, f"has {len(limits)} entries", f"from 1 to {MOST_LIMITS}")
        for position, limit in enumerate(limits):
            here: Place = (place, position)
            self.word(limit.measure, measures, "measure of this rule", (here, "measure"))
            if (limit.above is None) == (limit.below is None):
                self._add(here, "needs above or below, and not both", "such as above = 0.2")
            if limit.action is not None:
                self.texts(limit.action, (here, "action"))

    def texts(self, texts: Texts, place: Place) -> None:
        self.short(texts.en, (place, "en"))
        self.short(texts.zh, (place, "zh"))
