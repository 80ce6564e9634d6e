"""A2: what several epochs of an untrusted clock have stamped is corrected as soon as the time is known."""

from __future__ import annotations

import pytest

from agent.core.unvouched import MOST, Unvouched


def test_a2_every_epoch_of_this_start_of_the_machine_is_known_by_how_much_it_was_wrong() -> None:
    before = Unvouched("boot")
    assert before.note(1, 1_000) and not before.note(1, 1_000)
    assert before.note(2, 5_000)  # set by hand
    after = Unvouched("boot")  # the agent was started anew
    after.read(before.text())
    assert after.note(3, 5_000)
    assert after.shifts(9_000) == [(1, 8_000), (2, 4_000), (3, 4_000)] and after.unknown == 0
    assert after.settle() and not after.settle() and after.shifts(9_000) == []


def test_a2_of_another_start_of_the_machine_nothing_is_made_up() -> None:
    before = Unvouched("boot")
    before.note(1, 1_000)
    after = Unvouched("next")
    after.read(before.text())
    after.note(2, 7_000)
    assert after.shifts(9_000) == [(2, 2_000)] and after.unknown == 1


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '[[1, "b"]]', "[" * 100_000, '[["1", 2, 3]]', "[[1e400]]"])
def test_a2_what_is_damaged_is_none(text: str | None) -> None:
    unvouched = Unvouched("boot")
    unvouched.read(text)
    assert unvouched.shifts(5) == [] and not unvouched.settle()


def test_a2_they_are_bounded() -> None:
    unvouched = Unvouched("boot")
    for epoch in range(3 * MOST):
        unvouched.note(epoch, epoch)
    assert len(unvouched.shifts(0)) == MOST
