"""A revision is applied live and proven by data, or the gateway is as it was and says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_in

from agent.config.parse import load
from agent.control import service
from agent.control.journal import Journal, Standing
from agent.control.reasons import Refusal
from agent.control.service import compose
from agent.errors import GongfuError
from tests.support.control_agent import CLOCK, HOLE, Plant, a_plant, running, stands, until, value
from tests.support.control_bundles import Signer


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    async with a_plant(tmp_path) as plant:
        yield plant


async def test_a_good_revision_is_applied_live_and_only_what_differs_is_touched(plant: Plant) -> None:
    async with running(plant) as agent:
        before, steady = agent.configuration.hash, agent.supervisor.runners["steady"]
        assert await agent.control.offer(plant.bundle(7, plant.press(2))) is None
        assert stands(agent.control) == ("APPLIED", 7, 7)
        assert value(agent, "press.pressure") == 2
        assert agent.supervisor.runners["steady"] is steady
        assert agent.configuration.hash == agent.control.standing.attempted_hash != before
    entry = plant.journal.revision(7)
    assert entry is not None and entry.signers == ("Li Wei",) and entry.state == "APPLIED"
    assert "press.pressure: 1 → 2" in entry.report


async def test_a_device_that_does_not_differ_misses_no_scan(plant: Plant) -> None:
    async with running(plant) as agent:
        runner = agent.supervisor.runners["steady"]
        scans, began = runner.snapshot().scans, asyncio.get_running_loop().time()
        await agent.control.offer(plant.bundle(7, plant.press(2)))
        due = (asyncio.get_running_loop().time() - began) / 0.05
        snapshot = runner.snapshot()
        assert snapshot.scans - scans + snapshot.late >= int(due) - 1
        await agent.recorder.flush()
        times = [int(at) async for batch in agent.store.blocks(0, agent.now()) for at in batch.scan_time]
        assert len(times) > 10
    assert snapshot.reconnects == 0


async def test_a_revision_in_force_is_in_force_after_a_restart(plant: Plant) -> None:
    async with running(plant) as agent:
        await agent.control.offer(plant.bundle(7, plant.press(2)))
        expected = agent.configuration.hash
    async with running(plant) as agent:
        assert agent.configuration.hash == expected and stands(agent.control) == ("APPLIED", 7, 7)
        await until(lambda: value(agent, "press.pressure") == 2)


async def test_a_wrong_register_map_is_refused_by_the_dry_run(plant: Plant) -> None:
    async with running(plant) as agent:
        before, press = agent.configuration, agent.supervisor.runners["press"]
        refusal = await agent.control.offer(plant.bundle(7, plant.press(HOLE)))
        assert (
            refusal is not None and refusal.code == "dry_run_failed" and "press.pressure: 1 → nothing" in refusal.text
        )
        assert agent.configuration is before and agent.supervisor.runners["press"] is press
        assert stands(agent.control) == ("FAILED", 0, 7)
        assert agent.control.standing.last_error.startswith("dry_run_failed: ")
        # A6: the platform is told which tag and in one word why, and neither values nor addresses.
        assert agent.control.standing.told == "dry_run_failed: press.pressure (address)"


async def test_L20_what_stops_delivering_during_probation_is_rolled_back(plant: Plant) -> None:
    plant.config.write_text(plant.config.read_text().replace('probation = "1s"', 'probation = "5s"'))
    async with running(plant) as agent:
        before = agent.configuration
        offering = asyncio.create_task(agent.control.offer(plant.bundle(7, plant.press(2))))
        await until(lambda: agent.configuration is not before)
        await plant.server.stop()
        refusal = await offering
        assert refusal is not None and refusal.code == "probation_failed" and "press" in refusal.text
        assert agent.configuration is before and stands(agent.control) == ("FAILED", 0, 7)
        await plant.server.start()
        await until(lambda: value(agent, "press.pressure") == 1)


async def test_L19_a_failed_revision_is_not_tried_again_and_the_running_one_stays_visible(plant: Plant) -> None:
    async with running(plant) as agent:
        await agent.control.offer(plant.bundle(7, plant.press(2)))
        applied = agent.configuration.hash
        bad = plant.bundle(8, plant.press(HOLE))
        first = await agent.control.offer(bad)
        assert isinstance(first, Refusal) and first.code == "dry_run_failed"
        standing = agent.control.standing
        assert (standing.running, standing.attempted, standing.state) == (7, 8, "FAILED") and standing.last_error
        assert standing.attempted_hash != applied == agent.configuration.hash
        assert await agent.control.offer(bad) is None  # known, and not tried again
        assert agent.control.standing == standing
        assert await agent.control.offer(plant.bundle(9, plant.press(3))) is None
        assert stands(agent.control) == ("APPLIED", 9, 9) and not agent.control.standing.last_error


async def test_L25_an_unchanged_configuration_touches_nothing(plant: Plant) -> None:
    async with running(plant) as agent:
        before, press = agent.configuration, agent.supervisor.runners["press"]
        assert await agent.control.offer(plant.bundle(7, plant.press(1))) is None
        assert agent.configuration is before and agent.supervisor.runners["press"] is press
        assert stands(agent.control) == ("APPLIED", 7, 7)


async def test_devices_are_added_switched_off_and_removed(plant: Plant) -> None:
    async with running(plant) as agent:
        assert await agent.control.offer(plant.bundle(7, CLOCK)) is None
        assert [each.name for each in agent.devices()] == ["steady", "press", "new"]
        off = plant.press(1).replace("interval", "enabled = false\ninterval")
        assert await agent.control.offer(plant.bundle(8, off)) is None
        assert [(each.name, each.state) for each in agent.devices()] == [("steady", "running"), ("press", "off")]


async def test_the_digest_period_changes_at_the_end_of_the_running_one(plant: Plant) -> None:
    async with running(plant) as agent:
        assert await agent.control.offer(plant.bundle(7, '[digest]\nperiod = "30m"')) is None
        assert agent.configuration.file.digest.period == 1800
        assert await agent.store.last_digest() is None


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("[gateway]\nname = 'x'", "sections_not_allowed"),
        ("[[equipment]]\nname = 'x'", "sections_not_allowed"),
        ("[digest]\nperoid = '5m'", "invalid"),
        ("[digest]\nshare = ['nobody.x']", "unresolvable"),
        ("[[device]]\nname = 'x'\ndriver = 'nonesuch'", "unresolvable"),
        ("[[device]]\nname = 'x'\ndriver = 'simulated'\ntags_file = '/etc/passwd'", "invalid"),
    ],
)
async def test_what_cannot_be_right_is_refused_before_anything_is_touched(plant: Plant, config: str, code: str) -> None:
    async with running(plant) as agent:
        before = agent.configuration
        refusal = await agent.control.offer(plant.bundle(7, config))
        assert refusal is not None and refusal.code == code, refusal
        assert agent.configuration is before and stands(agent.control) == ("FAILED", 0, 7)


async def test_a_bundle_that_is_not_for_us_or_of_nobody_is_no_attempt(plant: Plant) -> None:
    async with running(plant) as agent:
        stranger = replace(plant, admin=Signer("Li Wei"))
        for data, code in [
            (b"{}", "malformed"),
            (stranger.bundle(7, plant.press(2)), "not_trusted"),
            (plant.bundle(7, "", selector={"park": "elsewhere"}), "not_addressed"),
            (plant.bundle(7, "", issued_at="2019-01-01T00:00:00Z", expires_at="2019-01-02T00:00:00Z"), "expired"),
        ]:
            refusal = await agent.control.offer(data)
            assert refusal is not None and refusal.code == code
            assert agent.control.standing.last_error.startswith(f"{code}: ")
        assert stands(agent.control) == ("FAILED", 0, 0) and agent.control.standing.newest == 0


async def test_b1_a_trust_file_that_is_taken_away_trusts_nobody(plant: Plant) -> None:
    (plant.config.parent / "admins.jwks").unlink()
    async with running(plant) as agent:
        accepted = {"keys": [plant.admin.jwk()], "threshold": 1}
        agent.control._gateway = replace(agent.control._gateway, enrolled_admins=lambda: accepted)
        refusal = await agent.control.offer(plant.bundle(7, plant.press(2)))
        assert refusal is not None and refusal.code == "not_trusted" and "admins.jwks is missing" in refusal.text


async def test_c_new_administrators_and_their_revision_are_kept_in_one_write(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power that goes at any write of an offer leaves both or neither."""
    new = Signer("new")
    brought = {"keys": [plant.admin.jwk(), new.jwk()], "threshold": 1}
    keep, kept = Journal.keep, []

    def watched(journal: Journal, standing: Standing) -> None:
        keep(journal, standing)
        kept.append(journal.standing())

    monkeypatch.setattr(Journal, "keep", watched)
    async with running(plant) as agent:
        assert await agent.control.offer(plant.bundle(7, plant.press(2), trust=brought)) is None
    assert kept and all((each.newest >= 7) == (each.rotation is not None) for each in kept)
    assert not (plant.journal.folder / "admins.jwks").exists()
    async with running(plant) as agent:
        assert [each.name for each in agent.control.trust().admins] == ["Li Wei", "new"]


async def test_neither_a_replay_nor_a_downgrade_is_taken(plant: Plant) -> None:
    async with running(plant) as agent:
        await agent.control.offer(plant.bundle(7, plant.press(2)))
        await agent.control.offer(plant.bundle(8, plant.press(3)))
        refusal = await agent.control.offer(plant.bundle(7, plant.press(2)))
        assert refusal is not None and refusal.code == "not_newer" and value(agent, "press.pressure") == 3


async def test_a_bundle_waits_for_a_clock_that_is_trusted(plant: Plant) -> None:
    async with running(plant) as agent:
        agent.clock.source = "none"
        refusal = await agent.control.offer(plant.bundle(7, plant.press(2)))
        assert refusal is not None and refusal.held
        agent.clock.source = "ntp"
        await until(lambda: stands(agent.control) == ("APPLIED", 7, 7))


async def test_a_lock_keeps_the_platform_out_until_it_ends(plant: Plant) -> None:
    async with running(plant) as agent:
        await agent.control.lock(3600.0)
        refusal = await agent.control.offer(plant.bundle(7, plant.press(2)))
        assert refusal is not None and refusal.code == "locked" and agent.snapshot.status().config.locked_until
        await agent.control.lock(0)
        await until(lambda: stands(agent.control) == ("APPLIED", 7, 7))


async def test_the_local_engineer_rolls_back_and_the_platform_cannot_replay(plant: Plant) -> None:
    async with running(plant) as agent:
        for revision in (7, 8):
            assert await agent.control.offer(plant.bundle(revision, plant.press(revision))) is None
        assert await agent.control.roll_back(7) is None
        assert agent.control.standing.running == 7 and value(agent, "press.pressure") == 7
        assert await agent.control.roll_back(0) is None
        assert agent.control.standing.running == 0 and value(agent, "press.pressure") == 1
        assert await agent.control.offer(plant.bundle(8, plant.press(8))) is None  # known: no attempt
        assert agent.control.standing.running == 0


async def test_a_local_edit_goes_the_same_way(plant: Plant) -> None:
    async with running(plant) as agent:
        text = plant.config.read_text()
        plant.config.write_text(text.replace("holding:1", "holding:5"))
        assert await agent.control.reload() is None
        assert value(agent, "press.pressure") == 5
        plant.config.write_text(text.replace("holding:1", f"holding:{HOLE}"))
        refusal = await agent.control.reload()
        assert refusal is not None and refusal.code == "dry_run_failed" and value(agent, "press.pressure") == 5
        plant.config.write_text(text.replace('flush = "100ms"', 'flush = "200ms"'))
        refusal = await agent.control.reload()
        assert refusal is not None and "[buffer] changed" in refusal.text and "restart" in refusal.remedy


async def test_a_revision_that_the_local_file_allows_no_more_is_left_out_at_the_next_start(plant: Plant) -> None:
    async with running(plant) as agent:
        await agent.control.offer(plant.bundle(7, plant.press(2)))
    plant.config.write_text(plant.config.read_text().replace('allow = ["device", "digest"]', "allow = []"))
    async with running(plant) as agent:
        await until(lambda: value(agent, "press.pressure") == 1)
        assert agent.control.standing.running == 0
        assert agent.control.standing.last_error.startswith("sections_not_allowed: ")


async def test_a_crash_at_any_point_of_an_attempt_is_told_and_entered(plant: Plant) -> None:
    async with running(plant) as agent:
        await agent.control.offer(plant.bundle(7, plant.press(2)))
    applied, entry = plant.journal.standing(), plant.journal.revision(7)
    assert entry is not None
    trying = replace_in(entry, state="APPLYING", reason="", ended_us=0)
    # The end was written down, its entry in the history was not.
    plant.journal.enter(trying)
    _, standing = compose(load(plant.config), plant.journal)
    assert (standing.state, standing.running) == ("APPLIED", 7)
    assert plant.journal.revision(7) == replace_in(trying, state="APPLIED")
    # Neither was.
    plant.journal.enter(trying)
    plant.journal.keep(replace_in(applied, state="APPLYING", running=0))
    _, standing = compose(load(plant.config), plant.journal)
    assert (standing.state, standing.running) == ("FAILED", 0) and standing.last_error.startswith("crashed: ")
    entry = plant.journal.revision(7)
    assert entry is not None and (entry.state, entry.reason) == ("FAILED", standing.last_error)


async def test_a_full_disk_is_waited_for_and_strands_nobody(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SWITCH_BACK_S", 0.01)
    failing = iter(["end"] * 3)
    keep = Journal.keep

    def full(journal: Journal, standing: Standing) -> None:
        if standing.state == "APPLIED" and next(failing, ""):
            raise GongfuError("no space left on device")
        keep(journal, standing)

    monkeypatch.setattr(Journal, "keep", full)
    async with running(plant) as agent:
        assert await agent.control.offer(plant.bundle(7, plant.press(2))) is None
        assert stands(agent.control) == ("APPLIED", 7, 7) and plant.journal.standing() == agent.control.standing
        assert not next(failing, "")


async def test_an_attempt_that_ends_in_an_unforeseen_error_leaves_nothing_unproven_in_force(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise OverflowError("which nobody foresaw")

    monkeypatch.setattr(service, "probation", fails)
    async with running(plant) as agent:
        before = agent.configuration
        with pytest.raises(OverflowError):
            await agent.control.offer(plant.bundle(7, plant.press(2)))
        assert agent.configuration is before and stands(agent.control) == ("FAILED", 0, 7)
        assert agent.control.standing.last_error.startswith("crashed: ")
        await until(lambda: value(agent, "press.pressure") == 1)
        monkeypatch.undo()
        assert await agent.control.offer(plant.bundle(8, plant.press(2))) is None
