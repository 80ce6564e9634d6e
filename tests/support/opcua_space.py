"""Servers in the tests' own process: the standard address space, seconds to make, is made once a run."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, MutableMapping
from functools import cache
from typing import Any

from asyncua.server.address_space import AddressSpace, NodeManagementService
from asyncua.server.internal_server import InternalServer
from asyncua.server.standard_address_space import standard_address_space


@cache
def standard_nodes() -> dict[Any, Any]:
    """Node id → node of a server that has nothing of its own; whoever changes one spoils them for others."""
    space = AddressSpace()
    standard_address_space.fill_address_space(NodeManagementService(space))
    nodes: dict[Any, Any] = space._nodes
    return nodes


class Prepared(InternalServer):
    """A server that has the nodes which were made once as its own, and that stops at once."""

    async def load_standard_address_space(self, shelf_file: Any = None) -> None:
        """Nothing is copied before it is touched."""
        self.aspace._nodes = _Copies(standard_nodes())

    async def stop(self) -> None:
        """Without waiting for the next second of its clock."""
        if self.time_task:
            self.time_task.cancel()
            await asyncio.gather(self.time_task, return_exceptions=True)
            self.time_task = None
        await super().stop()


class _Copies(MutableMapping[Any, Any]):
    """A mapping of one's own that begins with copies of what another has."""

    def __init__(self, of: dict[Any, Any]) -> None:
        self._of, self._own, self._gone = of, dict[Any, Any](), set[Any]()

    def __getitem__(self, key: Any) -> Any:
        if key not in self._own:
            if key in self._gone:
                raise KeyError(key)
            self._own[key] = _copied(self._of[key])
        return self._own[key]

    def __setitem__(self, key: Any, node: Any) -> None:
        self._own[key] = node

    def __delitem__(self, key: Any) -> None:
        if key not in self:
            raise KeyError(key)
        self._own.pop(key, None)
        self._gone.add(key)

    def __contains__(self, key: object) -> bool:
        return key in self._own or (key in self._of and key not in self._gone)

    def __iter__(self) -> Iterator[Any]:
        yield from [key for key in self._of if key not in self._own and key not in self._gone]
        yield from list(self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        self._own.clear()
        self._gone.update(self._of)


def _copied(node: Any) -> Any:
    made = copy.copy(node)
    made.references = list(node.references)
    made.attributes = {name: copy.copy(each) for name, each in node.attributes.items()}
    for each in made.attributes.values():
        each.datachange_callbacks = {}
    return made
