"""The report as one HTML file: nothing is fetched, nothing runs, and it prints on A4. Pure but for the pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.resources import files

from agent import __version__
from agent.diagnosis.html import Child, Markup, el, pairs, void
from agent.diagnosis.model import Report
from agent.diagnosis.sections import coverage, energy, equipment, evidence, findings
from agent.diagnosis.words import Words

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report, words: Words, tell: Callable[[str], None] = lambda text: None) -> bytes:
    """The whole file; ``tell`` hears how far it has come."""
    parts: list[Child] = [_cover(report, words)]
    chapters: tuple[tuple[str, Callable[[Report, Words], Iterable[Child]]], ...] = (
        ("glance", findings.glance),
        ("findings", findings.chapter),
        ("timeline", equipment.timeline),
        ("oee", equipment.oee),
        ("stops", equipment.stops),
        ("energy", energy.chapter),
        ("coverage", coverage.chapter),
        ("kpis", equipment.kpis),
        ("indicators", evidence.indicators),
        ("proof", evidence.proof),
        ("method", evidence.method),
    )
    for number, (key, made) in enumerate(chapters, 1):
        title = words(f"chapter.{key}")
        tell(f"{title} …")
        heading = el("h2", f"{number}  {title}")
        parts.append(el("section", heading, *made(report, words), id=key))
    document = el(
        "html",
        el(
            "head",
            void("meta", charset="utf-8"),
            void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            void("meta", name="viewport", content="width=device-width, initial-scale=1"),
            void("meta", name="generator", content=f"gongfu-edge {__version__}"),
            el("title", f"{words('title')} · {_whom(report)}"),
            el("style", Markup((files("agent.diagnosis") / "page.css").read_text(encoding="utf-8"))),
        ),
        el("body", el("main", *parts), el("footer", words("footer", version=__version__))),
        lang="zh-CN" if words.language == "zh" else "en",
    )
    return f"<!doctype html>\n{document}\n".encode()


def _whom(report: Report) -> str:
    return report.enterprise.name or report.source.name


def _cover(report: Report, words: Words) -> Markup:
    enterprise = report.enterprise
    chains = "; ".join(
        words("cover.chain", name=each.name, role=each.role or "–", owner=each.owner or "–")
        for each in enterprise.chains
    )
    size = {True: words("yes"), False: words("no"), None: ""}[enterprise.above_designated_size]
    whom = [
        (words("cover.enterprise"), enterprise.name),
        (words("cover.credit_code"), enterprise.credit_code),
        (words("cover.above_size"), size),
        (words("cover.industry"), enterprise.industry),
        (words("cover.district"), enterprise.district),
        (words("cover.town"), enterprise.town),
        (words("cover.park"), enterprise.park),
        (words("cover.chains"), chains),
        (words("cover.operator"), " · ".join(filter(None, (enterprise.operator, enterprise.uplink.upper())))),
        (words("cover.service_provider"), enterprise.service_provider),
        (words("cover.diagnosis_id"), enterprise.diagnosis_id),
        (words("cover.gateway"), f"{report.source.name} ({report.source.gateway})" if report.source.gateway
         else report.source.name),
        (words("cover.made"), words.moment(report.made, report.zone)),
    ]  # fmt: skip
    span = words(
        "cover.span",
        start=words.moment(report.span.start, report.zone),
        end=words.moment(report.span.end, report.zone),
        zone=report.zone.key,
    )
    return el(
        "header",
        el("p", words("title"), class_="kind"),
        el("h1", _whom(report)),
        el("p", span, class_="span"),
        pairs(whom, kind="cover"),
        el("p", words("cover.evidence"), class_="note"),
    )
