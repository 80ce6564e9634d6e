"""The real command enrols both keys at the real platform."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agent.control.secrets import EncryptionKey, seal
from scripts.sandbox.platform import serve
from scripts.sandbox.platform.store import Store
from tests.support.agents import gongfu_edge, write_config


async def test_what_is_sealed_for_the_registered_key_is_opened_by_the_gateway(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    async with serve(tmp_path / "platform") as running:
        token = await running.platform.make_token()
        done = await asyncio.to_thread(
            gongfu_edge, "enroll", "--config", str(config), "--url", running.url, "--token", token
        )
        assert done.returncode == 0, done.stderr
        (gateway,) = await running.platform.call(Store.gateways)
    key = EncryptionKey.load_or_create(tmp_path / "data" / "identity")
    assert key.thumbprint in done.stdout
    assert key.decrypt(seal("hunter2", [json.loads(gateway.encryption_key)])) == "hunter2"
