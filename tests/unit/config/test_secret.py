"""A secret is hidden however it is printed, and only its own property tells it."""

from __future__ import annotations

import pytest

from agent.config.model import Secret

SECRET = Secret("hunter2")


@pytest.mark.parametrize(
    "printed",
    [
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r}",
        f"{SECRET!s:>9}",
        f"{SECRET:>9}",
        "%s" % SECRET,  # noqa: UP031 - as a log would
        "%r" % [SECRET],
    ],
)
def test_d7_a_secret_is_hidden_however_it_is_printed(printed: str) -> None:
    assert "hunter2" not in printed and "…" in printed


def test_d7_a_secret_tells_itself_where_it_is_needed() -> None:
    assert SECRET.plain == "hunter2" and type(SECRET.plain) is str
    assert (str(Secret("")), Secret("") == "", bool(SECRET)) == ("", True, True)
