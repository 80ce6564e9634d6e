"""Small parts of the pages: badges, figures, times and numbers as a person reads them. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scripts.sandbox.platform.html import Child, Markup, both, el, join
from scripts.sandbox.platform.store import Gateway, StoredDigest
from scripts.sandbox.platform.verify import ChainReport

SILENT_S = 3600.0
"""A gateway asks and tells more often than this, even when nothing happens."""
SPANS = {"shift": "班次", "day": "日", "week": "周", "month": "月"}
"""Kinds of digests that are made of others."""
GRADE_COLOUR = {"A": "good", "B": "good", "C": "warn", "D": "bad"}


def figures(figures: Sequence[tuple[Child, str, str]]) -> Markup:
    """A row of big numbers: value, English, Chinese."""
    return el(
        "div",
        *(el("div", el("b", value), both(en, zh), class_="figure") for value, en, zh in figures),
        class_="figures",
    )


def facts(facts: Sequence[tuple[str, str, Child]]) -> Markup:
    """A list of facts: English, Chinese, value."""
    return el("dl", *(join(el("dt", both(en, zh)), el("dd", value)) for en, zh, value in facts))


def crumbs(*steps: tuple[str, str]) -> Markup:
    """The way back: (name, address)."""
    return el("nav", *(join(el("a", name, href=href), " / ") for name, href in steps), class_="crumbs")


def badge(text: str, colour: str = "") -> Markup:
    """A word in a coloured pill."""
    return el("span", text, class_=f"badge {colour}".strip())


def proof(report: ChainReport) -> Markup:
    """Whether a chain is proven."""
    if not report.ok:
        return badge("no 否", "bad")
    return badge("yes 是", "good") if report.digests else badge("–")


def state(stored: StoredDigest, report: ChainReport) -> Markup:
    """What became of one digest."""
    if stored.state == "rejected":
        return badge("rejected 已拒绝", "warn")
    return badge("failed 失败", "bad") if stored.seq in report.failed else badge("verified 已验证", "good")


def chain_notice(report: ChainReport) -> Markup | None:
    """What is wrong with a chain; None: nothing."""
    if report.ok:
        return None
    return el("p", "The chain is not proven: ", "; ".join(report.failures[:5]), class_="notice bad")


def grade(grade: Any) -> Markup:
    """A coverage grade."""
    return badge(str(grade), GRADE_COLOUR.get(grade, "")) if grade else badge("–")


def coverage(counts: dict[str, Any]) -> Markup:
    """Grade and share of good samples."""
    expected = counts.get("expected") or 0
    share = f" {100 * counts.get('good', 0) / expected:.1f} %" if expected else ""
    return el("span", grade(counts.get("grade")), share, class_="nowrap")


def causes(bad: int, causes: dict[str, int]) -> Child:
    """A number of bad samples and what they came from."""
    if not causes:
        return number(bad)
    named = ", ".join(f"{cause} {each:,}" for cause, each in causes.items())
    return el("span", number(bad), el("span", named, class_="sub"))


def period(content: dict[str, Any]) -> Child:
    """A digest's period in the plant's own time."""
    header = member(content, "header")
    span, there = member(header, "period"), zone(content)
    try:
        start, end = (datetime.fromisoformat(span[name]) for name in ("start", "end"))
    except (KeyError, ValueError, TypeError):
        return "–"
    last = local(end, there)
    same_day = local(start, there)[:10] == last[:10]
    text = f"{local(start, there, with_zone=False)} – {last[11:] if same_day else last}"
    return el("span", text, class_="nowrap")


def kind(content: dict[str, Any]) -> Child:
    """What a digest is about: a period, a shift with its times, a day …"""
    name = str(content.get("kind", "–"))
    said = [name, SPANS.get(name, ""), str(member(content, "shift").get("times", ""))]
    return el("span", " ".join(filter(None, said)), class_="nowrap")


def made_of(content: dict[str, Any]) -> Child:
    """The digests that one of a shift, day, week or month was made of."""
    made = member(content, "parts")
    if not made:
        return "–"
    said = count(int(made.get("count", 0)), str(made.get("kind", "")))
    return el("span", f"{said}, {made.get('first_seq')}–{made.get('last_seq')}", class_="nowrap")


def zone(content: dict[str, Any]) -> str:
    """The plant's time zone; empty: not known."""
    return str(member(content, "header").get("timezone", ""))


def moment(text: str, zone_name: str) -> Markup:
    """A time of the digest in the plant's own time."""
    try:
        shown = local(datetime.fromisoformat(text), zone_name, with_zone=False)
    except ValueError:
        shown = text
    return el("span", shown, class_="nowrap")


def local(when: datetime, zone_name: str, *, with_zone: bool = True) -> str:
    """A time in a zone (UTC where the zone is not known)."""
    try:
        there = when.astimezone(ZoneInfo(zone_name)) if zone_name else when.astimezone(UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        there = when.astimezone(UTC)
    text = there.strftime("%Y-%m-%d %H:%M:%S")
    # The offset, not the zone's abbreviation: CST is China's standard time and also America's.
    offset = there.isoformat()[-6:]
    return f"{text} UTC{'' if offset == '+00:00' else offset}" if with_zone else text


def ago(seconds: float) -> str:
    """How long ago."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def seconds(value: Any) -> str:
    """A small time with its sign; a dash for what is none."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:+.3f} s" if known else "–"


def size(byte_count: int) -> str:
    """A size with the unit that fits, powers of ten."""
    for unit, length in (("GB", 10**9), ("MB", 10**6)):
        if byte_count >= length:
            return f"{byte_count / length:,.1f} {unit}"
    return f"{byte_count / 1000:,.1f} kB"


def count(how_many: int, noun: str) -> str:
    """A number with its noun."""
    return f"{how_many:,} {noun}" if how_many == 1 else f"{how_many:,} {noun}s"


def number(value: Any) -> str:
    """A number with separators; a dash for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def member(value: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within an object; empty where there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def status(text: str) -> dict[str, Any]:
    """A gateway's status; empty where it has sent none."""
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def name(gateway: Gateway) -> str:
    """What people call a gateway: its configured name, else its host's, else its id."""
    return str(status(gateway.status).get("name") or gateway.hostname or gateway.id)


def health(gateway: Gateway, now: float) -> Markup:
    """Whether a gateway is well: it is its own word, as long as it is heard of at all."""
    health = member(status(gateway.status), "health")
    if now - gateway.last_seen > SILENT_S:
        return badge("silent 失联", "bad")
    if not health:
        return badge("–")
    parts = [health, *(each for each in member(health, "components").values() if isinstance(each, dict))]
    if health.get("healthy") is not True:
        return badge("not well 异常", "bad")
    if all(each.get("healthy") for each in parts):
        return badge("well 正常", "good")
    return badge("degraded 部分异常", "warn")


def total(content: dict[str, Any]) -> dict[str, Any]:
    """The digest's coverage over all devices."""
    return member(member(content, "coverage"), "total")
