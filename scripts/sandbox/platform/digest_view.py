"""What the page of one digest looks like. Pure: data in, HTML out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scripts.sandbox.platform import parts
from scripts.sandbox.platform.diagnosis_view import diagnosis
from scripts.sandbox.platform.html import Child, Markup, both, el, join, page, table
from scripts.sandbox.platform.store import Gateway, StoredDigest
from scripts.sandbox.platform.verify import ChainReport


@dataclass(frozen=True, slots=True)
class DigestRow:
    """A stored digest and its content (empty: rejected)."""

    stored: StoredDigest
    content: dict[str, Any]


def digest(gateway: Gateway, report: ChainReport, row: DigestRow) -> str:
    """One digest, readably and raw."""
    stored, content = row.stored, row.content
    readable = _readable(content) if content else Markup("")
    name = parts.name(gateway)
    return page(
        f"Digest {stored.seq} of {name}",
        parts.crumbs(("Gateways", "/"), (name, f"/gateways/{gateway.id}")),
        el("h1", both(f"Digest {stored.seq}", f"摘要 {stored.seq}"), " ", parts.state(stored, report)),
        el("p", parts.kind(content), " · ", parts.period(content), class_="muted") if content else None,
        el("p", "made of 由 ", parts.made_of(content), class_="muted") if content.get("parts") else None,
        el("p", "Rejected: ", stored.reason, class_="notice bad") if stored.state == "rejected" else None,
        el("h2", both("Proof", "证明")),
        _proof_list(row),
        readable,
        _raw(content),
    )


def _proof_list(row: DigestRow) -> Markup:
    stored = row.stored
    before = stored.seq - 1
    link = el("a", f"digest {before}", href=f"/gateways/{stored.gateway}/digests/{before}") if before else "the first"
    return parts.facts(
        [
            ("SHA-256", "哈希值", el("code", stored.hash)),
            ("Previous", "前一哈希", join(el("code", stored.previous), " (", link, ")")),
            ("Signature", "签名", el("code", stored.jws)),
            ("Size", "大小", f"{stored.size:,} bytes"),
            (
                "Received",
                "接收时间",
                parts.local(datetime.fromtimestamp(stored.received, UTC), parts.zone(row.content)),
            ),
        ]
    )


def _readable(content: dict[str, Any]) -> Markup:
    header, affiliation = parts.member(content, "header"), parts.member(content, "affiliation")
    clock = parts.member(header, "clock")
    trust = "trusted" if clock.get("trusted") else "not trusted"
    chains = ", ".join(f"{each['name']} ({each['role']})" for each in affiliation.get("chains", ()))
    return join(
        el("h2", both("Whom it is about", "归属")),
        parts.facts(
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
                    f"{trust}, source {clock.get('source', '–')}, offset {parts.seconds(clock.get('offset_s'))}",
                ),
                ("Agent", "程序版本", header.get("agent_version", "–")),
            ]
        ),
        diagnosis(content),
        el("h2", both("Coverage", "数据覆盖")),
        _coverage_section(parts.member(content, "coverage")),
        el("h2", both("Tags", "点位汇总")),
        _tags(content.get("tags", [])),
        el("h2", both("Loss ledger", "损失台账")),
        _ledger(content.get("ledger", []), parts.zone(content)),
    )


def _coverage_section(coverage: dict[str, Any]) -> Markup:
    total, inventory = parts.member(coverage, "total"), parts.member(coverage, "inventory")
    columns = [
        "Device|设备",
        "Grade|等级",
        "Good|有效|number",
        "Expected|应采|number",
        "Bad|无效|number",
        "Missing|缺失|number",
        "Late|延误|number",
        "Longest gap|最长中断|number",
        "Disconnects|断线|number",
    ]
    cells = [_device_cells(each) for each in coverage.get("devices", ())]
    networked = f"{inventory.get('networked', '–')} of {inventory.get('configured', '–')}"
    return join(
        parts.figures(
            [
                (parts.coverage(total), "Grade", "等级"),
                (networked, "Devices with data", "有数据设备"),
                (f"{parts.number(total.get('agent_downtime_s'))} s", "Agent downtime", "采集程序停机"),
                (str(total.get("restarts", "–")), "Restarts", "重启"),
            ]
        ),
        table(columns, cells, "No device is configured. 未配置设备。"),
    )


def _device_cells(device: dict[str, Any]) -> list[Child]:
    points = f"{parts.count(device['points'], 'point')} every {parts.number(device['interval_s'])} s"
    return [
        el("span", device["name"], el("span", points, class_="sub")),
        parts.coverage(device),
        parts.number(device["good"]),
        parts.number(device["expected"]),
        parts.causes(device["bad"], device["bad_causes"]),
        parts.number(device["missing"]),
        parts.number(device["late"]),
        f"{parts.number(device['longest_gap_s'])} s",
        parts.number(device["disconnects"]),
    ]


def _tags(tags: list[dict[str, Any]]) -> Markup:
    columns = ["Tag|点位", "Kind|类型", "Summary|汇总", "Good|有效|number", "Expected|应采|number"]
    cells: list[list[Child]] = [
        [each["name"], each["kind"], _summary(each), parts.number(each["good"]), parts.number(each["expected"])]
        for each in tags
    ]
    return table(columns, cells, "No tag is shared: nothing beyond coverage leaves the plant. 未共享任何点位。")


def _summary(tag: dict[str, Any]) -> Child:
    if tag.get("reason"):
        return el("span", tag["reason"], class_="muted")
    unit = f" {tag['unit']}" if tag["unit"] else ""
    if tag["kind"] == "state":
        seconds = tag.get("seconds") or {}
        return ", ".join(f"{value}: {parts.number(each)} s" for value, each in seconds.items()) or "–"
    if tag["kind"] == "counter":
        extra = [
            parts.count(tag[f"{name}s"], name) for name in ("reset", "rollover", "decrement") if tag.get(f"{name}s")
        ]
        extra += ["stuck"] if tag.get("stuck") else []
        main, detail = (
            f"+{parts.number(tag.get('delta'))}{unit}",
            f"from {parts.number(tag.get('first'))} to {parts.number(tag.get('last'))}",
        )
        return el("span", main, el("span", ", ".join([detail, *extra]), class_="sub"))
    low, high, median = parts.number(tag.get("min")), parts.number(tag.get("max")), parts.number(tag.get("p50"))
    spread = f"{low} … {high}, σ {parts.number(tag.get('std'))}, median {median}"
    return el("span", f"mean {parts.number(tag.get('mean'))}{unit}", el("span", spread, class_="sub"))


def _ledger(entries: list[dict[str, Any]], zone: str) -> Markup:
    columns = ["From|起", "To|止", "Cause|原因", "Device|设备", "Tag|点位", "Count|数量|number"]
    cells: list[list[Child]] = [
        [
            parts.moment(each["start"], zone),
            parts.moment(each["end"], zone),
            each["cause"],
            each["device"] or "–",
            each["tag"] or "–",
            parts.number(each["count"]),
        ]
        for each in entries
    ]
    return table(columns, cells, "Nothing was lost or shed in this period. 本周期无数据损失。")


def _raw(content: dict[str, Any]) -> Markup | None:
    if not content:
        return None
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return el("details", el("summary", both("Raw JSON", "原文")), el("pre", text))
