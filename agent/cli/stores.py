"""Opening the buffer for a command: read only, beside a running agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.buffer.store import Store
from agent.config.model import Configuration
from agent.errors import GongfuError


@asynccontextmanager
async def reading(configuration: Configuration) -> AsyncIterator[Store]:
    """The gateway's buffer, read only. Raises GongfuError where there is none yet."""
    path = Path(configuration.file.gateway.data_dir) / "buffer.db"
    if not path.exists():
        raise GongfuError(f"nothing recorded yet: {path} does not exist", remedy="start the agent: gongfu-edge run")
    store = await Store.open(path, read_only=True)
    try:
        yield store
    finally:
        await store.close()
