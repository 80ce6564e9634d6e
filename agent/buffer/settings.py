"""Settings: what the agent remembers from one start to the next."""

from __future__ import annotations

from agent.buffer.room import Room


class Settings(Room):
    """By key; each stream has its own."""

    async def meta(self, key: str) -> str | None:
        """A setting, or None."""
        rows = await self._db.read("SELECT value FROM meta WHERE key = ?", (self._own(key),))
        return str(rows[0][0]) if rows else None

    async def set_meta(self, key: str, value: str) -> None:
        """Keep a setting."""
        await self._db.put(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (self._own(key), value),
        )

    def _own(self, key: str) -> str:
        return f"{key}:{self.stream}" if self.stream else key
