"""What was learned of a server that the next connection, or the next process, shall not have to learn again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SUSPECT_NODES = 50
"""A connection that ends at a Read of fewer nodes did not end because of their number."""
_MOST = 1_000_000
_LONGEST = 200


@dataclass(slots=True)
class Learned:
    """Sizes that a server takes; 0: nothing is known."""

    nodes_per_read: int = 0
    items_per_call: int = 0
    no_subscriptions: str = ""
    """Why it is polled, where the server will never let anybody subscribe."""
    _suspected: int = 0
    """Nodes of the Read at which the last connection ended without a word."""

    @classmethod
    def recall(cls, record: Mapping[str, Any]) -> Learned:
        """From a record that somebody may have edited: what is not sensible is not known."""

        def size(key: str) -> int:
            found = record.get(key)
            return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found < _MOST else 0

        why = record.get("no_subscriptions")
        known = why[:_LONGEST] if isinstance(why, str) and why.isprintable() else ""
        return cls(size("nodes_per_read"), size("items_per_call"), known)

    def record(self) -> dict[str, Any]:
        """What is known, as JSON values."""
        found = {key: getattr(self, key) for key in ("nodes_per_read", "items_per_call", "no_subscriptions")}
        return {key: value for key, value in found.items() if value}

    def read_fits(self, nodes: int) -> None:
        """A Read of so many nodes was answered."""
        if self._suspected and nodes >= self._suspected:
            self._suspected = 0

    def read_too_large(self, nodes: int) -> None:
        """A Read of so many nodes was too much."""
        self.nodes_per_read = max(1, nodes // 2)

    def read_ended(self, nodes: int) -> None:
        """The connection ended at a Read of so many nodes, without a word: the second time that was the reason."""
        if nodes < _SUSPECT_NODES:
            return
        if self._suspected and nodes >= self._suspected:
            self.read_too_large(nodes)
            self._suspected = 0
        else:
            self._suspected = nodes

    def most(self, known: int, said: int, default: int) -> int:
        """The size to begin with: what was learned, else what the server says, else a default."""
        return min(each for each in (known, said, default) if each > 0)
