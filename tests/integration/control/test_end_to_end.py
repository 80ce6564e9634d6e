"""Remote configuration from an administrator's command to the PLC and back, over real sockets and processes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from scripts.sandbox.platform import serve
from tests.support.control_agent import HOLE
from tests.support.ports import free_port
from tests.support.remote_site import Site, a_site


async def address(site: Site) -> str:
    """What of the press is read, by the configuration in force."""
    shown = await site.here("config", "show", "--origin")
    (line,) = [line for line in shown.splitlines() if "address" in line and "holding" in line]
    return line


async def until_switched(site: Site, before: str) -> None:
    """Wait until the gateway runs something else than ``before``."""
    async with asyncio.timeout(100):
        while (await site.status()).get("config", {}).get("running_hash", before) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_good_revision_is_applied_and_a_wrong_register_map_refused(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site, site.platform() as platform:
        with site.agent():
            await site.until_told(platform, "UNSET")
            before = await site.fleet()
            assert (before["state"], before["running_revision"]) == ("UNSET", 0)

            pushed = await site.push(7, site.press(2))
            assert pushed.returncode == 0, pushed.stdout + pushed.stderr
            assert "revision 7: 1 applied of 1 gateways" in pushed.stdout
            after = await site.fleet()
            assert (after["state"], after["running_revision"], after["drift"]) == ("APPLIED", 7, False)
            assert after["running_hash"] != before["running_hash"]
            assert "APPLIED" in await site.page() and "holding:2" in await address(site)

            pushed = await site.push(8, site.press(HOLE))
            assert pushed.returncode == 1 and "HALTED" in pushed.stderr
            reason = "dry_run_failed: press.pressure (address)"  # A6: neither the value nor the address
            assert f"{site.id}: failed: {reason}" in pushed.stdout
            refused = await site.fleet()
            assert (refused["state"], refused["running_revision"], refused["attempted_revision"]) == ("FAILED", 7, 8)
            assert refused["last_error"].startswith(reason) and refused["drift"]
            assert refused["running_hash"] == after["running_hash"]
            assert reason in await site.page() and "holding:2" in await address(site)

            # It has been told once, and asks quietly for the next.
            async with asyncio.timeout(100):
                while platform.platform.control.waiting(site.id) != 1:  # noqa: ASYNC110 - told by no event
                    await asyncio.sleep(0.05)
            history = await site.here("config", "history")
            assert "Wang Wei" in history and "dry_run_failed: press.pressure: 2 → nothing" in history


async def test_a_crash_on_probation_ends_with_the_old_configuration_and_says_so(tmp_path: Path) -> None:
    async with a_site(tmp_path, probation="1h") as site, site.platform() as platform:
        with site.agent() as process:
            await site.until_told(platform, "UNSET")
            before = await site.fleet()
            pushing = asyncio.create_task(site.push(7, site.press(2)))
            await site.until_told(platform, "APPLYING", 7)
            await until_switched(site, before["running_hash"])
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        with site.agent():
            pushed = await pushing
            assert pushed.returncode == 1 and "failed: crashed\n" in pushed.stdout, pushed.stdout + pushed.stderr
            after = await site.fleet()
            assert (after["state"], after["running_revision"], after["attempted_revision"]) == ("FAILED", 0, 7)
            assert after["running_hash"] == before["running_hash"] and "holding:1" in await address(site)
            assert "crashed" in await site.page() and "crashed: " in await site.here("config", "history")


async def test_L9_a_platform_that_is_away_at_the_start_costs_nothing(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        async with site.platform() as platform:
            with site.agent() as process:
                await site.until_told(platform, "UNSET")
                assert (await site.push(7, site.press(2))).returncode == 0
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 60) == 0
        with site.agent():
            config = await site.until("APPLIED", 7)
            assert config["last_error"] == "" and "holding:2" in await address(site)
            async with site.platform():  # it comes back, and is asked again
                pushed = await site.push(8, site.press(3))
                assert pushed.returncode == 0, pushed.stdout + pushed.stderr
                assert (await site.fleet())["running_revision"] == 8


async def test_a_platform_that_cannot_be_reached_is_a_candidate_only(tmp_path: Path) -> None:
    async with a_site(tmp_path, allow='["device", "platform"]') as site, site.platform() as platform:
        with site.agent():
            await site.until_told(platform, "UNSET")
            nowhere = f'[platform]\nurl = "http://127.0.0.1:{free_port()}/api/v1"\n'
            pushed = await site.push(7, nowhere)
            assert pushed.returncode == 1 and "failed: platform_unreachable\n" in pushed.stdout, (
                pushed.stdout + pushed.stderr
            )
            assert (await site.fleet())["running_revision"] == 0
            assert (await site.push(8, site.press(2))).returncode == 0  # still in touch


async def test_a_platform_that_moved_is_followed_once_it_has_answered(tmp_path: Path) -> None:
    async with a_site(tmp_path, allow='["device", "platform"]') as site, site.platform() as platform:
        with site.agent():
            await site.until_told(platform, "UNSET")
            async with serve(site.folder / "platform", port=free_port()) as moved:
                # The old address hands the revision out and goes on telling; the new one proves itself.
                pushing = asyncio.create_task(site.push(7, f'[platform]\nurl = "{moved.url}"\n'))
                config = await site.until("APPLIED", 7)
                assert config["last_error"] == "" and (await site.status())["uplink"]["url"] == moved.url
                assert (await pushing).returncode == 0
