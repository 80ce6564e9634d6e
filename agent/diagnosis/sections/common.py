"""What the chapters share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.diagnosis.html import Markup, el
from agent.diagnosis.pictures.canvas import Picture
from agent.diagnosis.words import Words

Chapter = Iterator[Markup]


def figures(pictures: Iterable[Picture]) -> Iterator[Markup]:
    """Drawings that no page break cuts."""
    for picture in pictures:
        yield el("figure", Markup(picture.svg))


def note(text: str) -> Markup:
    """A sentence below a heading."""
    return el("p", text, class_="note")


def said(sentence: str, words: Words) -> Markup:
    """What a digest says; marked as English where the page is not and the table does not know it."""
    text = words.said(sentence)
    foreign = words.language == "zh" and text == sentence and not text.isdigit()
    return el("span", text, lang="en" if foreign else None)
