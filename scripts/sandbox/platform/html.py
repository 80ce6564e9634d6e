"""HTML that cannot be broken by what it shows: every text is escaped unless it was built here."""

from __future__ import annotations

from html import escape

PAGES = (("Gateways", "网关", "/"), ("Configuration", "配置", "/fleet"), ("Audit", "审计", "/audit"))
VOID = frozenset({"meta", "link", "br", "img"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None


def el(name: str, /, *children: Child, **attributes: str | None) -> Markup:
    """An element. ``class_`` and ``data_label`` become ``class`` and ``data-label``; None leaves an attribute out."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{pairs}>")
    return Markup(f"<{name}{pairs}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """The children one after another; None is nothing."""
    return Markup("".join(_text(child) for child in children if child is not None))


def _text(child: Child) -> str:
    # A lone surrogate is legal in JSON and impossible in UTF-8.
    return child if isinstance(child, Markup) else escape(str(child).encode("utf-8", "replace").decode("utf-8"))


def both(english: str, chinese: str) -> Markup:
    """A label in both languages."""
    return el("span", english, " ", el("span", chinese, lang="zh-Hans", class_="zh"), class_="label")


def table(columns: list[str], rows: list[list[Child]], empty: str) -> Markup:
    """A table that becomes a list of cards on a narrow screen.

    ``columns``: ``English|Chinese`` or ``English|Chinese|class``, the class for every cell.
    """
    if not rows:
        return el("p", empty, class_="empty")
    labels = [[*column.split("|"), ""][:3] for column in columns]
    head = el("tr", *(el("th", both(en, zh), class_=kind or None, scope="col") for en, zh, kind in labels))
    body = [
        el(
            "tr",
            *(
                el("td", cell, class_=kind or None, data_label=f"{en} {zh}")
                for (en, zh, kind), cell in zip(labels, row, strict=True)
            ),
        )
        for row in rows
    ]
    return el("div", el("table", el("thead", head), el("tbody", *body)), class_="scroll")


def page(title: str, *content: Child, refresh_s: int = 0) -> str:
    """A whole document. ``refresh_s``: how often it is brought up to date while somebody looks; 0: never."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · Gongfu Edge reference platform"),
        el("link", rel="icon", href="/favicon.ico"),
        el("link", rel="stylesheet", href="/style.css"),
        el("script", src="/live.js", defer="") if refresh_s else None,
    )
    banner = el(
        "header",
        el("a", "Gongfu Edge", href="/", class_="brand"),
        el("span", both("Reference platform", "参考平台"), class_="muted"),
        el("nav", *(el("a", both(en, zh), href=href) for en, zh, href in PAGES)),
    )
    foot = el(
        "footer",
        "An open contract, no official system. ",
        el("span", "开放契约，非官方系统。", lang="zh-Hans"),
        " ",
        el("a", "openapi.json", href="/openapi.json"),
        " · ",
        el("a", "digest.schema.json", href="/digest.schema.json"),
    )
    return "<!doctype html>" + el(
        "html",
        head,
        el("body", banner, el("main", *content, data_live=str(refresh_s) if refresh_s else None), foot),
        lang="en",
    )
