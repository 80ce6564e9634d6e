"""Browsing a server: what is there, of which type, worth, unit and access.

Level by level, in batches as large as the server takes; a node that is met again is not opened again,
and nothing is looked at beyond the depth and the number that were asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from drivers.browsing import Tree, Wanted
from drivers.contract import Context, DriverError, FailureKind
from drivers.opcua.address import AddressError, BrowsePathAddress, NodeAddress, PathElement, parse
from drivers.opcua.client import TOO_MUCH, Connection, Fault
from drivers.opcua.details import Details
from drivers.opcua.options import Options
from drivers.opcua.recognise import states
from drivers.opcua.services import NodeId
from drivers.opcua.services import node_id as make_id
from drivers.opcua.tree import Node, items, written
from drivers.quality import Quality

BROWSE, READ = 100, 200
"""Nodes a request, where the server names no limit."""
REFERENCES = 1000
"""References a node and answer; the rest comes with BrowseNext."""
PROPERTIES = 100
"""Properties of a node that are looked at."""
FOLLOWED = 100_000
"""Children among which the next step of a path is looked for."""
_LONGEST_NAME, _LONGEST_ID = 200, 4096
"""Characters; identifiers are no longer by the standard."""
ROOT: NodeId = make_id(ObjectIds.RootFolder)
OBJECTS: NodeId = make_id(ObjectIds.ObjectsFolder)
SERVER: NodeId = make_id(ObjectIds.Server)
_HIERARCHICAL: NodeId = make_id(ObjectIds.HierarchicalReferences)
_HAS_PROPERTY: NodeId = make_id(ObjectIds.HasProperty)
_NO_CONTINUATION = 0x804B0000
_UNKNOWN = frozenset({0x80330000, 0x80340000})
"""BadNodeIdInvalid, BadNodeIdUnknown."""

_A = TypeVar("_A")
_B = TypeVar("_B")


async def browse(options: Options, context: Context, wanted: Wanted) -> Tree:
    """Connect, look around below a place, let go; raises DriverError."""
    connection = Connection(options, context)
    try:
        await connection.open()
        with connection.classified("Browse"):
            return await Browser(connection).look(wanted)
    finally:
        await connection.close()


class Browser:
    """Looks around over an open connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._uris: list[str] = []
        self._batch = {"browse": BROWSE, "read": READ}
        self._ids: dict[Node, NodeId] = {}
        self._notes: list[str] = []
        self._most = 0

    async def look(self, wanted: Wanted) -> Tree:
        """The tree below a place."""
        self._most = wanted.most
        await self._learn()
        start = await self._start(wanted.start)
        await self._descend(start, wanted)
        await Details(self._ids, self.properties, self.read).complete(start)
        return Tree(items=items(start), states=states(start), notes=tuple(self._notes))

    async def _learn(self) -> None:
        limits = ObjectIds
        known = (
            limits.Server_NamespaceArray,
            limits.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
            limits.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        )
        found = await self.read([(make_id(number), AttributeIds.Value) for number in known])
        uris, *most = (each.Value.Value if each.Value is not None else None for each in found)
        self._uris = [str(uri) for uri in uris or ()]
        for key, limit in zip(self._batch, most, strict=True):
            if isinstance(limit, int) and limit > 0:
                self._batch[key] = min(self._batch[key], limit)

    # -- where to begin ------------------------------------------------------------------------------

    async def _start(self, text: str) -> Node:
        if not text:
            return self._node(OBJECTS, "Objects", 0)
        try:
            address = parse(text)
        except AddressError as error:
            try:
                address = parse(f"/Objects/{text}")
            except AddressError:
                raise _nothing(str(error), error.remedy) from error
        if isinstance(address, BrowsePathAddress):
            return await self._follow(address)
        return await self._named(address, text)

    async def _named(self, address: NodeAddress, text: str) -> Node:
        found = make_id(address.identifier, self._index(address.namespace, text))
        name, kind = await self.read([(found, AttributeIds.BrowseName), (found, AttributeIds.NodeClass)])
        if not isinstance(name.Value.Value if name.Value else None, ua.QualifiedName):
            raise _nothing(f"the server has no node {text}", "look around from the top: gongfu-edge browse DEVICE")
        node = self._node(found, name.Value.Value.Name, name.Value.Value.NamespaceIndex)
        node.variable = kind.Value is not None and kind.Value.Value == ua.NodeClass.Variable
        return node

    def _index(self, namespace: int | str, text: str) -> int:
        if isinstance(namespace, int):
            return namespace
        if namespace not in self._uris:
            known = ", ".join(self._uris[1:]) or "none"
            raise _nothing(f'{text}: the server has no namespace "{namespace}"', f"its namespaces: {known}")
        return self._uris.index(namespace)

    async def _follow(self, path: BrowsePathAddress) -> Node:
        node = self._node(ROOT, "Root", 0)
        for step in path.elements:
            (children,) = await self.references([self._ids[node]], most=FOLLOWED)
            found = self._match(step, children)
            if found is None:
                names = [f"{each.BrowseName.NamespaceIndex}:{each.BrowseName.Name}" for each in children]
                near = _nearest(step.name, names)
                there = f"there is: {', '.join(names[:8])}" if names else "there is nothing below it"
                raise _nothing(f'no "{step.name}" below {node.name}', f'did you mean "{near}"?' if near else there)
            node = self._made(found)
        return node

    def _match(self, step: PathElement, children: Sequence[Any]) -> Any:
        index = self._index(step.namespace, step.name)
        named = [each for each in children if each.BrowseName.Name == step.name]
        exact = [each for each in named if each.BrowseName.NamespaceIndex == index]
        # A person who leaves out the namespace means the one there is.
        return exact[0] if exact else named[0] if len(named) == 1 and step.namespace == 0 else None

    # -- going down ----------------------------------------------------------------------------------

    async def _descend(self, start: Node, wanted: Wanted) -> None:
        """Open nodes level by level."""
        opened, level = {start.place}, [start]
        for _ in range(wanted.depth):
            below: list[Node] = []
            found = await self.references([self._ids[each] for each in level], most=self._most + 1)
            for node, children in zip(level, found, strict=True):
                for reference in children:
                    if len(self._ids) >= wanted.most:
                        self._notes.append(f"only the first {wanted.most} nodes are shown")
                        return
                    child = self._add(node, reference, opened)
                    if child is not None:
                        below.append(child)
            level = below
            if not level:
                return
        if any(not node.variable for node in level):
            self._notes.append(f"there may be more below {wanted.depth} levels")

    def _add(self, parent: Node, reference: Any, opened: set[str]) -> Node | None:
        """Hang a node into the tree; it is returned if it is to be opened."""
        identifier = reference.NodeId.Identifier
        if isinstance(identifier, str | bytes) and len(identifier) > _LONGEST_ID:
            return None
        is_property = reference.ReferenceTypeId == _HAS_PROPERTY
        standard = is_property and reference.BrowseName.NamespaceIndex == 0
        if parent.variable and standard and reference.BrowseName.Name != "Number":
            return None  # it describes the variable; the number is that of a state
        child = self._made(reference)
        child.detail = is_property
        parent.children.append(child)
        if child.place in opened:
            child.seen = True
            del self._ids[child]
            return None
        opened.add(child.place)
        if self._ids[child] == SERVER:
            child.note = "the server itself: browse /Objects/Server"
            return None
        return child

    def _made(self, reference: Any) -> Node:
        node = self._node(
            _local(reference.NodeId), _shown(reference.BrowseName.Name), reference.BrowseName.NamespaceIndex
        )
        node.variable = reference.NodeClass == ua.NodeClass.Variable
        if reference.TypeDefinition is not None and not reference.TypeDefinition.is_null():
            definition = _local(reference.TypeDefinition)
            node.definition = written(definition.Identifier, definition.NamespaceIndex, self._uris, lasting=True)
        return node

    def _node(self, id_: NodeId, name: str, namespace: int) -> Node:
        place, address = (
            written(id_.Identifier, id_.NamespaceIndex, self._uris, lasting=lasting) for lasting in (False, True)
        )
        node = Node(place, address, name, self._uris[namespace] if namespace < len(self._uris) else "")
        self._ids[node] = id_
        return node

    # -- services ------------------------------------------------------------------------------------

    async def properties(self, nodes: Sequence[NodeId]) -> list[list[Any]]:
        """The properties of each node."""
        found = await self.references(nodes, _HAS_PROPERTY, most=PROPERTIES * max(1, len(nodes)))
        return [each[:PROPERTIES] for each in found]

    async def references(self, nodes: Sequence[NodeId], kind: NodeId = _HIERARCHICAL, *, most: int) -> list[list[Any]]:
        """What is below each node, of objects and variables; not much more than ``most`` in all."""
        left = most

        async def ask(some: Sequence[NodeId]) -> list[list[Any]]:
            nonlocal left
            found = await self._browse(some, kind, left) if left > 0 else [[] for _ in some]
            left -= sum(map(len, found))
            return found

        return await self._in_batches("browse", nodes, ask)

    async def read(self, what: Sequence[tuple[NodeId, int]]) -> list[Any]:
        """Attributes, as data values."""

        async def ask(some: Sequence[tuple[NodeId, int]]) -> list[Any]:
            request = ua.ReadRequest()
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
            request.Parameters.NodesToRead = [ua.ReadValueId(node, attribute) for node, attribute in some]
            try:
                answer: Any = await self._connection.call(request, ua.ReadResponse)
            except Fault as fault:
                if fault.code not in TOO_MUCH or len(some) > 1 or self._connection.ended:
                    raise
                # One value that is too large to be shown is no reason to show nothing.
                return [ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(fault.code)))]
            return _all(answer.Results, some)

        return await self._in_batches("read", what, ask)

    async def _browse(self, nodes: Sequence[NodeId], kind: NodeId, most: int) -> list[list[Any]]:
        request = ua.BrowseRequest()
        request.Parameters.RequestedMaxReferencesPerNode = REFERENCES
        request.Parameters.NodesToBrowse = [_description(node, kind) for node in nodes]
        answer: Any = await self._connection.call(request, ua.BrowseResponse)
        results = _all(answer.Results, nodes)
        found: list[list[Any]] = []
        for node, result in zip(nodes, results, strict=True):
            if result.StatusCode.value == _NO_CONTINUATION and len(nodes) > 1:
                found += await self._browse([node], kind, most)  # its places for open browses are taken by the others
            else:
                first = list(result.References or ())
                found.append([*first, *await self._rest(result.ContinuationPoint, most - len(first))])
        return [[each for each in references if not getattr(each.NodeId, "ServerIndex", 0)] for references in found]

    async def _rest(self, point: bytes | None, most: int) -> list[Any]:
        found: list[Any] = []
        while point:
            request = ua.BrowseNextRequest()
            request.Parameters.ContinuationPoints = [point]
            # A server need not ever come to an end.
            request.Parameters.ReleaseContinuationPoints = enough = len(found) >= most
            answer: Any = await self._connection.call(request, ua.BrowseNextResponse)
            (result,) = _all(answer.Parameters.Results, [point])
            found += result.References or ()
            point = result.ContinuationPoint if result.References and not enough else None
        return found

    async def _in_batches(
        self, key: str, what: Sequence[_A], ask: Callable[[Sequence[_A]], Awaitable[list[_B]]]
    ) -> list[_B]:
        """Ask for all, as many at a time as the server takes."""
        found: list[_B] = []
        while len(found) < len(what):
            batch = what[len(found) : len(found) + self._batch[key]]
            try:
                found += await ask(batch)
            except Fault as fault:
                if fault.code not in TOO_MUCH or len(batch) == 1 or self._connection.ended:
                    raise
                self._batch[key] = len(batch) // 2
        return found


def _description(node: NodeId, kind: NodeId) -> ua.BrowseDescription:
    made = ua.BrowseDescription()
    made.NodeId, made.ReferenceTypeId, made.IncludeSubtypes = node, kind, True
    made.BrowseDirection = ua.BrowseDirection.Forward
    made.NodeClassMask = ua.NodeClass.Object | ua.NodeClass.Variable
    made.ResultMask = ua.BrowseResultMask.All
    return made


def _shown(name: str | None) -> str:
    """A name for people, however long it is and whatever it holds."""
    return "".join(each if each.isprintable() else "?" for each in (name or "")[:_LONGEST_NAME])


def _local(id_: Any) -> NodeId:
    """An id without what says that it is on this server."""
    return make_id(id_.Identifier, id_.NamespaceIndex)


def _all(results: Iterable[Any] | None, asked: Sequence[Any]) -> list[Any]:
    found = list(results or ())
    if len(found) != len(asked):
        message = f"{len(found)} answers to {len(asked)} questions"
        raise DriverError(message, quality=Quality.MALFORMED, remedy="update the server")
    return found


def _nearest(word: str, names: Sequence[str]) -> str | None:
    by_name = {name.partition(":")[2].casefold(): name for name in names}
    found = get_close_matches(word.casefold(), by_name, 1, 0.6)
    return by_name[found[0]] if found else None


def _nothing(message: str, remedy: str) -> DriverError:
    return DriverError(message, kind=FailureKind.PERMANENT, quality=Quality.ADDRESS, remedy=remedy)
