"""L11: steps of the system clock break neither cadence nor stamps."""

from agent.clock import Clock

DAY = 86_400_000_000


class World:
    """A system clock and a monotonic clock under the test's control."""

    def __init__(self, system: int = 0, synchronised: bool = False) -> None:
        self.system, self.mono, self.synchronised = system, 5_000_000, synchronised

    def pass_(self, us: int) -> None:
        self.system += us
        self.mono += us

    def clock(self) -> Clock:
        return Clock(
            system_us=lambda: self.system,
            monotonic_us=lambda: self.mono,
            synchronised=lambda: self.synchronised,
        )


def test_L11_pi_without_rtc_is_corrected_by_the_platform_and_its_samples_restamped() -> None:
    world = World(system=1000 * DAY)
    clock = world.clock()
    assert not clock.trusted
    world.pass_(10_000_000)
    stamped = clock.now()
    clock.platform_date(20_000 * DAY)
    assert clock.trusted and clock.source == "platform" and clock.now() == 20_000 * DAY
    (correction,) = clock.corrections()
    assert correction.restamp and stamped + correction.shift_us == 20_000 * DAY
    assert clock.epoch == correction.epoch + 1 and clock.corrections() == []


def test_L11_a_step_under_ntp_is_taken_over_and_monotonic_time_is_untouched() -> None:
    world = World(system=20_000 * DAY, synchronised=True)
    clock = world.clock()
    before = clock.monotonic()
    world.pass_(1_000_000)
    world.system -= 3_600_000_000
    assert clock.now() == 20_000 * DAY + 1_000_000  # not yet looked at: stamps go on evenly
    clock.check()
    assert clock.now() == world.system and clock.monotonic() == before + 1
    (correction,) = clock.corrections()
    assert not correction.restamp  # the old epoch was trusted: it stays as it is


def test_a_platform_that_agrees_makes_the_clock_trusted_without_a_step() -> None:
    world = World(system=20_000 * DAY)
    clock = world.clock()
    clock.platform_date(world.system - 2_000_000)
    assert clock.source == "platform" and clock.corrections() == [] and clock.now() == world.system


def test_the_platform_never_overrules_ntp() -> None:
    world = World(system=20_000 * DAY, synchronised=True)
    clock = world.clock()
    clock.platform_date(30_000 * DAY)
    assert clock.now() == world.system
