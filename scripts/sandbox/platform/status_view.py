"""What a gateway's own report of its state looks like. Pure: data in, HTML out; everything may be missing."""

from __future__ import annotations

import json
from typing import Any

from scripts.sandbox.platform import parts
from scripts.sandbox.platform.html import Child, Markup, both, el, join
from scripts.sandbox.platform.store import Gateway

DEEPEST = 6


def facts(gateway: Gateway, now: float) -> Markup | None:
    """The state in a few lines; None where the gateway has sent none."""
    status = parts.status(gateway.status)
    if not status:
        return None
    title = join(both("State", "状态"), el("span", f" as of {parts.ago(now - gateway.status_at)}", class_="muted"))
    return join(
        el("h2", title),
        parts.facts(
            [
                ("Health", "运行状态", join(parts.health(gateway, now), _tree(parts.member(status, "health"), 0))),
                ("Clock", "时钟", _clock(parts.member(status, "clock"))),
                ("Configuration", "配置", _configuration(status)),
                ("Digests", "摘要", _digests(parts.member(status, "digests"))),
                ("Buffer", "本地缓存", _buffer(parts.member(status, "buffer"))),
                ("Link", "链路", _link(parts.member(status, "link"))),
            ]
        ),
    )


def raw(gateway: Gateway) -> Markup | None:
    """The report as it was sent, folded."""
    status = parts.status(gateway.status)
    if not status:
        return None
    text = json.dumps(status, indent=2, ensure_ascii=False)
    return el("details", el("summary", both("Last report as sent", "最近上报原文")), el("pre", text))


def _tree(health: dict[str, Any], depth: int) -> Markup | None:
    components = parts.member(health, "components")
    if not components or depth == DEEPEST:
        return None
    return el("ul", *(_component(name, components, depth) for name in components), class_="tree")


def _component(name: str, components: dict[str, Any], depth: int) -> Markup:
    health = parts.member(components, name)
    word = str(health.get("status", "–"))
    bad = health.get("bad")
    known = "last_good" in health  # a device
    counts = f" {parts.number(health.get('good'))} good, {parts.number(bad)} bad" if known else ""
    colour = "good" if health.get("healthy") is True else "bad" if word == "down" else "warn"
    return el("li", name, " ", parts.badge(word, colour), counts, _tree(health, depth + 1))


def _clock(clock: dict[str, Any]) -> Child:
    if not clock:
        return "–"
    trusted = parts.badge("trusted 可信", "good") if clock.get("trusted") else parts.badge("not trusted 不可信", "warn")
    return join(trusted, f" source {clock.get('source', '–')}, offset {parts.seconds(clock.get('offset_s'))}")


def _configuration(status: dict[str, Any]) -> Child:
    running, attempted = str(status.get("running_hash", "")), str(status.get("attempted_hash", ""))
    tried = f", attempted {attempted[:12]}" if attempted else ""
    error = str(status.get("last_error", ""))
    state = parts.badge(str(status.get("state", "–")), "bad" if status.get("state") == "FAILED" else "")
    return join(state, " ", el("code", running[:12]), tried, f": {error}" if error else "")


def _digests(digests: dict[str, Any]) -> Child:
    return ", ".join(f"{name} {parts.number(digests.get(name))}" for name in ("head", "pending", "rejected"))


def _buffer(buffer: dict[str, Any]) -> Child:
    if not isinstance(buffer.get("bytes"), int):
        return "–"
    most = f" of {parts.size(buffer['max_bytes'])}" if isinstance(buffer.get("max_bytes"), int) else ""
    return f"{parts.size(buffer['bytes'])}{most}, {parts.number(buffer.get('samples'))} samples"


def _link(link: dict[str, Any]) -> Child:
    if not isinstance(link.get("bytes_today"), int):
        return "–"
    most = f" of {parts.size(link['max_bytes_per_day'])}" if isinstance(link.get("max_bytes_per_day"), int) else ""
    operator = f"{link['operator']}, " if link.get("operator") else ""
    return f"{operator}sent today (UTC) {parts.size(link['bytes_today'])}{most}"
