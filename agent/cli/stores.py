"""Opening the buffer for a command: read only, beside a running agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.buffer.store import Store
from agent.cli.owner import acting_as_owner
from agent.config.model import Configuration
from agent.errors import GongfuError


@asynccontextmanager
async def reading(configuration: Configuration) -> AsyncIterator[Store]:
    """The gateway's buffer, read only. Raises GongfuError where there is none yet."""
    path = Path(configuration.file.gateway.data_dir) / "buffer.db"
    if not path.exists():
        raise GongfuError(f"nothing recorded yet: {path} does not exist", remedy="start the agent: gongfu-edge run")
    with acting_as_owner(path.parent):
        store = await Store.open(path, read_only=True)
    try:
        yield store
    finally:
        await store.close()


def in_force(path: Path) -> Configuration:
    """The local file with the revision over it that runs: machines may come from there."""
    from agent.config.overlay import Overlay
    from agent.config.parse import load
    from agent.control.journal import Journal
    from agent.control.secrets import EncryptionKey

    local = load(path)
    data_dir = Path(local.file.gateway.data_dir)
    journal = Journal(data_dir / "config")
    number = journal.standing().running
    entry = journal.revision(number) if number else None
    if entry is None:
        return local
    with acting_as_owner(data_dir):
        key = EncryptionKey.load_or_create(data_dir / "identity")
    return load(path, overlay=Overlay(entry.config, f"revision {number}", key.decrypt))
