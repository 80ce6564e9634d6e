"""What the pages look like. Pure: data in, HTML out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scripts.sandbox.platform.html import Child, Markup, both, el, join, page, table
from scripts.sandbox.platform.store import Gateway, StoredDigest
from scripts.sandbox.platform.verify import ChainReport

REFRESH_S = 5
GRADE_COLOUR = {"A": "good", "B": "good", "C": "warn", "D": "bad"}


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway with its chain's report and its newest accepted digest (empty: none)."""

    gateway: Gateway
    report: ChainReport
    latest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DigestRow:
    """A stored digest and its content (empty: rejected)."""

    stored: StoredDigest
    content: dict[str, Any]


def index(rows: list[GatewayRow], now: float) -> str:
    """The list of gateways."""
    columns = [
        "Gateway|网关",
        "Enterprise|企业",
        "Last seen|最近上报",
        "Digests|摘要|number",
        "Verified|验证",
        "Rejected|已拒绝|number",
        "Coverage|覆盖等级",
    ]
    cells = [_gateway_cells(row, now) for row in rows]
    verified = sum(row.report.verified for row in rows)
    figures = [
        (str(len(rows)), "Gateways", "网关"),
        (str(sum(row.report.digests for row in rows)), "Digests", "摘要"),
        (str(verified), "Verified", "已验证"),
        (str(sum(row.report.rejected for row in rows)), "Rejected", "已拒绝"),
    ]
    return page(
        "Gateways",
        el("h1", both("Gateways", "网关")),
        el(
            "p",
            "Every digest is checked for its signature and its place in the chain before it counts.",
            class_="muted",
        ),
        _figures(figures),
        table(columns, cells, "No gateway has enrolled yet. 尚无网关注册。"),
        refresh_s=REFRESH_S,
    )


def _gateway_cells(row: GatewayRow, now: float) -> list[Child]:
    gateway, report = row.gateway, row.report
    link = el("a", gateway.hostname or gateway.id, href=f"/gateways/{gateway.id}")
    affiliation = _member(row.latest, "affiliation")
    return [
        el("span", link, el("span", gateway.id, class_="sub")),
        el("span", affiliation.get("enterprise") or "–", el("span", affiliation.get("park", ""), class_="sub")),
        el("span", _ago(now - gateway.last_seen), class_="nowrap"),
        report.digests,
        _proof(report),
        report.rejected,
        _grade(_total(row.latest).get("grade")),
    ]


def gateway(gateway: Gateway, report: ChainReport, rows: list[DigestRow], now: float, *, newest: bool) -> str:
    """One gateway and its digests."""
    columns = [
        "No.|序号|number",
        "Period|周期",
        "Kind|类型",
        "Coverage|覆盖率",
        "Verified|验证",
        "Received|接收时间",
        "Size|大小|number",
    ]
    cells = [_digest_cells(row, report) for row in rows]
    older = rows[-1].stored.seq if rows and rows[-1].stored.seq > 1 else 0
    return page(
        gateway.hostname or gateway.id,
        _crumbs(("Gateways", "/")),
        el("h1", gateway.hostname or gateway.id),
        el("p", f"{gateway.id} · {gateway.hardware or '–'} · version {gateway.version or '–'}", class_="muted"),
        _figures(
            [
                (str(report.digests), "Digests", "摘要"),
                (str(report.verified), "Verified", "已验证"),
                (str(report.rejected), "Rejected", "已拒绝"),
                (_ago(now - gateway.last_seen), "Last seen", "最近上报"),
            ]
        ),
        _chain_notice(report),
        el("h2", both("Digests", "摘要")),
        table(columns, cells, "No digest has arrived yet. 尚无摘要。"),
        el(
            "nav",
            None if newest else el("a", "← Newest", href=f"/gateways/{gateway.id}"),
            el("a", "Older →", href=f"/gateways/{gateway.id}?before={older}") if older else None,
            class_="pager",
        ),
        _status(gateway, now),
        refresh_s=REFRESH_S if newest else 0,
    )


def _digest_cells(row: DigestRow, report: ChainReport) -> list[Child]:
    stored = row.stored
    href = f"/gateways/{stored.gateway}/digests/{stored.seq}"
    zone = str(_member(row.content, "header").get("timezone", ""))
    return [
        el("a", stored.seq, href=href),
        _period(row.content),
        row.content.get("kind", "–"),
        _coverage(_total(row.content)),
        _state(stored, report),
        el("span", _local(datetime.fromtimestamp(stored.received, UTC), zone), class_="nowrap"),
        _size(stored.size),
    ]


def digest(gateway: Gateway, report: ChainReport, row: DigestRow) -> str:
    """One digest, readably and raw."""
    stored, content = row.stored, row.content
    readable = _readable(content) if content else Markup("")
    name = gateway.hostname or gateway.id
    return page(
        f"Digest {stored.seq} of {name}",
        _crumbs(("Gateways", "/"), (name, f"/gateways/{gateway.id}")),
        el("h1", both(f"Digest {stored.seq}", f"摘要 {stored.seq}"), " ", _state(stored, report)),
        el("p", _period(content), class_="muted") if content else None,
        el("p", "Rejected: ", stored.reason, class_="notice bad") if stored.state == "rejected" else None,
        el("h2", both("Proof", "证明")),
        _proof_list(stored),
        readable,
        _raw(content),
    )


def _proof_list(stored: StoredDigest) -> Markup:
    before = stored.seq - 1
    link = el("a", f"digest {before}", href=f"/gateways/{stored.gateway}/digests/{before}") if before else "the first"
    return _facts(
        [
            ("SHA-256", "哈希值", el("code", stored.hash)),
            ("Previous", "前一哈希", join(el("code", stored.previous), " (", link, ")")),
            ("Signature", "签名", el("code", stored.jws)),
            ("Size", "大小", f"{stored.size:,} bytes"),
            ("Received", "接收时间", _local(datetime.fromtimestamp(stored.received, UTC), "")),
        ]
    )


def _readable(content: dict[str, Any]) -> Markup:
    header, affiliation = _member(content, "header"), _member(content, "affiliation")
    clock = _member(header, "clock")
    trust = "trusted" if clock.get("trusted") else "not trusted"
    chains = ", ".join(f"{each['name']} ({each['role']})" for each in affiliation.get("chains", ()))
    return join(
        el("h2", both("Whom it is about", "归属")),
        _facts(
            [
                ("Enterprise", "企业", affiliation.get("enterprise") or "–"),
                ("Credit code", "统一社会信用代码", affiliation.get("credit_code") or "–"),
                (
                    "District, park",
                    "区、园区",
                    " · ".join(filter(None, (affiliation.get("district"), affiliation.get("park")))) or "–",
                ),
                ("Chains", "产业链", chains or "–"),
                (
                    "Uplink",
                    "上行链路",
                    " · ".join(filter(None, (affiliation.get("operator"), affiliation.get("uplink")))) or "–",
                ),
                (
                    "Clock",
                    "时钟",
                    f"{trust}, source {clock.get('source', '–')}, offset {_number(clock.get('offset_s'))} s",
                ),
                ("Agent", "代理版本", header.get("agent_version", "–")),
            ]
        ),
        el("h2", both("Coverage", "数据覆盖")),
        _coverage_section(_member(content, "coverage")),
        el("h2", both("Tags", "点位汇总")),
        _tags(content.get("tags", [])),
        el("h2", both("Loss ledger", "损失台账")),
        _ledger(content.get("ledger", [])),
    )


def _coverage_section(coverage: dict[str, Any]) -> Markup:
    total, inventory = _member(coverage, "total"), _member(coverage, "inventory")
    columns = [
        "Device|设备",
        "Grade|等级",
        "Good|有效|number",
        "Expected|应采|number",
        "Bad|无效|number",
        "Missing|缺失|number",
        "Late|迟到|number",
        "Longest gap|最长中断|number",
        "Disconnects|断线|number",
    ]
    cells = [_device_cells(each) for each in coverage.get("devices", ())]
    networked = f"{inventory.get('networked', '–')} of {inventory.get('configured', '–')}"
    return join(
        _figures(
            [
                (_coverage(total), "Grade", "等级"),
                (networked, "Devices with data", "有数据设备"),
                (f"{_number(total.get('agent_downtime_s'))} s", "Agent downtime", "代理停机"),
                (str(total.get("restarts", "–")), "Restarts", "重启"),
            ]
        ),
        table(columns, cells, "No device is configured. 未配置设备。"),
    )


def _device_cells(device: dict[str, Any]) -> list[Child]:
    points = f"{device['points']} points every {_number(device['interval_s'])} s"
    return [
        el("span", device["name"], el("span", points, class_="sub")),
        _coverage(device),
        _number(device["good"]),
        _number(device["expected"]),
        _causes(device["bad"], device["bad_causes"]),
        _number(device["missing"]),
        _number(device["late"]),
        f"{_number(device['longest_gap_s'])} s",
        _number(device["disconnects"]),
    ]


def _tags(tags: list[dict[str, Any]]) -> Markup:
    columns = ["Tag|点位", "Kind|类型", "Summary|汇总", "Good|有效|number", "Expected|应采|number"]
    cells: list[list[Child]] = [
        [each["name"], each["kind"], _summary(each), _number(each["good"]), _number(each["expected"])] for each in tags
    ]
    return table(columns, cells, "No tag is shared: nothing beyond coverage leaves the plant. 未共享任何点位。")


def _summary(tag: dict[str, Any]) -> Child:
    if tag.get("reason"):
        return el("span", tag["reason"], class_="muted")
    unit = f" {tag['unit']}" if tag["unit"] else ""
    if tag["kind"] == "state":
        seconds = tag.get("seconds") or {}
        return ", ".join(f"{value}: {_number(each)} s" for value, each in seconds.items()) or "–"
    if tag["kind"] == "counter":
        extra = [f"{tag[name]} {name}" for name in ("resets", "rollovers", "decrements") if tag.get(name)]
        extra += ["stuck"] if tag.get("stuck") else []
        main, detail = (
            f"+{_number(tag.get('delta'))}{unit}",
            f"from {_number(tag.get('first'))} to {_number(tag.get('last'))}",
        )
        return el("span", main, el("span", ", ".join([detail, *extra]), class_="sub"))
    low, high, median = _number(tag.get("min")), _number(tag.get("max")), _number(tag.get("p50"))
    spread = f"{low} … {high}, σ {_number(tag.get('std'))}, median {median}"
    return el("span", f"mean {_number(tag.get('mean'))}{unit}", el("span", spread, class_="sub"))


def _ledger(entries: list[dict[str, Any]]) -> Markup:
    columns = ["From|起", "To|止", "Cause|原因", "Device|设备", "Tag|点位", "Count|数量|number"]
    cells: list[list[Child]] = [
        [each["start"], each["end"], each["cause"], each["device"] or "–", each["tag"] or "–", _number(each["count"])]
        for each in entries
    ]
    return table(columns, cells, "Nothing was lost or shed in this period. 本周期无数据损失。")


def _raw(content: dict[str, Any]) -> Markup | None:
    if not content:
        return None
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return el("details", el("summary", both("Raw JSON", "原文")), el("pre", text))


def _status(gateway: Gateway, now: float) -> Markup | None:
    if not gateway.status:
        return None
    text = json.dumps(json.loads(gateway.status), indent=2, ensure_ascii=False)
    title = join(both("Last status", "最近状态"), f" {_ago(now - gateway.status_at)}")
    return el("details", el("summary", title), el("pre", text))


# --- small parts ---------------------------------------------------------------------------------------


def _figures(figures: Sequence[tuple[Child, str, str]]) -> Markup:
    return el(
        "div",
        *(el("div", el("b", value), both(en, zh), class_="figure") for value, en, zh in figures),
        class_="figures",
    )


def _facts(facts: Sequence[tuple[str, str, Child]]) -> Markup:
    return el("dl", *(join(el("dt", both(en, zh)), el("dd", value)) for en, zh, value in facts))


def _crumbs(*steps: tuple[str, str]) -> Markup:
    return el("nav", *(join(el("a", name, href=href), " / ") for name, href in steps), class_="crumbs")


def _badge(text: str, colour: str = "") -> Markup:
    return el("span", text, class_=f"badge {colour}".strip())


def _proof(report: ChainReport) -> Markup:
    if not report.ok:
        return _badge("no 否", "bad")
    return _badge("yes 是", "good") if report.digests else _badge("–")


def _state(stored: StoredDigest, report: ChainReport) -> Markup:
    if stored.state == "rejected":
        return _badge("rejected 已拒绝", "warn")
    return _badge("failed 失败", "bad") if stored.seq in report.failed else _badge("verified 已验证", "good")


def _chain_notice(report: ChainReport) -> Markup | None:
    if report.ok:
        return None
    return el("p", "The chain is not proven: ", "; ".join(report.failures[:5]), class_="notice bad")


def _grade(grade: Any) -> Markup:
    return _badge(str(grade), GRADE_COLOUR.get(grade, "")) if grade else _badge("–")


def _coverage(counts: dict[str, Any]) -> Markup:
    """Grade and share of good samples."""
    expected = counts.get("expected") or 0
    share = f" {100 * counts.get('good', 0) / expected:.1f} %" if expected else ""
    return el("span", _grade(counts.get("grade")), share, class_="nowrap")


def _causes(count: int, causes: dict[str, int]) -> Child:
    if not causes:
        return _number(count)
    named = ", ".join(f"{cause} {number:,}" for cause, number in causes.items())
    return el("span", _number(count), el("span", named, class_="sub"))


def _period(content: dict[str, Any]) -> Child:
    header = _member(content, "header")
    period, zone = _member(header, "period"), str(header.get("timezone", ""))
    try:
        start, end = (datetime.fromisoformat(period[name]) for name in ("start", "end"))
    except (KeyError, ValueError, TypeError):
        return "–"
    last = _local(end, zone)
    same_day = _local(start, zone)[:10] == last[:10]
    text = f"{_local(start, zone, with_zone=False)} – {last[11:] if same_day else last}"
    return el("span", text, class_="nowrap")


def _local(moment: datetime, zone: str, *, with_zone: bool = True) -> str:
    try:
        there = moment.astimezone(ZoneInfo(zone)) if zone else moment.astimezone(UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        there = moment.astimezone(UTC)
    return there.strftime("%Y-%m-%d %H:%M:%S %Z" if with_zone else "%Y-%m-%d %H:%M:%S")


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def _size(size: int) -> str:
    return f"{size / 1000:,.1f} kB"


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _member(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _total(content: dict[str, Any]) -> dict[str, Any]:
    return _member(_member(content, "coverage"), "total")
