"""Rolling out in waves: who comes when, what halts it, and that it may be cut at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.control.fleet import Busy, Member
from agent.control.rollout import Progress, Result, Rollout, in_order, judge, load, read_share, read_waves, sizes
from agent.errors import GongfuError

HASH, REVISION = "ab" * 32, 7


def member(name: str = "gw-1", **changes: Any) -> Member:
    """A gateway that runs revision 6 and has heard of nothing newer."""
    given: dict[str, Any] = {
        "id": name, "hostname": "", "version": "0.1.0", "affiliation": {}, "last_seen": "2026-11-23T08:00:00Z",
        "desired_revision": 7, "desired_hash": HASH, "running_revision": 6, "running_hash": "", "attempted_revision": 6,
        "attempted_hash": "", "state": "APPLIED", "last_error": "", "drift": True, "locked_until": None,
        "encryption_key": None, **changes,
    }  # fmt: skip
    return Member(**given)


APPLIED = {"running_revision": 7, "attempted_revision": 7}
FAILED = {"attempted_revision": 7, "state": "FAILED", "last_error": "probation_failed: press-1"}


class FakePlatform:
    """Gateways that do as they are told as soon as they are offered the revision."""

    def __init__(self, count: int, fate: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.names = [f"gw-{number:03d}" for number in range(count)]
        self.fate = fate or {}
        self.offered: list[set[str]] = []
        self.all = False
        self.failing = 0
        self.die_after = -1
        """Steps until the rollout is cut off; -1: never."""

    def _step(self) -> None:
        if self.die_after == 0:
            raise KeyboardInterrupt
        self.die_after -= 1
        if self.failing:
            self.failing -= 1
            raise Busy("no connection")

    def offer(self, hash_: str, gateways: Sequence[str] | None) -> None:
        assert hash_ == HASH
        self._step()
        if gateways is None:
            self.all = True
        else:
            self.offered.append(set(gateways))

    def members(self, selector: Mapping[str, str], gateway_id: str = "") -> list[Member]:
        self._step()
        had = set().union(*self.offered) if self.offered else set()
        return [member(name, **(self.fate.get(name, APPLIED) if name in had else {})) for name in self.names]


class Bench:
    """A rollout over a fake platform, and a clock that only moves when it sleeps."""

    def __init__(
        self, folder: Path, platform: FakePlatform, waves: str = "1,10%,100%", halt_above: float = 0.0
    ) -> None:
        self.path = folder / "rollout"
        self.platform = platform
        self.waves = waves
        self.halt_above = halt_above
        self.time = 0.0
        self.told: list[str] = []

    def run(self, prepare: Callable[[Progress], None] = lambda progress: None) -> Progress:
        """Run, or go on with what the file says."""
        names = self.platform.names
        progress = load(self.path, HASH) or Progress(
            hash=HASH, order=names, sizes=sizes(read_waves(self.waves), len(names))
        )
        prepare(progress)
        rollout = Rollout(
            self.platform, progress, self.path, revision=REVISION, selector={}, gateway_id="",
            halt_above=self.halt_above, patience_s=60.0, every_s=5.0, now=lambda: self.time, sleep=self._sleep,
            tell=lambda _progress, trouble: self.told.append(trouble),
        )  # fmt: skip
        assert rollout.run(for_all_at_last=True) is (not progress.halted)
        assert load(self.path, HASH) == progress
        return progress

    def _sleep(self, seconds: float) -> None:
        self.time += seconds


def test_each_wave_is_offered_when_the_one_before_has_applied(tmp_path: Path) -> None:
    platform = FakePlatform(100)
    progress = Bench(tmp_path, platform).run()
    assert [len(each) for each in platform.offered] == [1, 9, 90] and platform.all
    assert progress.done and progress.count("applied") == 100


def test_a_failed_canary_halts_everything(tmp_path: Path) -> None:
    platform = FakePlatform(100, {"gw-000": FAILED})
    progress = Bench(tmp_path, platform, halt_above=0.02).run()
    assert [len(each) for each in platform.offered] == [1] and not platform.all
    assert not progress.done and progress.failures() == {"gw-000": "probation_failed: press-1"}


def test_so_many_failures_are_borne_as_was_said(tmp_path: Path) -> None:
    fate = dict.fromkeys(("gw-020", "gw-040"), FAILED)
    assert Bench(tmp_path, FakePlatform(100, fate), halt_above=0.02).run().done
    (tmp_path / "rollout").unlink()
    halted = Bench(tmp_path, FakePlatform(100, {**fate, "gw-060": FAILED}), halt_above=0.02).run()
    assert halted.halted == "3 of 100 failed, which is more than 2 %"


def test_who_says_nothing_in_time_counts_as_a_failure(tmp_path: Path) -> None:
    progress = Bench(tmp_path, FakePlatform(10, {"gw-000": {}})).run()
    assert progress.results["gw-000"].outcome == "silent" and "last seen" in progress.results["gw-000"].reason
    assert progress.halted


def test_a_gateway_that_is_locked_is_waited_for_and_holds_nobody_up(tmp_path: Path) -> None:
    locked = {"attempted_hash": HASH, "state": "FAILED", "last_error": "locked: the local engineer is at work"}
    bench = Bench(tmp_path, FakePlatform(10, {"gw-000": locked}))
    progress = bench.run()
    assert progress.done and progress.count("held") == 1 and bench.time >= 60


def test_a_platform_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    platform = FakePlatform(10)
    platform.failing = 7
    bench = Bench(tmp_path, platform)
    assert bench.run().done and "no connection" in bench.told


@settings(max_examples=150)
@given(st.lists(st.integers(0, 12), max_size=6), st.sets(st.integers(1, 29), max_size=2))
def test_cut_off_anywhere_it_goes_on_and_ends_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], bad: set[int]
) -> None:
    fate = {f"gw-{number:03d}": FAILED for number in bad}
    platform = FakePlatform(30, fate)
    bench = Bench(tmp_path_factory.mktemp("rollout"), platform, "3,50%,100%", halt_above=0.7)
    for cut in cuts:
        platform.die_after = cut
        try:
            bench.run()
        except KeyboardInterrupt:
            continue
    platform.die_after = -1
    progress = bench.run()
    assert progress.done and platform.all
    assert set(progress.failures()) == set(fate) and progress.count("applied") == 30 - len(fate)
    for earlier, later in zip(platform.offered, platform.offered[1:], strict=False):
        assert min(earlier) <= min(later)  # in order, if some of them twice


def test_after_a_halt_the_administrator_may_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakePlatform(20, {"gw-000": FAILED, "gw-019": FAILED}))
    assert bench.run().halted

    def accept(progress: Progress) -> None:
        progress.accepted, progress.halted = sorted(progress.failures()), ""

    again = bench.run(accept)
    assert again.halted and again.accepted == ["gw-000"] and set(again.failures()) == {"gw-019"}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "waiting"),
        (APPLIED, "applied"),
        ({"running_revision": 9}, "applied"),
        (FAILED, "failed"),
        ({**FAILED, "state": "APPLYING"}, "waiting"),
        ({**FAILED, "attempted_revision": 6}, "waiting"),
        ({**FAILED, "attempted_revision": 6, "attempted_hash": HASH}, "failed"),
        ({**FAILED, "last_error": "clock_untrusted: later"}, "held"),
        ({**APPLIED, "state": "FAILED", "last_error": "not_trusted: of a later one"}, "applied"),
    ],
)
def test_a_gateways_own_word_decides(changes: dict[str, Any], outcome: str) -> None:
    assert judge(member(**changes), REVISION, HASH).outcome == outcome


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [
        ("1,10%,100%", 100, [1, 10, 100]),
        ("1,10%,100%", 5, [1, 5]),
        ("1,10%,100%", 1, [1]),
        ("100%", 7, [7]),
        ("10%", 110, [11]),
        ("0.5%,50%", 3, [1, 2]),
        ("5,3,100%", 10, [5, 10]),
        ("500", 10, [10]),
    ],
)
def test_waves_are_numbers_or_shares_that_grow(text: str, total: int, expected: list[int]) -> None:
    assert sizes(read_waves(text), total) == expected


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-1", "1,", "ten", "1;2", "٣"])
def test_what_is_no_wave_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_waves(text)
    with pytest.raises(ValueError):
        read_share(text.removesuffix("0%") if text == "0%" else text)


def test_a_share_is_a_share() -> None:
    assert (read_share("2%"), read_share("0 %"), read_share("0.5%")) == (0.02, 0.0, 0.005)


def test_who_was_not_seen_lately_comes_last_and_each_rollout_begins_elsewhere() -> None:
    members = [member(f"gw-{number}") for number in range(8)]
    members.append(member("gw-asleep", last_seen="2026-11-01T00:00:00Z"))
    order = in_order(members, HASH, "2026-11-23T07:55:00Z")
    assert order[-1] == "gw-asleep" and sorted(order) == sorted(each.id for each in members)
    assert order == in_order(reversed(members), HASH, "2026-11-23T07:55:00Z")
    assert order != in_order(members, "cd" * 32, "2026-11-23T07:55:00Z")


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "rollout"
    path.write_bytes(msgspec.json.encode(Progress(hash="cd" * 32, order=[], sizes=[])))
    with pytest.raises(GongfuError, match="another bundle"):
        load(path, HASH)
    path.write_text("{")
    with pytest.raises(GongfuError, match="cannot be used"):
        load(path, HASH)


def test_where_it_stands_is_told_by_wave() -> None:
    progress = Progress(hash=HASH, order=["a", "b", "c"], sizes=[1, 3])
    assert (progress.wave, progress.waiting()) == (1, [])
    progress.released = 3
    progress.results["a"] = Result("applied")
    assert (progress.wave, progress.waiting()) == (2, ["b", "c"])
