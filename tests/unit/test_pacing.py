"""Pacing never drifts and never queues up."""

from agent.sampling.pacing import Pace


def test_slots_do_not_drift_with_the_scan_time() -> None:
    pace = Pace(1.0, 100.0)
    dues = []
    for _ in range(5):
        dues.append(pace.due)
        assert pace.advance(pace.due + 0.3) == 0
    assert dues == [100.0, 101.0, 102.0, 103.0, 104.0]


def test_L23_an_overrun_skips_slots_and_counts_them() -> None:
    pace = Pace(1.0, 0.0)
    assert pace.advance(2.5) == 2
    assert pace.due == 3.0


def test_a_scan_that_ends_at_its_successors_time_is_not_late() -> None:
    pace = Pace(0.1, 0.0)
    assert pace.advance(0.1) == 0
    assert pace.due == 0.1
