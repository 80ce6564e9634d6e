"""What prescriptions and their measured effect look like. Pure: data in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scripts.sandbox.platform import parts
from scripts.sandbox.platform.html import Child, Markup, both, el, join, table
from scripts.sandbox.platform.prescriptions import Shown

STATE = {
    "received": ("", "已接收"),
    "adopted": ("good", "已采纳"),
    "declined": ("warn", "未采纳"),
    "expired": ("", "已过期"),
    "withdrawn": ("", "已撤回"),
    "refused": ("bad", "被拒收"),
}
COLUMNS = [
    "Prescription|处方|wide",
    "Target|目标",
    "State|状态",
    "Before|采纳前|number",
    "After|采纳后|number",
    "Measured effect|实测效果",
]
SIDES = {"at_least": "≥", "at_most": "≤"}


def section(shown: Sequence[Shown], others: Sequence[Mapping[str, Any]], zone: str) -> Markup | None:
    """A gateway's prescriptions; None where there has never been one."""
    if not shown and not others:
        return None
    rows = [_row(each, zone) for each in shown]
    rows += [_told_row(each, zone) for each in others]
    return join(el("h2", both("Prescriptions", "处方")), table(COLUMNS, rows, ""), _note())


def told(lines: Sequence[Mapping[str, Any]], zone: str) -> Markup:
    """What one digest tells of prescriptions."""
    rows = [_told_row(each, zone) for each in lines]
    return join(el("h2", both("Prescriptions", "处方")), table(COLUMNS, rows, ""), _note())


def _note() -> Markup:
    return el(
        "p",
        "Before: up to 28 days before the adoption. After: since then. The day of adoption is in neither. ",
        el("span", "采纳前：最多28天；采纳后：自次日起。采纳当日不计入。", lang="zh-Hans"),
        class_="muted",
    )


def _row(each: Shown, zone: str) -> list[Child]:
    content, line = each.prescription.content, dict(each.told)
    measure = parts.member(dict(content), "measure")
    title = el(
        "span",
        f"{content['id']} · {content['revision']}",
        el("span", *_texts(measure), class_="sub"),
        _details(each, zone),
    )
    if line:
        return [title, _target(content["target"]), _state(line, zone), *_effect(line)]
    state = parts.badge("offered 已下发") if each.complete else parts.badge("more signatures needed 待签名", "warn")
    return [title, _target(content["target"]), state, "–", "–", "–"]


def _details(each: Shown, zone: str) -> Markup:
    content = each.prescription.content
    findings = ", ".join(
        f"{ref['rule']}: {ref['name'] or 'gateway'}" + (f" (digest {ref['seq']})" if ref.get("seq") else "")
        for ref in content["findings"]
    )
    posted = parts.local(datetime.fromtimestamp(each.posted, UTC), zone)
    return el(
        "details",
        el("summary", both("Finding", "诊断依据")),
        el("p", *_texts(parts.member(dict(content), "text"))),
        el("p", findings or "–", class_="muted"),
        el("p", f"{content['from']} – {content['until']} · signed by {', '.join(each.signers) or '–'} · {posted}",
           class_="muted"),
        class_="inline",
    )  # fmt: skip


def _texts(texts: Mapping[str, Any]) -> list[Child]:
    given = [(texts.get("en", ""), "en"), (texts.get("zh", ""), "zh-Hans")]
    return [el("span", text, lang=lang, class_="plain") for text, lang in given if text]


def _told_row(line: Mapping[str, Any], zone: str) -> list[Child]:
    title = f"{line['id'] or '?'} · {line['revision']}"
    return [title, _target(line["target"]) if line.get("target") else "–", _state(line, zone), *_effect(line)]


def _target(target: Mapping[str, Any]) -> Child:
    wanted = f"{SIDES.get(target['side'], '?')} {parts.number(target['value'])}"
    code = el("span", target["indicator"], class_="sub nowrap")
    return el("span", wanted, code, el("span", target["machine"], class_="sub"))


def _state(line: Mapping[str, Any], zone: str) -> Markup:
    word = str(line["state"])
    colour, chinese = STATE.get(word, ("", ""))
    when = line.get("decided_at", line["received_at"])
    since = f"since 自 {line['adopted_on']}" if line.get("adopted_on") else ""
    why = line.get("reason", "") if word in ("declined", "refused") else ""
    return el(
        "span",
        parts.badge(f"{word} {chinese}".strip(), colour),
        el("span", since, class_="sub") if since else None,
        el("span", parts.moment(when, zone), class_="sub"),
        el("span", why, class_="sub") if why else None,
    )


def _effect(line: Mapping[str, Any]) -> list[Child]:
    if line["state"] != "adopted":
        return ["–", "–", "–"]
    reached = {True: ("reached 已达标", "good"), False: ("not reached 未达标", "warn")}.get(line.get("reached"))  # type: ignore[arg-type]
    badge = parts.badge(*(reached or ("cannot be told 尚无结论", "")))
    change = line.get("change")
    return [
        _stretch(line.get("before")),
        _stretch(line.get("after")),
        el(
            "span",
            badge,
            el("span", f"change 变化 {change:+.4g}", class_="sub") if isinstance(change, int | float) else None,
            el("span", line["reason"], class_="sub") if line.get("reason") else None,
        ),
    ]


def _stretch(stretch: Mapping[str, Any] | None) -> Child:
    if not stretch:
        return "–"
    unit = "" if stretch["unit"] == "1" else f" {stretch['unit']}"
    terms = f"{parts.number(stretch['numerator'])} ÷ {parts.number(stretch['denominator'])}"
    coverage = stretch["coverage"]
    known = f"{100 * coverage:.1f} %" if isinstance(coverage, int | float) else "–"
    return el(
        "span",
        "–" if stretch["value"] is None else f"{parts.number(stretch['value'])}{unit}",
        el("span", terms, class_="sub") if stretch["numerator"] is not None else None,
        el("span", f"{stretch['days']} d 天", class_="sub"),
        el("span", f"known 已知 {known}", class_="sub"),
    )
