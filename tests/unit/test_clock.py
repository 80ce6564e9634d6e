"""Who may teach the clock, within which bounds: L11, A2, A3, and what a Pi without a battery meets."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from agent.clock import BUILD_US, CONFIRM_US, LATEST_US, Clock
from agent.core.high_water import HighWater, read_mark

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOON = BUILD_US + 100 * DAY


class World:
    """A system clock and a boot-time clock under the test's control."""

    def __init__(self, system: int = NOON, synchronised: bool = False) -> None:
        self.system, self.mono, self.synchronised = system, 5_000_000, synchronised

    def pass_(self, us: int) -> None:
        self.system += us
        self.mono += us

    def clock(self, high_water_us: int = 0) -> Clock:
        return Clock(
            system_us=lambda: self.system,
            monotonic_us=lambda: self.mono,
            synchronised=lambda: self.synchronised,
            high_water_us=high_water_us,
        )


def date(year: int) -> int:
    return int(datetime(year, 6, 1, tzinfo=UTC).timestamp()) * SECOND


def test_L11_pi_without_rtc_is_corrected_by_the_platform_and_its_samples_restamped() -> None:
    world = World(system=NOON - 3600 * SECOND)
    clock = world.clock()
    assert not clock.trusted
    world.pass_(10 * SECOND)
    stamped = clock.now()
    assert not clock.platform_date(NOON)
    assert clock.trusted and clock.source == "platform" and clock.now() == NOON
    (correction,) = clock.corrections()
    assert correction.restamp and stamped + correction.shift_us == NOON
    assert clock.epoch == correction.epoch + 1 and clock.corrections() == []


def test_L11_a_step_under_ntp_is_taken_over_and_monotonic_time_is_untouched() -> None:
    world = World(synchronised=True)
    clock = world.clock()
    before = clock.monotonic()
    world.pass_(SECOND)
    world.system -= 3600 * SECOND
    assert clock.now() == NOON + SECOND  # not yet looked at: stamps go on evenly
    clock.check()
    assert clock.now() == world.system and clock.monotonic() == before + 1
    (correction,) = clock.corrections()
    assert not correction.restamp  # the old epoch was trusted: it stays as it is


def test_a_platform_that_agrees_makes_the_clock_trusted_without_a_step() -> None:
    world = World()
    clock = world.clock()
    clock.platform_date(world.system - 2 * SECOND)
    assert clock.source == "platform" and clock.corrections() == [] and clock.now() == world.system


def test_the_platform_never_overrules_ntp() -> None:
    world = World(synchronised=True)
    clock = world.clock()
    assert not clock.platform_date(NOON + 3600 * SECOND)
    assert clock.now() == world.system


@pytest.mark.parametrize(
    "said", [0, -DAY, date(1970), BUILD_US - 1, LATEST_US + 1, date(2099), 253_402_300_799 * SECOND, 2**62]
)
def test_a2_a_date_that_cannot_be_teaches_nothing(said: int) -> None:
    world = World()
    clock = world.clock()
    for _ in range(5):
        world.pass_(2 * CONFIRM_US)
        assert not clock.platform_date(said)
    assert (clock.now(), clock.source, clock.corrections()) == (world.system, "none", [])


def test_a2_nothing_before_the_high_water_mark_is_taught_by_a_platform() -> None:
    clock = World(system=date(2027)).clock(high_water_us=NOON)
    assert not clock.platform_date(NOON - 2 * DAY)
    assert not clock.trusted


def test_a2_a_far_jump_ahead_needs_a_second_answer_a_minute_later() -> None:
    world = World()
    clock = world.clock()
    assert clock.platform_date(date(2045))
    world.pass_(CONFIRM_US - 1)
    assert clock.platform_date(date(2045) + CONFIRM_US - 1)
    assert (clock.now(), clock.trusted) == (world.system, False)
    world.pass_(1)
    assert not clock.platform_date(date(2045) + CONFIRM_US)
    assert clock.trusted and clock.now() == date(2045) + CONFIRM_US


def test_a2_a_platform_that_jumps_back_and_forth_is_never_believed_far() -> None:
    world = World()
    clock = world.clock()
    for turn in range(20):
        world.pass_(CONFIRM_US)
        assert clock.platform_date(date(2040 if turn % 2 else 2045))
    assert (clock.now(), clock.trusted, clock.corrections()) == (world.system, False, [])


def test_a3_a_trusted_clock_is_moved_by_no_word_however_often_it_is_said() -> None:
    world = World()
    clock = world.clock()
    clock.platform_date(world.system)
    for _ in range(10):
        for said in (-3600 * SECOND, 600 * SECOND, 5000 * DAY):
            world.pass_(2 * CONFIRM_US)
            assert not clock.platform_date(world.system + said)
    assert (clock.now(), clock.corrections()) == (world.system, [])


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_trusted_clock_that_drifts_is_kept_by_the_platform_without_a_step(sign: int) -> None:
    world = World()
    clock = world.clock()
    clock.platform_date(world.system)
    world.pass_(7 * DAY)
    drift = sign * 30 * SECOND
    clock.platform_date(world.system + drift)
    assert clock.now() == world.system
    world.pass_(3600 * SECOND)
    assert clock.now() == world.system + drift and clock.corrections() == []
    clock.platform_date(clock.now() + 600 * SECOND)
    world.pass_(3600 * SECOND)
    assert clock.now() == world.system + drift


def test_ntp_arriving_corrects_an_untrusted_epoch_and_says_that_it_is_to_be_restamped() -> None:
    world = World(system=NOON + 31 * DAY)
    clock = world.clock()
    world.pass_(300 * SECOND)
    world.system -= 31 * DAY
    world.synchronised = True
    clock.check()
    (correction,) = clock.corrections()
    assert (correction.shift_us, correction.restamp, clock.source) == (-31 * DAY, True, "ntp")
    assert clock.now() == world.system


@pytest.mark.parametrize("year", [1970, 2020, 2101, 9000])
def test_a_time_server_that_cannot_be_right_vouches_for_nothing(year: int) -> None:
    world = World(system=date(year), synchronised=True)
    clock = world.clock()
    clock.check()
    assert not clock.trusted


def test_a_wrong_time_server_that_is_corrected_later_leaves_no_mark() -> None:
    world = World(system=date(2050), synchronised=True)
    clock = world.clock(high_water_us=date(2050))
    world.pass_(SECOND)
    world.system = NOON
    clock.check()
    assert clock.now() == NOON and clock.trusted


def test_a_system_clock_set_by_hand_counts_while_nobody_knows_better() -> None:
    world = World()
    clock = world.clock()
    world.pass_(SECOND)
    world.system += 2 * DAY
    clock.check()
    assert (clock.now(), clock.trusted) == (world.system, False)
    assert [each.restamp for each in clock.corrections()] == [False]
    world.system = date(1980)
    clock.check()
    assert clock.now() == NOON + SECOND + 2 * DAY, "not before the program was made"


def test_a_machine_that_slept_goes_on_at_the_right_time() -> None:
    world = World()
    clock = world.clock()
    clock.platform_date(world.system)
    world.pass_(3 * DAY)  # the boot-time clock goes on in a suspended machine
    clock.check()
    assert (clock.now(), clock.corrections()) == (world.system, [])


def test_d7_stamps_never_go_back_while_ntp_slews() -> None:
    world, dice = World(synchronised=True), random.Random(7)
    clock = world.clock()
    last = clock.now()
    for _ in range(500):
        elapsed = dice.randrange(1, 2 * SECOND)
        world.pass_(elapsed)
        world.system += dice.randrange(-SECOND, SECOND) // 2
        if dice.random() < 0.5:
            clock.check()
        assert clock.now() > last or clock.corrections(), "unless it was a step, which begins an epoch"
        last = clock.now()


@pytest.mark.parametrize(
    "moment", ["2028-02-29T12:00:00+00:00", "2027-03-28T00:59:59+00:00", "2027-10-31T01:30:00+00:00"]
)
def test_leap_days_and_changes_of_summer_time_are_nothing_to_utc(moment: str) -> None:
    said = int(datetime.fromisoformat(moment).timestamp()) * SECOND
    world = World(system=said - 3600 * SECOND)
    clock = world.clock()
    clock.platform_date(said)
    world.pass_(DAY)
    assert clock.now() == said + DAY


@pytest.mark.parametrize("shift", [-900_000, 900_000])
def test_d7_stamps_grow_while_ntp_slews_until_the_difference_is_made_up_for(shift: int) -> None:
    world = World(synchronised=True)
    clock = world.clock()
    world.system += shift
    last = clock.now()
    for step in range(100_000):
        world.pass_(1000)
        if step % 1000 == 0:
            clock.check()
        assert clock.now() > last
        last = clock.now()
    assert clock.now() == world.system and clock.corrections() == []


def passes(world: World, clock: Clock, mark: HighWater, hours: int) -> list[int]:
    kept = []
    for _ in range(hours * 12):
        world.pass_(300 * SECOND)
        clock.check()
        moved = mark.moved()
        kept += [] if moved is None else [moved]
    return kept


def test_a2_a_time_server_that_is_wrong_for_minutes_leaves_no_mark_and_for_long_ntp_lowers_it() -> None:
    world = World(system=NOON + 3000 * DAY, synchronised=True)
    clock = world.clock(high_water_us=NOON)
    mark = HighWater(clock)
    assert passes(world, clock, mark, 1)[:-1] == [] and clock.epoch == 0
    world = World(system=NOON + 3000 * DAY, synchronised=True)
    clock = world.clock(high_water_us=NOON)
    mark = HighWater(clock)
    assert passes(world, clock, mark, 3)[-1] > NOON + 2999 * DAY
    world.system -= 3000 * DAY
    assert passes(world, clock, mark, 3)[-1] == clock.not_before_us < NOON + DAY


def test_a2_nobody_but_a_trusted_clock_moves_the_mark_and_a_platform_does_not_lower_it() -> None:
    world = World(system=NOON + 31 * DAY)
    clock = world.clock(high_water_us=NOON)
    assert passes(world, clock, HighWater(clock), 50) == []
    world = World(synchronised=True)
    clock = world.clock(high_water_us=NOON)
    kept = passes(world, clock, HighWater(clock), 2)
    assert len(kept) == 12 and kept == sorted(kept)
    world = World()
    clock = world.clock(high_water_us=NOON)
    clock.platform_date(NOON)
    clock.not_before_us = NOON + DAY
    assert passes(world, clock, HighWater(clock), 2) == []


@pytest.mark.parametrize("text", [None, "", "x", "-1", "0", "9" * 5000, "²", str(BUILD_US - 1), str(LATEST_US + 1)])
def test_a2_a_mark_that_is_damaged_or_absurd_is_none(text: str | None) -> None:
    assert read_mark(text) == 0
