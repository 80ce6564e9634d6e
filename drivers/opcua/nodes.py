"""From addresses to the node ids that a server has now: namespaces by URI, browse paths."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from drivers.opcua import services
from drivers.opcua.address import Address, BrowsePathAddress, Namespace, NodeAddress
from drivers.opcua.client import TOO_MUCH, Connection, Fault, status_name
from drivers.opcua.faults import Refusal
from drivers.opcua.items import batches
from drivers.opcua.remedies import remedy
from drivers.opcua.services import NodeId, ServerFacts
from drivers.opcua.status import quality
from drivers.quality import Quality

PATHS = 500
"""Browse paths a request, where the server names no limit."""

_SHOWN = 100
"""Characters of a namespace's URI."""


async def resolve(connection: Connection, facts: ServerFacts, addresses: Sequence[Address]) -> list[NodeId | Refusal]:
    """The node of each address, or why there is none; raises DriverError when nothing is answered."""
    found: list[NodeId | Refusal] = []
    paths: list[tuple[int, list[tuple[int, str]]]] = []
    for position, address in enumerate(addresses):
        if isinstance(address, NodeAddress):
            namespace = _namespace(facts, address.namespace)
            refusal = isinstance(namespace, Refusal)
            found.append(namespace if refusal else services.node_id(address.identifier, namespace))
            continue
        steps = _steps(facts, address)
        found.append(steps)
        if not isinstance(steps, Refusal):
            paths.append((position, steps))
    waiting = deque(batches(paths, facts.most_paths or PATHS))
    while waiting:
        batch = waiting.popleft()
        try:
            targets = await services.translate(connection, [steps for _, steps in batch])
        except Fault as fault:
            if fault.code not in TOO_MUCH or len(batch) == 1 or connection.ended:
                raise
            waiting.extendleft((batch[len(batch) // 2 :], batch[: len(batch) // 2]))
            continue
        for (position, _), target in zip(batch, targets, strict=True):
            if isinstance(target, int):
                target = Refusal(quality(target), f"no such path: {status_name(target)}", remedy(target))
            found[position] = target
    return found


def _steps(facts: ServerFacts, address: BrowsePathAddress) -> list[tuple[int, str]] | Refusal:
    steps = []
    for element in address.elements:
        namespace = _namespace(facts, element.namespace)
        if isinstance(namespace, Refusal):
            return namespace
        steps.append((namespace, element.name))
    return steps


def _namespace(facts: ServerFacts, namespace: Namespace) -> int | Refusal:
    if isinstance(namespace, int):
        return namespace
    if namespace in facts.namespaces:
        return facts.namespaces.index(namespace)
    known = ", ".join(uri[:_SHOWN] for uri in facts.namespaces[1:6]) or "none"
    return Refusal(Quality.ADDRESS, f'the server has no namespace "{namespace}"', f"the server's namespaces: {known}")
