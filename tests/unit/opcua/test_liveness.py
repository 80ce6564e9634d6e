"""Life is what a subscription tells: the server's clock moves in it, and quiet items agree with a read."""

from __future__ import annotations

import numpy as np

from drivers.opcua.columns import Columns
from drivers.opcua.liveness import AUDIT_S, AUDITED, Audit, Heartbeat


def values(*pairs: tuple[int, float]) -> Columns:
    columns = Columns.blank(len(pairs))
    columns.handle = np.array([handle for handle, _ in pairs], np.uint32)
    columns.value = np.array([value for _, value in pairs])
    return columns


def audit(items: int = 3, deadband: float = 0.0) -> Audit:
    made = Audit(items, np.full(items, deadband), np.full(items, 4.0))
    made.begin(0.0)
    return made


def test_L2_a_clock_that_moved_and_stands_still_is_a_dead_subscription() -> None:
    beat = Heartbeat(7)
    for now in (1.0, 2.0, 3.0):
        beat.see(values((7, now), (0, 5.0)), now)
    assert not beat.stopped(5.0, 4.0)
    beat.see(values((0, 6.0)), 6.9)  # other values are no heartbeat
    assert beat.stopped(7.5, 4.0)


def test_a_clock_that_never_moved_says_nothing() -> None:
    beat = Heartbeat(7)
    beat.see(values((7, 1.0)), 1.0)
    assert not beat.stopped(100.0, 4.0)


def test_items_that_told_nothing_are_looked_at_first_then_the_longest_quiet() -> None:
    made = audit(AUDITED + 10)
    every = np.ones(AUDITED + 10, np.bool_)
    made.hear(values(*((handle, 1.0) for handle in range(AUDITED + 9))), 1.0)
    made.hear(values((3, 1.0)), 40.0)
    made.awaited[AUDITED + 9] = True
    chosen = made.choose(every, 41.0)
    assert len(chosen) == AUDITED and AUDITED + 9 in chosen and 3 not in chosen
    others = set(range(AUDITED + 9)) - set(chosen) - {3}
    assert others <= set(made.choose(every, 42.0))  # those that were not looked at are next


def test_what_is_not_monitored_is_not_looked_at() -> None:
    assert audit().choose(np.array([False, True, False]), 100.0) == [1]


def test_an_audit_is_due_now_and_then() -> None:
    made = audit()
    assert not made.due(AUDIT_S - 1)
    assert made.due(AUDIT_S)
    made.choose(np.ones(3, np.bool_), AUDIT_S)
    assert not made.due(AUDIT_S + 1)


def test_a_difference_that_stays_is_a_dead_item_and_one_that_was_under_way_is_not() -> None:
    made = audit()
    made.hear(values((0, 1.0), (1, 1.0), (2, 1.0)), 1.0)
    assert made.compare(values((0, 9.0), (1, 9.0), (2, 1.0)), 20.0) == []
    made.hear(values((1, 9.0)), 21.0)
    assert made.compare(values((0, 9.0), (1, 9.0)), 23.0) == []  # not time enough yet
    assert made.compare(values((0, 9.0), (1, 9.0)), 30.0) == [0]


def test_a_difference_within_the_deadband_or_one_that_passes_is_no_death() -> None:
    made = audit(deadband=0.5)
    made.hear(values((0, 1.0), (1, 1.0)), 1.0)
    made.compare(values((0, 1.4), (1, 9.0)), 20.0)
    made.compare(values((1, 1.0)), 25.0)
    assert made.compare(values((0, 1.4), (1, 9.0)), 30.0) == []
