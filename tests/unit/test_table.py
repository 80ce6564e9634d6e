"""Tables line up whatever the writing, and nothing in a cell can break the terminal."""

from __future__ import annotations

from agent.table import table, width


def test_chinese_takes_two_columns_and_combining_signs_none() -> None:
    assert [width(text) for text in ("oil", "油温", "", "e\u0301", "°C")] == [3, 4, 0, 1, 2]


def test_columns_line_up() -> None:
    shown = table(("tag", "value"), [("油温", "61.5"), ("p", "7")], right=(1,))
    assert shown.splitlines() == ["tag   value", "油温   61.5", "p         7"]
    assert table((), [("a", "b"), ("ccc", "d")]) == "a    b\nccc  d" and table((), []) == ""


def test_a_cell_cannot_break_the_line_or_the_terminal() -> None:
    assert table(("x",), [("a\nb\x1b[2J",)]).splitlines()[1:] == [r"a\nb\x1b[2J"]
