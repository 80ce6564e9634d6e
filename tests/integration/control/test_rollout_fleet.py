"""The real ``admin push`` and ``status`` against the reference platform and a hundred gateways that answer it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from agent.cli.main import main
from agent.config.model import EnterpriseSection
from agent.control.bundle import Bundle
from scripts.sandbox.platform import RunningPlatform
from tests.support.control_bundles import Signer, judged, trusting
from tests.support.platform_admin import lasting, pin
from tests.support.platform_gateway import FakeGateway, platform_with_gateway, until

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

WANG, LI = Signer("Wang Wei"), Signer("Li")
PARK = {"district": "310109", "town": "", "park": "hongkou-01", "chains": []}
HERE = EnterpriseSection(district="310109", park="hongkou-01")


@dataclass
class Park:
    """A platform, gateways that poll it, and an administrator's folder."""

    folder: Path
    running: RunningPlatform
    gateways: dict[str, FakeGateway] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    """Gateways whose devices do not stand the new configuration."""
    took: list[str] = field(default_factory=list)
    """Gateways in the order in which they were given a bundle."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def add(self, via: FakeGateway) -> str:
        """One gateway more; it asks for configuration from now on."""
        gateway = FakeGateway(self.running, via.session)
        key = OKPKey.generate_key("X25519").as_dict(private=False)
        assert (await gateway.enroll(encryption_key=key)).status == 201
        assert (await gateway.report(affiliation=PARK)).status == 204
        self.gateways[gateway.id] = gateway
        self.tasks.append(asyncio.create_task(self._live(gateway)))
        return gateway.id

    async def _live(self, gateway: FakeGateway) -> None:
        etag, running = "", 0
        while True:
            answer = await gateway.get("/config?wait=55", **({"If-None-Match": etag} if etag else {}))
            if answer.status != 200:
                continue
            etag = answer.headers["ETag"]
            found = judged(answer.body, trusting(WANG), gateway_id=gateway.id, enterprise=HERE, newest=running)
            assert isinstance(found, Bundle), found
            self.took.append(gateway.id)
            revision = found.payload.revision
            if gateway.id in self.bad:
                error = "probation_failed: press-1 is silent"
                said: dict[str, Any] = {"state": "FAILED", "last_error": error, "attempted_revision": revision}
            else:
                running = revision
                said = {"state": "APPLIED", "running_revision": revision, "attempted_revision": revision}
            await gateway.report(affiliation=PARK, **said)

    def file(self, name: str) -> str:
        """A file in the administrator's folder."""
        return str(self.folder / name)

    async def admin(self, action: str, *arguments: str) -> int:
        """``gongfu-edge admin push|status`` with Wang's key."""
        whole = ["admin", action, *arguments, "--url", self.running.url, "--key", self.file("wang.key")]
        return await asyncio.to_thread(main, whole)

    async def push(self, revision: int, *arguments: str, **changes: Any) -> int:
        """Roll a revision for the park out, looking often."""
        changes = {"gateway_id": None, "selector": {"park": "hongkou-01"}, **changes}
        bundle = self.folder / f"{revision}.bundle"
        if not bundle.exists():
            bundle.write_bytes(lasting(WANG, revision=revision, **changes))
        return await self.admin("push", str(bundle), "--every", "50ms", *arguments)

    def state(self, revision: int) -> dict[str, Any]:
        """The rollout's file."""
        value: dict[str, Any] = json.loads((self.folder / f"{revision}.bundle.rollout").read_bytes())
        return value


@asynccontextmanager
async def a_park(folder: Path, count: int, admins: Mapping[str, Any] | None = None) -> AsyncIterator[Park]:
    """A park of that many gateways."""
    pin(folder, WANG, **(admins or {}))
    key = folder / "wang.key"
    key.write_text(json.dumps({**WANG.key.as_dict(private=True), "name": WANG.name}))
    key.chmod(0o600)
    async with platform_with_gateway(folder, enrolled=False) as (running, via):
        park = Park(folder, running)
        for _ in range(count):
            await park.add(via)
        control = running.platform.control
        await until(lambda: all(control.waiting(each) for each in park.gateways))
        try:
            yield park
        finally:
            for task in park.tasks:
                task.cancel()
            ended = await asyncio.gather(*park.tasks, return_exceptions=True)
            assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []


async def test_a_hundred_gateways_are_reached_in_waves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with a_park(tmp_path, 100) as park:
        assert await park.push(7, "--wave", "1,10%,100%", "--halt-above", "2%", "--selector", "park=hongkou-01") == 0
        assert len(park.took) == 100 and park.state(7)["sizes"] == [1, 10, 100]
        order = park.state(7)["order"]
        assert [set(park.took[:size]) for size in (1, 10)] == [set(order[:1]), set(order[:10])]
        said = capsys.readouterr()
        assert said.out == "revision 7: 100 applied of 100 gateways\n" and said.err == ""  # no progress in a pipe
        assert await park.admin("status") == 0
        assert "100 gateways, 0 drifting" in capsys.readouterr().out


async def test_failures_halt_a_rollout_and_the_rest_keep_what_they_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_park(tmp_path, 40) as park:
        assert await park.push(6) == 0
        park.bad = set(park.gateways)
        assert await park.push(7, "--wave", "1,10%,100%", "--halt-above", "2%") == 1
        said = capsys.readouterr()
        assert "1 failed, 39 not offered" in said.out and "press-1 is silent" in said.out
        assert "HALTED: 1 of 1 failed" in said.err
        assert len(park.took) == 41
        assert await park.push(7) == 1  # a halt is not overrun by mistake
        assert "--go-on" in capsys.readouterr().err
        assert await park.admin("status", "--drift", "--json") == 1
        (drifting,) = json.loads(capsys.readouterr().out)
        assert (drifting["running_revision"], drifting["desired_revision"]) == (0, 7)
        assert drifting["last_error"] == "probation_failed: press-1 is silent"
        park.bad = set()
        assert await park.push(7, "--go-on") == 0
        assert park.state(7)["done"] and len(park.state(7)["accepted"]) == 1
        assert await park.push(8) == 0
        assert await park.admin("status") == 0


async def test_a_rollout_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    async with a_park(tmp_path, 20) as park:
        slow = sorted(park.gateways)[0]
        tasks = dict(zip(park.gateways, park.tasks, strict=True))
        tasks[slow].cancel()
        rollout = ["--wave", "50%,100%"]
        assert await park.push(7, *rollout, "--patience", "1s") == 1  # one says nothing, in whichever wave it is
        before, reached = park.state(7), len(park.took)
        assert before["results"][slow]["outcome"] == "silent"
        for file in (before, {**before, "halted": "", "results": {}}):
            (park.folder / "7.bundle.rollout").write_text(json.dumps(file))
        park.tasks.append(asyncio.create_task(park._live(park.gateways[slow])))
        assert await park.push(7, *rollout, "--patience", "60s") == 0
        after = park.state(7)
        assert after["order"] == before["order"] and after["done"]
        assert sorted(park.took) == sorted(park.gateways) and len(park.took) > reached  # nobody was given it twice


async def test_gateways_that_come_later_get_it_too(tmp_path: Path) -> None:
    async with a_park(tmp_path, 2) as park:
        assert await park.push(7, "--wave", "1,100%") == 0
        late = await park.add(next(iter(park.gateways.values())))
        await until(lambda: late in park.took)


async def test_a_part_of_the_fleet_stays_a_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with a_park(tmp_path, 10) as park:
        assert await park.push(7, "--wave", "30%") == 0
        assert len(park.took) == 3 and "7 not offered" in capsys.readouterr().out
        assert await park.push(7, "--selector", "park=elsewhere") == 1
        assert "leaves nobody" in capsys.readouterr().err
        assert await park.push(9, selector={"park": "elsewhere"}) == 1
        assert "knows no gateway" in capsys.readouterr().err


async def test_too_few_signatures_and_old_revisions_are_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_park(tmp_path, 1) as park:
        assert await park.push(7) == 0
        assert await park.push(6) == 1
        assert "higher revision" in capsys.readouterr().err
        pin(tmp_path, WANG, LI, threshold=2)
        assert await park.push(8) == 1
        assert "1 of 2 signatures" in capsys.readouterr().err
        pin(tmp_path, LI)
        assert await park.push(9) == 1
        assert "an administrator sign it whom the platform knows" in capsys.readouterr().err
        assert await park.admin("status") == 1
        assert "is your key among" in capsys.readouterr().err
        assert len(park.took) == 1


async def test_the_gateways_keys_are_written_for_sealing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with a_park(tmp_path, 3) as park:
        assert await park.admin("status", "--keys", park.file("gateways.jwks"), "--selector", "park=hongkou-01") == 0
        keys = json.loads((tmp_path / "gateways.jwks").read_bytes())["keys"]
        assert sorted(each["gateway"] for each in keys) == sorted(park.gateways)
        assert all(OKPKey.import_key(each).thumbprint() == each["kid"] for each in keys)
        assert "compare each kid" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--wave", "ten"], ["--halt-above", "2"], ["--patience", "long"], ["--selector", "x=y"], ["--every", "0s"]],
)
def test_what_cannot_be_meant_is_a_matter_of_usage(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["admin", "push", "x.bundle", "--url", "https://x.example", "--key", "k", *arguments])
    assert ended.value.code == 2


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["admin", "--help"], ["admin", "push", "--help"], ["admin", "status", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    assert "--halt-above 2%" in capsys.readouterr().out
