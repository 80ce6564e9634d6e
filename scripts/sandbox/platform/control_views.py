"""What the fleet's configuration, its history and the audit trail look like. Pure: data in, HTML out."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import TypeAlias

from agent.control.redact import redacted
from agent.control.toml import write_toml
from scripts.sandbox.platform import parts
from scripts.sandbox.platform.control_store import AuditEntry, Report
from scripts.sandbox.platform.html import Child, Markup, both, el, join, page, table
from scripts.sandbox.platform.offers import FleetRow, Offer

REFRESH_S = 5
STATE = {
    "APPLIED": ("good", "已生效"),
    "FAILED": ("bad", "失败"),
    "APPLYING": ("warn", "试运行"),
    "UNSET": ("", "未设置"),
}
History: TypeAlias = tuple[list[Report], list[tuple[Offer, bool]]]
"""A gateway's states, and the bundles that address it with whether they are offered; newest first."""


def fleet(rows: list[FleetRow], now: float, *, only_drift: bool) -> str:
    """Every gateway: what it shall run, what it runs, what it tried, and why that failed."""
    shown = [row for row in rows if row.drift] if only_drift else rows
    columns = [
        "Gateway|网关",
        "Where|归属",
        "Desired|期望版本|number",
        "Running|运行版本|number",
        "State|状态",
        "Attempted|最近尝试|number",
        "Reason|原因",
        "Version|软件版本",
        "Last seen|最近上报",
    ]
    drifting = sum(row.drift for row in rows)
    failed = sum(row.report.state == "FAILED" for row in rows)
    return page(
        "Configuration",
        el("h1", both("Configuration of the fleet", "网关配置")),
        el(
            "p",
            "A gateway takes what its pinned administrators have signed, and keeps it only when data proves it. ",
            el("span", "网关只接受受信管理员签名的配置，并以实际数据验证后方可生效。", lang="zh-Hans"),
            class_="muted",
        ),
        parts.figures(
            [
                (str(len(rows)), "Gateways", "网关"),
                (str(len(rows) - drifting), "As desired", "符合期望"),
                (str(drifting), "Drifting", "偏离期望"),
                (str(failed), "Failed", "失败"),
            ]
        ),
        el(
            "nav",
            el("a", "All gateways", href="/fleet") if only_drift else el("a", "Drifting only", href="/fleet?drift=1"),
            class_="pager",
        ),
        table(columns, [_fleet_cells(row, now) for row in shown], "No gateway. 无网关。"),
        refresh_s=REFRESH_S,
    )


def _fleet_cells(row: FleetRow, now: float) -> list[Child]:
    gateway, said = row.gateway, row.report
    desired = row.desired.stored.revision if row.desired else 0
    link = el("a", parts.name(gateway), href=f"/gateways/{gateway.id}")
    where = [each for each in (row.affiliation.park, row.affiliation.district, *row.affiliation.chains) if each]
    version = row.body()["version"]
    return [
        el("span", link, el("span", gateway.id, class_="sub")),
        ", ".join(where) or "–",
        revision(desired),
        el("span", revision(said.running_revision), " ", parts.badge("drift 偏离", "warn") if row.drift else None),
        el("span", state(said.state), parts.badge("locked 锁定", "warn") if row.locked_until else None),
        revision(said.attempted_revision),
        said.last_error or "–",
        version or "–",
        el("span", parts.ago(now - gateway.last_seen), class_="nowrap"),
    ]


def history(reports: list[Report], offers: list[tuple[Offer, bool]], zone: str) -> Markup:
    """What one gateway said of its configuration over time, and what was signed for it."""
    states: list[list[Child]] = [
        [
            _time(report.at, zone),
            state(report.state),
            revision(report.running_revision),
            revision(report.attempted_revision),
            report.last_error or "–",
        ]
        for report in reports
    ]
    bundles = [_bundle_cells(offer, offered, zone) for offer, offered in offers]
    return join(
        el("h2", both("Configuration history", "配置历史")),
        table(
            ["When|时间", "State|状态", "Running|运行版本|number", "Attempted|最近尝试|number", "Reason|原因"],
            states,
            "It has not said anything of its configuration yet. 尚无配置记录。",
        ),
        el("h2", both("Signed for this gateway", "已签名配置")),
        table(
            ["Revision|版本|number", "For|对象", "Signed by|签名人", "Handed in|提交", "Expires|到期", "Offered|下发"],
            bundles,
            "No bundle addresses it. 无适用配置。",
        ),
    )


def _bundle_cells(offer: Offer, offered: bool, zone: str) -> list[Child]:
    bundle = offer.bundle
    text = el("details", el("summary", str(bundle.revision)), el("pre", shown_config(bundle.config)), class_="inline")
    missing = None if offer.complete else el("span", "more signatures needed", class_="sub")
    return [
        text,
        bundle.target,
        el("span", ", ".join(offer.signers) or "–", missing),
        _time(offer.stored.posted, zone),
        el("span", parts.local(bundle.expires, zone), class_="nowrap"),
        parts.badge("yes 是", "good") if offered else parts.badge("not yet 未"),
    ]


def shown_config(config: str) -> str:
    """The TOML without its secrets; sealed ones mean nothing to anybody here either."""
    try:
        return write_toml(redacted(tomllib.loads(config))).strip() or "–"
    except (ValueError, RecursionError):
        return "no TOML"


def audit(entries: list[AuditEntry]) -> str:
    """Who did what, newest first."""
    cells: list[list[Child]] = [
        [_time(each.at, ""), each.actor, _action(each.action), each.subject, each.detail] for each in entries
    ]
    return page(
        "Audit",
        el("h1", both("What administrators did", "管理员操作记录")),
        table(
            ["When|时间", "Administrator|管理员", "Action|操作", "Configuration|配置", "Detail|详情"],
            cells,
            "Nothing yet. 暂无记录。",
        ),
        refresh_s=REFRESH_S,
    )


def state(word: str) -> Markup:
    """A state with its colour."""
    colour, chinese = STATE.get(word, ("", ""))
    return parts.badge(f"{word} {chinese}".strip(), colour)


def revision(number: int) -> str:
    """A revision; that of the local file alone has no number."""
    return str(number) if number else "–"


def _action(action: str) -> Markup:
    return parts.badge(action, "bad" if action == "refused" else "")


def _time(seconds: float, zone: str) -> Markup:
    return el("span", parts.local(datetime.fromtimestamp(seconds, UTC), zone), class_="nowrap")
