"""The services that are used, each a function of plain values: nothing here writes, calls or adds.

Read and Publish, which repeat for ever, are encoded by hand; the others go through the library.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import nodeid_to_binary

from drivers.contract import DriverError
from drivers.opcua import values
from drivers.opcua.client import Connection
from drivers.quality import Quality

NodeId = Any
"""A node id of the library; nobody else looks into it."""


def node_id(identifier: Any, namespace: Any = 0) -> NodeId:
    """A node id of any of the four kinds."""
    return ua.NodeId(identifier, namespace)


SERVER_STATE = node_id(ObjectIds.Server_ServerStatus_State)
SERVER_TIME = node_id(ObjectIds.Server_ServerStatus_CurrentTime)
_VALUE = AttributeIds.Value
_KNOWN = (
    ObjectIds.Server_NamespaceArray,
    ObjectIds.Server_ServerStatus_BuildInfo_ProductName,
    ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
)
_READ = ObjectIds.ReadRequest_Encoding_DefaultBinary
_PUBLISH = ObjectIds.PublishRequest_Encoding_DefaultBinary
_PUBLISHED = ObjectIds.PublishResponse_Encoding_DefaultBinary
_REPUBLISH = ObjectIds.RepublishRequest_Encoding_DefaultBinary
LONGEST_S = 86_400.0
"""An interval that a server revises to a longer one is taken as a day."""
_LONGEST_NAME, _LONGEST_URI = 100, 1000
_LATEST_S = 1e12
"""Of any time that a clock can tell."""
_PLAIN_HEADER = 28
"""Bytes of an answer's type id and header without diagnostics: the last seven say that there are none."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself."""

    namespaces: tuple[str, ...]
    """URIs by index."""
    product: str
    version: str
    most_read: int
    """Nodes a Read request; 0: no limit is known."""
    most_items: int
    """Monitored items a request; 0: no limit is known."""
    most_paths: int
    """Browse paths a request; 0: no limit is known."""


async def ask_facts(connection: Connection) -> ServerFacts:
    """What the server says of itself; what it does not say is empty or 0."""
    request = ua.ReadRequest()
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
    request.Parameters.NodesToRead = [ua.ReadValueId(node_id(number), _VALUE) for number in _KNOWN]
    answer = await connection.call(request, ua.ReadResponse)
    found = [each.Value.Value if each.Value else None for each in answer.Results or ()][: len(_KNOWN)]
    found += [None] * (len(_KNOWN) - len(found))
    uris, product, version, *limits = found
    namespaces = tuple(str(uri)[:_LONGEST_URI] for uri in uris) if isinstance(uris, list) else ()
    most = [limit if isinstance(limit, int) and limit > 0 else 0 for limit in limits]
    return ServerFacts(namespaces, _named(product), _named(version), *most)


def _named(value: Any) -> str:
    """A name for people, however long the server's is."""
    text = value if isinstance(value, str) else ""
    return "".join(each for each in text[:_LONGEST_NAME] if each.isprintable())


async def server_time(connection: Connection) -> int | None:
    """The server's clock: UTC microseconds; None where it does not tell."""
    with connection.classified("Read"):
        answer = values.read_response(await read(connection, _SERVER_TIME), 1)
    seconds = float(answer.value[0])
    return round(seconds * 1e6) if abs(seconds) < _LATEST_S else None


async def translate(connection: Connection, paths: Sequence[Sequence[tuple[int, str]]]) -> list[NodeId | int]:
    """Browse paths from the root, as (namespace, name) a step: the nodes, or the status codes."""
    request = ua.TranslateBrowsePathsToNodeIdsRequest()
    request.Parameters.BrowsePaths = [_path(steps) for steps in paths]
    answer = await connection.call(request, ua.TranslateBrowsePathsToNodeIdsResponse)
    return [_target(result) for result in _as_many(connection, answer.Results, paths)]


def _as_many(connection: Connection, results: Sequence[Any] | None, asked: Sequence[Any]) -> Sequence[Any]:
    found = results or ()
    if len(found) != len(asked):
        message = f"{connection.where}: {len(found)} answers to {len(asked)} questions"
        raise DriverError(message, quality=Quality.MALFORMED, remedy="update the server")
    return found


def _path(steps: Sequence[tuple[int, str]]) -> ua.BrowsePath:
    path = ua.BrowsePath()
    path.StartingNode = node_id(ObjectIds.RootFolder)
    for namespace, name in steps:
        step: Any = ua.RelativePathElement()
        step.ReferenceTypeId = node_id(ObjectIds.HierarchicalReferences)
        step.IncludeSubtypes, step.IsInverse = True, False
        step.TargetName = ua.QualifiedName(name, namespace)
        path.RelativePath.Elements.append(step)
    return path


def _target(result: ua.BrowsePathResult) -> NodeId | int:
    if result.StatusCode.is_bad() or not result.Targets:
        return int(result.StatusCode.value) or int(StatusCodes.BadNoMatch)
    target = result.Targets[0].TargetId
    return ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)


# -- reading -------------------------------------------------------------------------------------------


_READ_VALUE = struct.pack("<Ii", _VALUE, -1) + b"\0\0" + struct.pack("<i", -1)
"""Attribute, no index range, default encoding: namespace 0 and no name."""


def nodes_to_read(nodes: Iterable[NodeId]) -> bytes:
    """The part of a Read request that never changes: their values, with the source's time stamps."""
    each = [nodeid_to_binary(node) + _READ_VALUE for node in nodes]
    return struct.pack("<dii", 0.0, ua.TimestampsToReturn.Source, len(each)) + b"".join(each)


_SERVER_TIME, _SERVER_STATE = nodes_to_read([SERVER_TIME]), nodes_to_read([SERVER_STATE])


async def read(connection: Connection, nodes: bytes) -> bytes:
    """Ask for what :func:`nodes_to_read` prepared: the answer's bytes."""
    return await connection.exchange(connection.head(_READ, connection.timeout_s) + nodes, "Read")


def keep_alive(connection: Connection) -> None:
    """From now on look at the server now and then, however rarely anybody reads."""
    connection.keep_alive(lambda: connection.head(_READ, connection.timeout_s) + _SERVER_STATE)


# -- subscribing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """A subscription as the server made it."""

    id: int
    publishing_s: float
    keep_alive: int
    """So many publishing intervals without news, and it says so."""


async def subscribe(connection: Connection, publishing_s: float, keep_alive: int, lifetime_s: float) -> Terms:
    """Create a subscription that sends at least once in ``keep_alive`` publishing intervals."""
    request = ua.CreateSubscriptionRequest()
    wanted = request.Parameters
    wanted.RequestedPublishingInterval = publishing_s * 1000
    wanted.RequestedMaxKeepAliveCount = keep_alive
    wanted.RequestedLifetimeCount = max(10 * keep_alive, round(lifetime_s / publishing_s))
    wanted.MaxNotificationsPerPublish = 0
    wanted.PublishingEnabled = True
    made = (await connection.call(request, ua.CreateSubscriptionResponse)).Parameters
    revised_s = _seconds(made.RevisedPublishingInterval, publishing_s)
    return Terms(int(made.SubscriptionId), revised_s, int(made.RevisedMaxKeepAliveCount) or keep_alive)


def _seconds(milliseconds: float, wanted: float) -> float:
    """An interval as a server revised it; what is none means the one that was wanted."""
    found = float(milliseconds) / 1000
    return min(found, LONGEST_S) if math.isfinite(found) and found > 0 else wanted


@dataclass(frozen=True, slots=True)
class Wanted:
    """An item to monitor."""

    handle: int
    node: NodeId
    sampling_s: float
    queue: int
    deadband: float
    """Absolute; 0: every change."""


class Made(NamedTuple):
    """A monitored item as the server made it, or did not."""

    status: int
    id: int
    sampling_s: float


async def monitor(connection: Connection, subscription: int, items: Sequence[Wanted]) -> list[Made]:
    """Create monitored items."""
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
    request.Parameters.ItemsToCreate = [_item(item) for item in items]
    answer = await connection.call(request, ua.CreateMonitoredItemsResponse)
    return [
        Made(
            int(each.StatusCode.value),
            int(each.MonitoredItemId),
            _seconds(each.RevisedSamplingInterval, item.sampling_s),
        )
        for item, each in zip(items, _as_many(connection, answer.Results, items), strict=True)
    ]


def _item(item: Wanted) -> ua.MonitoredItemCreateRequest:
    made = ua.MonitoredItemCreateRequest()
    made.ItemToMonitor = ua.ReadValueId(item.node, _VALUE)
    made.MonitoringMode = ua.MonitoringMode.Reporting
    wanted = made.RequestedParameters
    wanted.ClientHandle, wanted.QueueSize, wanted.DiscardOldest = item.handle, item.queue, True
    wanted.SamplingInterval = item.sampling_s * 1000
    if item.deadband > 0:
        wanted.Filter = ua.DataChangeFilter(
            Trigger=ua.DataChangeTrigger.StatusValue,
            DeadbandType=int(ua.DeadbandType.Absolute),
            DeadbandValue=item.deadband,
        )
    return made


async def forget(connection: Connection, subscription: int, ids: Sequence[int]) -> None:
    """Delete monitored items; what is no longer there is no fault."""
    request = ua.DeleteMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.MonitoredItemIds = list(ids)
    await connection.call(request, ua.DeleteMonitoredItemsResponse)


def publish(connection: Connection, acknowledged: Sequence[tuple[int, int]]) -> bytes:
    """A Publish request; ``acknowledged``: (subscription, sequence number) of what has arrived."""
    acks = b"".join(struct.pack("<II", *each) for each in acknowledged)
    return connection.head(_PUBLISH, 0) + struct.pack("<i", len(acknowledged)) + acks


async def republish(connection: Connection, subscription: int, sequence: int) -> bytes:
    """A notification that did not arrive, once more: as the Publish answer that it was.

    Raises :class:`~drivers.opcua.client.Fault` when the server no longer has it.
    """
    head = connection.head(_REPUBLISH, connection.timeout_s)
    answer = await connection.exchange(head + struct.pack("<II", subscription, sequence), "Republish")
    if answer[:2] != b"\x01\x00" or answer[_PLAIN_HEADER - 7 : _PLAIN_HEADER].strip(b"\xff\x00"):
        raise DriverError(f"{connection.where}: the answer to Republish is not understood", quality=Quality.MALFORMED)
    before = struct.pack("<Ii?", subscription, 0, False)
    header, message = answer[4:_PLAIN_HEADER], answer[_PLAIN_HEADER:]
    return b"\x01\x00" + struct.pack("<H", _PUBLISHED) + header + before + message + struct.pack("<ii", 0, 0)
