"""What a digest says of machines, indicators and findings, as parts of its page. Pure: data in, HTML out."""

from __future__ import annotations

from typing import Any

from scripts.sandbox.platform import parts, prescription_view
from scripts.sandbox.platform.html import Child, Markup, both, el, join, table

LEVEL_COLOUR = {"improve": "warn", "warn": "warn", "void": "bad", "data": "bad"}
LEVEL_WORDS = {"improve": "improve 可改进", "warn": "warning 警告", "void": "void 失效", "data": "data 数据有误"}
WINDOW_WORDS = {"period": "period 本周期", "day": "day 当日", "week": "7 d 近7天", "month": "28 d 近28天"}


def diagnosis(content: dict[str, Any]) -> Markup:
    """The sections that the digest has; nothing for a digest without them."""
    sections: list[Markup] = []
    if "equipment" in content:
        sections += [el("h2", both("Equipment", "设备")), _equipment(content["equipment"])]
    if "findings" in content:
        sections += [el("h2", both("Findings", "诊断发现")), _findings(content)]
    if "indicators" in content:
        sections += [el("h2", both("Indicators", "指标")), _indicators(content["indicators"])]
    if content.get("prescriptions"):
        sections.append(prescription_view.told(content["prescriptions"], parts.zone(content)))
    return join(*sections)


def _equipment(lines: list[dict[str, Any]]) -> Markup:
    columns = [
        "Machine|设备",
        "OEE|综合效率|number",
        "Availability|可用率|number",
        "Effectiveness|效率|number",
        "Quality|合格率|number",
        "Executing|运行|number",
        "Stops|停机|number",
        "Pieces|产量|number",
        "Energy|能耗|number",
    ]
    return table(columns, [_machine(each) for each in lines], "No machine is configured. 未配置设备。")


def _machine(line: dict[str, Any]) -> list[Child]:
    if line.get("withheld"):
        return [el("span", line["name"], el("span", line["withheld"], class_="sub")), *["–"] * 8]
    kpis, states = parts.member(line, "kpis"), parts.member(line, "states")
    stops, pieces, energy = (parts.member(line, name) for name in ("stops", "pieces", "energy"))
    idle = f"idle 空载 {parts.number(energy.get('idle_kwh'))}" if energy else ""
    return [
        el("span", line["name"], el("span", f"known 已知 {share(line.get('known'))}", class_="sub")),
        *(
            _kpi(parts.member(kpis, f"ISO22400.{name}"))
            for name in ("OEE", "AVAILABILITY", "EFFECTIVENESS", "QUALITY_RATIO")
        ),
        f"{parts.number(states.get('executing'))} s",
        el(
            "span",
            parts.number(stops.get("count")),
            el("span", f"micro 短停 {parts.number(stops.get('micro_count'))}", class_="sub"),
        ),
        el(
            "span",
            parts.number(pieces.get("produced")),
            el("span", f"good 合格 {parts.number(pieces.get('good'))}", class_="sub"),
        ),
        el("span", f"{parts.number(energy.get('kwh'))} kWh", el("span", idle, class_="sub")) if energy else "–",
    ]


def _kpi(kpi: dict[str, Any]) -> Child:
    if kpi.get("value") is None:
        return el("span", "–", el("span", kpi.get("reason", ""), class_="sub"))
    return share(kpi["value"])


def _findings(content: dict[str, Any]) -> Markup:
    columns = ["Finding|发现", "Subject|对象", "Evidence|证据", "Coverage|覆盖|number", "Action|建议"]
    found = [each for each in content["findings"] if each["status"] == "found"]
    doubtful = [each for each in content["findings"] if each["status"] != "found"]
    assessed = ", ".join(f"{name} {count}" for name, count in parts.member(content, "findings_assessed").items())
    rules = parts.member(content, "rules")
    cells = [_finding(each, parts.member(rules, each["rule"])) for each in found]
    return join(
        table(columns, cells, "No rule found anything. 未发现问题。"),
        _insufficient(doubtful) if doubtful else None,
        el("p", both("Subjects judged by rule", "各规则已评估对象数"), ": ", assessed or "–", class_="muted"),
    )


def _finding(line: dict[str, Any], rule: dict[str, Any]) -> list[Child]:
    """``rule``: its texts; an action of the line's own goes before the rule's."""
    level = line.get("level", "")
    title, action = parts.member(rule, "title"), parts.member(line, "action") or parts.member(rule, "action")
    sign = ">" if line.get("side") == "above" else "<"
    numbers = ", ".join(f"{name} {parts.number(value)}" for name, value in parts.member(line, "evidence").items())
    main = f"{line.get('measure', '')} {parts.number(line.get('value'))} {sign} {parts.number(line.get('threshold'))}"
    return [
        el(
            "span",
            both(title.get("en", line["rule"]), title.get("zh", "")),
            " ",
            parts.badge(LEVEL_WORDS.get(level, level), LEVEL_COLOUR.get(level, "")),
            el("span", f"{line['rule']}/{line['version']}", class_="sub"),
        ),
        line["name"] or "gateway 网关",
        el("span", main, el("span", f"{numbers} · {WINDOW_WORDS.get(line['window'], '')}", class_="sub")),
        share(line.get("coverage")),
        both(action.get("en", ""), action.get("zh", "")),
    ]


def _insufficient(lines: list[dict[str, Any]]) -> Markup:
    columns = ["Rule|规则", "Subject|对象", "Insufficient evidence|证据不足", "Coverage|覆盖|number"]
    cells: list[list[Child]] = [
        [each["rule"], each["name"] or "gateway 网关", each.get("reason", "–"), share(each.get("coverage"))]
        for each in lines
    ]
    summary = both(f"Insufficient evidence for {len(lines)} judgements", f"{len(lines)} 项判断证据不足")
    return el("details", el("summary", summary), table(columns, cells, ""))


def _indicators(lines: list[dict[str, Any]]) -> Markup:
    columns = ["Indicator|指标", "Value|数值|number", "Numerator ÷ denominator|分子 ÷ 分母|number", "Basis|依据",
               "Coverage|覆盖|number"]  # fmt: skip
    return table(columns, [_indicator(each) for each in lines], "No indicator. 无指标。")


def _indicator(line: dict[str, Any]) -> list[Child]:
    unit = "" if line["unit"] == "1" else f" {line['unit']}"
    value = share(line["value"]) if not unit else f"{parts.number(line['value'])}{unit}"
    note = " · ".join(filter(None, (f"bin {line['bin']} %" if line.get("bin") else "", line.get("reason", ""))))
    terms = f"{parts.number(line['numerator'])} ÷ {parts.number(line['denominator'])}"
    fit = line.get("fit")
    if fit:
        b0, b1, r2 = (parts.number(fit[name]) for name in ("b0", "b1", "r2"))
        terms = f"{b0} + {b1} · PQ, n = {fit['n']}, R² = {r2}"
    return [
        el("span", f"{line['code']} {line.get('machine', '')}", el("span", line["standard"], class_="sub")),
        el("span", value, el("span", note, class_="sub")),
        terms,
        line["basis"],
        share(line["coverage"]),
    ]


def share(value: Any) -> str:
    """A share in percent; a dash for what is none."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{100 * value:,.1f} %" if known else "–"
