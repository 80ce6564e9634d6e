"""What the list of gateways and the page of one look like. Pure: data in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from scripts.sandbox.platform import control_views, parts, prescription_view, status_view
from scripts.sandbox.platform.control_views import History
from scripts.sandbox.platform.digest_view import DigestRow
from scripts.sandbox.platform.html import Child, Markup, both, el, join, page, table
from scripts.sandbox.platform.prescriptions import Shown
from scripts.sandbox.platform.store import Gateway
from scripts.sandbox.platform.verify import ChainReport

REFRESH_S = 5
Prescribed: TypeAlias = tuple[list[Shown], list[Mapping[str, Any]]]
"""A gateway's prescriptions, and what it told of others."""


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway with its chain's report and its newest accepted digest (empty: none)."""

    gateway: Gateway
    report: ChainReport
    latest: dict[str, Any]


def index(rows: list[GatewayRow], now: float) -> str:
    """The list of gateways."""
    columns = [
        "Gateway|网关",
        "Enterprise|企业",
        "Last seen|最近上报",
        "Health|运行状态",
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
            "Every digest is checked for its signature and its place in the chain before it counts. ",
            el("span", "每份摘要入库前均核验签名及其在链上的位置。", lang="zh-Hans"),
            class_="muted",
        ),
        parts.figures(figures),
        table(columns, cells, "No gateway has enrolled yet. 尚无网关注册。"),
        refresh_s=REFRESH_S,
    )


def _gateway_cells(row: GatewayRow, now: float) -> list[Child]:
    gateway, report = row.gateway, row.report
    link = el("a", parts.name(gateway), href=f"/gateways/{gateway.id}")
    affiliation = parts.member(row.latest, "affiliation")
    return [
        el("span", link, el("span", gateway.id, class_="sub")),
        el("span", affiliation.get("enterprise") or "–", el("span", affiliation.get("park", ""), class_="sub")),
        el("span", parts.ago(now - gateway.last_seen), class_="nowrap"),
        parts.health(gateway, now),
        report.digests,
        parts.proof(report),
        report.rejected,
        parts.grade(parts.total(row.latest).get("grade")),
    ]


def gateway(
    gateway: Gateway,
    report: ChainReport,
    rows: list[DigestRow],
    spans: list[DigestRow],
    streams: list[ChainReport],
    told: History,
    prescribed: Prescribed,
    now: float,
    *,
    newest: bool,
) -> str:
    """One gateway, its digests, and what became of its prescriptions and configurations."""
    zone = next((parts.zone(row.content) for row in rows if row.content), "")  # a rejected digest has none
    version = parts.status(gateway.status).get("version") or gateway.version  # an update does not enrol anew
    return page(
        parts.name(gateway),
        parts.crumbs(("Gateways", "/")),
        el("h1", parts.name(gateway)),
        el("p", f"{gateway.id} · {gateway.hardware or '–'} · version {version or '–'}", class_="muted"),
        parts.figures(
            [
                (str(report.digests), "Digests", "摘要"),
                (str(report.verified), "Verified", "已验证"),
                (str(report.rejected), "Rejected", "已拒绝"),
                (parts.ago(now - gateway.last_seen), "Last seen", "最近上报"),
            ]
        ),
        parts.chain_notice(report),
        status_view.facts(gateway, now),
        prescription_view.section(*prescribed, zone) if newest else None,
        _streams(streams) if streams else None,
        _spans(spans, report, zone) if newest else None,
        _digests(rows, report, zone),
        _pager(gateway.id, rows, newest),
        control_views.history(*told, zone) if newest else None,
        status_view.raw(gateway),
        refresh_s=REFRESH_S if newest else 0,
    )


def _digests(rows: list[DigestRow], report: ChainReport, zone: str) -> Markup:
    """Of the gateway's own chain, the newest first."""
    columns = [
        "No.|序号|number",
        "Period|周期",
        "Kind|类型",
        "Coverage|覆盖率",
        "Verified|验证",
        "Received|接收时间",
        "Size|大小|number",
    ]
    cells = [_digest_cells(row, report, zone) for row in rows]
    return el(
        "section", el("h2", both("Digests", "摘要")), table(columns, cells, "No digest has arrived yet. 尚无摘要。")
    )


def _pager(gateway_id: str, rows: list[DigestRow], newest: bool) -> Markup:
    older = rows[-1].stored.seq if rows and rows[-1].stored.seq > 1 else 0
    return el(
        "nav",
        None if newest else el("a", "← Newest", href=f"/gateways/{gateway_id}"),
        el("a", "Older →", href=f"/gateways/{gateway_id}?before={older}") if older else None,
        class_="pager",
    )


def _spans(rows: list[DigestRow], report: ChainReport, zone: str) -> Markup | None:
    """Shifts, days, weeks and months: each a digest of its own, made of those of others."""
    if not rows:
        return None
    columns = ["No.|序号|number", "Kind|类型", "Period|周期", "Coverage|覆盖率", "Made of|组成", "Verified|验证"]
    cells: list[list[Child]] = [
        [
            el("a", row.stored.seq, href=f"/gateways/{row.stored.gateway}/digests/{row.stored.seq}"),
            parts.kind(row.content),
            parts.period(row.content),
            parts.coverage(parts.total(row.content)),
            parts.made_of(row.content),
            parts.state(row.stored, report),
        ]
        for row in rows
    ]
    return join(el("h2", both("Shifts, days, weeks, months", "班次与日、周、月")), table(columns, cells, ""))


def _streams(reports: list[ChainReport]) -> Child:
    """The chains for further audiences, each verified by itself."""
    columns = ["Audience|受众", "Digests|摘要|number", "Verified|验证", "Rejected|已拒绝|number"]
    cells: list[list[Child]] = [[each.stream, each.digests, parts.proof(each), each.rejected] for each in reports]
    return el("section", el("h2", both("Further audiences", "其他受众")), table(columns, cells, ""))


def _digest_cells(row: DigestRow, report: ChainReport, zone: str) -> list[Child]:
    stored = row.stored
    href = f"/gateways/{stored.gateway}/digests/{stored.seq}"
    return [
        el("a", stored.seq, href=href),
        parts.period(row.content),
        parts.kind(row.content),
        parts.coverage(parts.total(row.content)),
        parts.state(stored, report),
        el("span", parts.local(datetime.fromtimestamp(stored.received, UTC), zone), class_="nowrap"),
        parts.size(stored.size),
    ]
