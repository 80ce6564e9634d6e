"""Enrolment: a token against an identity; repeatable, and nothing is kept of a refusal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.errors import GongfuError
from agent.evidence.identity import Enrolment, Identity
from agent.uplink.enrol import enroll
from tests.support.uplink_platform import Fault, ScriptedPlatform, running, says


async def test_a_gateway_enrols_and_may_repeat_it(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    async with running(platform):
        for _ in range(2):
            enrolled = await asyncio.to_thread(enroll, platform.url + "/", " K7QF ", tmp_path / "identity")
            assert enrolled == Enrolment("plant-7", platform.url, {"keys": []})
    request = json.loads(platform.seen[0].body)
    identity = Identity.load_or_create(tmp_path / "identity")
    assert (
        request["token"] == "K7QF"
        and request["public_key"] == identity.public_jwk()
        and "d" not in request["public_key"]
    )
    assert {"hostname", "hardware", "version"} <= set(request) and "Authorization" not in platform.seen[0].headers
    assert platform.seen[0].body == platform.seen[1].body and identity.gateway_id == "plant-7"


async def test_the_name_of_the_enterprise_is_kept(tmp_path: Path) -> None:
    platform = ScriptedPlatform()
    answer = json.dumps({"gateway_id": "plant-7", "admins": {"keys": []}, "enterprise": "Example Press Works"})
    platform.faults = [says(201, answer, "application/json")]
    async with running(platform):
        await asyncio.to_thread(enroll, platform.url, "K7QF", tmp_path)
    enrolment = Identity.load_or_create(tmp_path).enrolment
    assert enrolment is not None and enrolment.enterprise == "Example Press Works"


@pytest.mark.parametrize(
    "fault",
    [
        says(403, '{"detail": "used by another"}'),
        says(503, Retry_After="5"),
        says(404),
        says(201, "<html>Welcome</html>", "text/html"),
        says(201, '{"gateway_id": "../x", "admins": {}}', "application/json"),
        says(201, '{"gateway_id": "a"}', "application/json"),
    ],
)
async def test_a_refusal_is_one_line_with_a_remedy_and_keeps_nothing(tmp_path: Path, fault: Fault) -> None:
    platform = ScriptedPlatform(faults=[fault])
    async with running(platform):
        with pytest.raises(GongfuError) as caught:
            await asyncio.to_thread(enroll, platform.url, "K7QF", tmp_path)
    assert caught.value.remedy and "\n" not in caught.value.line()
    assert Identity.load_or_create(tmp_path).enrolment is None
