"""The waterfall and the Pareto against numbers worked by hand."""

from __future__ import annotations

import pytest

from agent.diagnosis.losses import OpenFaults, Waterfall, lost, pareto, waterfall
from agent.digest.equipment.sums import MachineSums

HOUR = 3_600_000_000

# 16 h planned: 1 h unknown, 10 h executing, 1 h setup, 3 h delay (1 h of it repairs), 1 h off. 8000 pieces of 4 s.
PRESS = MachineSums(
    span_us=24 * HOUR,
    calendar=True,
    planned_us=16 * HOUR,
    unknown_us=HOUR,
    apt_us=10 * HOUR,
    aust_us=HOUR,
    adet_us=3 * HOUR,
    adot_us=HOUR,
    failures=2,
    repair_us=HOUR,
    produced=8000.0,
    good=7600.0,
    ideal_us=8000 * 4e6,
)


def made(**changes: object) -> Waterfall:
    found = waterfall(MachineSums(**{name: getattr(PRESS, name) for name in PRESS.__struct_fields__} | changes))
    assert isinstance(found, Waterfall)
    return found


def test_steps_add_up_to_planned_busy_time() -> None:
    found = made()
    assert found.lost_us == {"fault": HOUR, "standby": 2 * HOUR, "setup": HOUR, "idle_plan": HOUR}
    assert found.unknown_us == HOUR
    assert (found.speed_us, found.quality_us, found.effective_us) == pytest.approx((4e9, 1.6e9, 30.4e9), rel=1e-12)
    assert found.unknown_us + sum(found.lost_us.values()) + found.executing_us == found.planned_us
    assert found.speed_us and found.quality_us and found.effective_us
    assert found.speed_us + found.quality_us + found.effective_us == found.executing_us
    # OEE = 10/15 × 32000/36000 × 7600/8000
    assert found.effective_us / (found.planned_us - found.unknown_us) == pytest.approx(0.562963, abs=1e-6)
    assert found.wasted_us == pytest.approx(5 * HOUR + 5.6e9)


def test_faster_than_the_ideal_cycle_is_a_gain_and_not_clamped() -> None:
    found = made(ideal_us=8000 * 5e6)
    assert found.speed_us == -4e9
    assert found.effective_us == pytest.approx(38e9)
    assert found.effective_us and found.effective_us > found.executing_us


@pytest.mark.parametrize(
    ("changes", "known", "reason"),
    [
        ({"produced": None}, (None, None), "pieces are not counted"),
        ({"ideal_us": None}, (None, None), "no ideal_cycle: planned run time per item is not known"),
        ({"good": None}, (4e9, None), "good pieces are not counted"),
    ],
)
def test_it_ends_where_nothing_more_is_known_and_says_why(
    changes: dict[str, object], known: tuple[float | None, float | None], reason: str
) -> None:
    found = made(**changes)
    assert (found.speed_us, found.quality_us, found.effective_us) == (*known, None)
    assert found.reason == reason


def test_without_a_calendar_there_is_none() -> None:
    assert waterfall(MachineSums(span_us=HOUR, apt_us=HOUR)) == "no calendar: planned busy time is not known"


def test_nothing_produced_is_no_loss_of_quality() -> None:
    found = made(produced=0.0, good=0.0, ideal_us=0.0)
    assert (found.quality_us, found.effective_us, found.speed_us) == (0.0, 0.0, 10 * HOUR)


def test_a_failure_open_at_a_border_is_booked_where_it_was() -> None:
    # Half an hour of the repairs lay before the span; a quarter of an hour is still open at its end.
    found = lost(PRESS, OpenFaults(HOUR // 2, HOUR // 4))
    assert (found["fault"], found["standby"]) == (0.75 * HOUR, 2.25 * HOUR)
    assert sum(found.values()) == PRESS.adet_us + PRESS.aust_us + PRESS.adot_us
    assert lost(PRESS, OpenFaults(2 * HOUR, 0))["fault"] == 0
    assert lost(PRESS, OpenFaults(0, 9 * HOUR))["standby"] == 0


def test_bars_of_the_pareto_add_up_to_all_that_was_lost() -> None:
    lathe = MachineSums(calendar=True, planned_us=8 * HOUR, adet_us=HOUR, aust_us=4 * HOUR, failures=0)
    bars = pareto([("press", PRESS, lost(PRESS)), ("lathe", lathe, lost(lathe))])
    assert [(each.machine, each.cause, each.lost_us / HOUR, each.count) for each in bars] == [
        ("lathe", "setup", 4.0, None),
        ("press", "standby", 2.0, None),
        ("lathe", "standby", 1.0, None),
        ("press", "fault", 1.0, 2),
        ("press", "idle_plan", 1.0, None),
        ("press", "setup", 1.0, None),
    ]
    assert sum(each.lost_us for each in bars) == 10 * HOUR
    assert [each.running for each in bars] == pytest.approx([0.4, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert pareto([]) == ()
