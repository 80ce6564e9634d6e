"""How long the agent was down, from starts, stops and silence."""

from __future__ import annotations

from agent.buffer.records import Event
from agent.digest.downtime import downtime
from agent.digest.windows import Period

PERIOD = Period(1000, 2000)


def test_between_a_stop_and_the_next_start() -> None:
    assert downtime(PERIOD, [Event(1200, "stop"), Event(1500, "start")], []) == 300


def test_a_crash_counts_from_the_last_scan() -> None:
    assert downtime(PERIOD, [Event(1500, "start")], [(1300, 1510)]) == 200


def test_a_start_without_silence_before_it_costs_nothing() -> None:
    assert downtime(PERIOD, [Event(1500, "start")], []) == 0


def test_a_start_after_the_period_ends_a_crash_within_it() -> None:
    assert downtime(PERIOD, [Event(9000, "start")], [(1300, 2000)]) == 700


def test_a_period_slept_through_between_stop_and_start_is_all_downtime() -> None:
    assert downtime(PERIOD, [Event(9000, "start")], [(940, 2000)]) == 1000


def test_a_stop_lasts_to_the_end_when_no_start_is_known() -> None:
    assert downtime(PERIOD, [Event(1900, "stop")], []) == 100


def test_several_boots_are_not_counted_twice() -> None:
    events = [
        Event(1100, "stop"),
        Event(1200, "start"),
        Event(1300, "start"),
        Event(1400, "stop"),
        Event(9000, "start"),
    ]
    assert downtime(PERIOD, events, [(1250, 1310)]) == 100 + 50 + 600


def test_devices_silent_while_the_agent_runs_is_no_downtime() -> None:
    assert downtime(PERIOD, [Event(1100, "disconnect", "p")], [(1000, 2000)]) == 0
