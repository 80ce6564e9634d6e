"""The secure channel of a client: connected, opened and renewed."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import create_nonce

from drivers import resolve
from drivers.opcua.options import Options
from drivers.opcua.transport import Transport

LIFETIME_S = 3600.0
"""Of a channel's token, as it is asked for."""


async def connect(client: Client, options: Options) -> Transport:
    """Connect and exchange limits; raises OSError, TimeoutError, or what :class:`Transport` raises."""
    low = client.uaclient
    transport = Transport(options.timeout_s, low.security_policy)
    low.protocol = transport
    # Not through the library, whose waiting can swallow a cancellation on Python 3.11.
    socket = await resolve.connect(options.host, options.port, options.timeout_s)
    try:
        await asyncio.get_running_loop().create_connection(lambda: transport, sock=socket)
    except BaseException:
        socket.close()
        raise
    await transport.greet(client.server_url.geturl())
    return transport


async def open_channel(client: Client) -> float:
    """Open the secure channel: seconds that its token is good for."""
    transport = _transport(client)
    async with asyncio.timeout(transport.timeout):
        token = await transport.open_channel(_parameters(client, ua.SecurityTokenRequestType.Issue))
    return lifetime_s(token)


def renew(client: Client) -> asyncio.Future[ua.ChannelSecurityToken]:
    """Ask for a new token; the transport uses it when it has come."""
    return _transport(client).open_channel(_parameters(client, ua.SecurityTokenRequestType.Renew))


def lifetime_s(token: ua.ChannelSecurityToken) -> float:
    """Seconds that a token is good for; a server that says none means what was asked for."""
    return int(token.RevisedLifetime) / 1000 or LIFETIME_S


def _transport(client: Client) -> Transport:
    protocol: Any = client.uaclient.protocol
    if not isinstance(protocol, Transport):
        raise ConnectionError("connection lost")
    return protocol


def _parameters(client: Client, kind: ua.SecurityTokenRequestType) -> ua.OpenSecureChannelParameters:
    policy, params = client.security_policy, ua.OpenSecureChannelParameters()
    params.ClientProtocolVersion, params.RequestType = 0, kind
    params.SecurityMode, params.RequestedLifetime = policy.Mode, int(LIFETIME_S * 1000)
    # As long as the key of the symmetric encryption.
    params.ClientNonce = create_nonce(policy.secure_channel_nonce_length)
    return params
