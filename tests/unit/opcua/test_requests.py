"""Requests that repeat are encoded by hand, and are what the library would have sent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Context
from drivers.opcua import services, values
from drivers.opcua.client import Connection
from drivers.opcua.options import Options
from drivers.opcua.transport import Transport
from tests.support.opcua_answers import publish_bytes, read_bytes, same_publish

TOKEN = ua.NodeId(ua.ByteString(b"\x07" * 32), 0, ua.NodeIdType.ByteString)
NODES = [
    ua.NodeId(84, 0),
    ua.NodeId(2258, 0),
    ua.NodeId(70_000, 2),
    ua.NodeId(5, 300),
    ua.NodeId("主轴.Load", 2),
    ua.NodeId(UUID("09087e75-8e5e-499b-954f-f2a9603db28a"), 3),
    ua.NodeId(b"\x00\xff", 4),
]


class Recording(Connection):
    """A connection that is open to nobody: what would be sent is kept."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__(Options(url="opc.tcp://127.0.0.1:4840", timeout="4s"), Context(device="cnc-1", now=lambda: 0))
        self._client.uaclient.protocol = transport = Transport(4.0, self._client.security_policy)
        transport.transport = asyncio.Transport()
        self._token = nodeid_to_binary(TOKEN)
        self.sent: list[bytes] = []
        self.answer = answer

    async def exchange(self, request: bytes, service: str) -> bytes:
        self.sent.append(request)
        return self.answer


def as_the_library_sends(sent: bytes, request: Any, timeout_s: float, handle: int) -> bytes:
    """The library's bytes for a request; the time stamp is that of what was sent, which must be now."""
    found = struct_from_binary(type(request), Buffer(sent)).RequestHeader
    assert abs((datetime.now(UTC) - found.Timestamp).total_seconds()) < 60
    header = request.RequestHeader
    header.Timestamp, header.AuthenticationToken = found.Timestamp, TOKEN
    header.RequestHandle, header.TimeoutHint = handle, int(timeout_s * 1000)
    body = bytes(struct_to_binary(request))
    stamp = 4 + len(nodeid_to_binary(TOKEN))
    # The library's times have microseconds only, the wire's a digit more.
    return body[:stamp] + sent[stamp : stamp + 8] + body[stamp + 8 :]


def read_request(nodes: list[ua.NodeId]) -> ua.ReadRequest:
    request = ua.ReadRequest()
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
    request.Parameters.NodesToRead = [ua.ReadValueId(node, ua.AttributeIds.Value) for node in nodes]
    return request


async def test_a_read_request_is_encoded_once_and_only_its_header_changes() -> None:
    connection = Recording()
    nodes = services.nodes_to_read(NODES)
    for _ in range(3):
        await services.read(connection, nodes)
    for handle, sent in enumerate(connection.sent, 1):
        assert sent == as_the_library_sends(sent, read_request(NODES), 4.0, handle)
        assert sent.endswith(nodes)
    assert len(set(connection.sent)) == 3


@given(
    st.lists(
        st.builds(ua.NodeId, st.integers(0, 2**32 - 1), st.integers(0, 65535))
        | st.builds(ua.NodeId, st.text(min_size=1), st.integers(0, 65535))
        | st.builds(ua.NodeId, st.uuids() | st.binary(min_size=1), st.integers(0, 65535)),
        max_size=9,
    )
)
def test_any_nodes_are_asked_for_as_the_library_does(nodes: list[ua.NodeId]) -> None:
    assert services.nodes_to_read(nodes) == struct_to_binary(read_request(nodes).Parameters)


@pytest.mark.parametrize("acknowledged", [[], [(77, 1)], [(77, 4_294_967_295), (78, 2)]])
async def test_a_publish_request_is_what_the_library_sends(acknowledged: list[tuple[int, int]]) -> None:
    request = ua.PublishRequest()
    request.Parameters.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(*each) for each in acknowledged]
    sent = services.publish(Recording(), acknowledged)
    assert sent == as_the_library_sends(sent, request, 0.0, 1)


async def test_a_republished_notification_is_read_like_the_answer_that_was_lost() -> None:
    value = ua.DataValue(ua.Variant(1.5), SourceTimestamp=datetime(2026, 3, 1, tzinfo=UTC))
    lost = publish_bytes([(3, value), (4, value)], subscription=77, sequence=9, available=(), results=())
    message = struct_from_binary(ua.PublishResponse, Buffer(lost)).Parameters.NotificationMessage
    answer = ua.RepublishResponse()
    answer.NotificationMessage = message
    connection = Recording(bytes(struct_to_binary(answer)))
    found = await services.republish(connection, 77, 9)
    assert same_publish(values.publish_response(found), values.publish_response(lost))
    request = ua.RepublishRequest()
    request.Parameters = ua.RepublishParameters(77, 9)
    assert connection.sent == [as_the_library_sends(connection.sent[0], request, 4.0, 1)]


async def test_the_servers_clock_is_read_to_the_microsecond() -> None:
    answer = read_bytes([ua.DataValue(ua.Variant(datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)))])
    assert await services.server_time(Recording(answer)) == 1_772_366_400_123_456
