"""What was learned of a server that the next connection shall not have to learn again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_SUSPECT_NODES = 50
"""A connection that ends at a Read of fewer nodes did not end because of their number."""


@dataclass(slots=True)
class Learned:
    """Sizes that a server takes; 0: nothing is known."""

    nodes_per_read: int = 0
    items_per_call: int = 0
    _suspected: int = 0
    """Nodes of the Read at which the last connection ended without a word."""

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
