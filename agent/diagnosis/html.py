"""HTML that cannot be broken by what it shows: every text is escaped unless it was built here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | None


def el(name: str, /, *children: Child, **attributes: str | None) -> Markup:
    """An element; ``class_`` becomes ``class``, and None leaves out an attribute or a child."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(Markup(escape(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{pairs}>{join(*children)}</{name}>")


def void(name: str, /, **attributes: str) -> Markup:
    """An element that holds nothing, such as ``meta``."""
    return Markup(el(name, **attributes).removesuffix(f"</{name}>"))


def join(*children: Child) -> Markup:
    """The children one after another."""
    return Markup("".join(_text(child) for child in children if child is not None))


def _text(child: str) -> str:
    if isinstance(child, Markup):
        return child
    # Control characters and lone surrogates have no place in a page, whatever somebody called a machine.
    kept = "".join(sign if sign.isprintable() or sign in "\n " else "\ufffd" for sign in child)
    return escape(kept)


def table(columns: Sequence[str], rows: Iterable[Sequence[Child]], *, caption: str = "", kind: str = "") -> Markup:
    """A table. A column's name that begins with ``#`` holds numbers, and its cells end together."""
    numbers = [name.startswith("#") for name in columns]
    head = [
        el("th", name.removeprefix("#"), scope="col", class_="n" if number else None)
        for name, number in zip(columns, numbers, strict=True)
    ]
    body = [
        el("tr", *(el("td", cell, class_="n" if number else None) for cell, number in zip(row, numbers, strict=True)))
        for row in rows
    ]
    return el(
        "table",
        el("caption", caption) if caption else None,
        el("thead", el("tr", *head)),
        el("tbody", *body),
        class_=kind or None,
    )


def pairs(entries: Iterable[tuple[str, Child]], *, kind: str = "") -> Markup:
    """Names and values; what has no value is left out."""
    return el(
        "dl", *(el("div", el("dt", name), el("dd", value)) for name, value in entries if value), class_=kind or None
    )


def bullets(lines: Iterable[Child]) -> Markup:
    """A list."""
    return el("ul", *(el("li", line) for line in lines))
