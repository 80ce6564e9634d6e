"""A laboratory server: asyncua's, with nodes as a test describes them, driven by commands."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import socket
import time
from typing import Any

from asyncua import Server, ua
from asyncua.server.internal_server import InternalServer

from tests.support.opcua_faults import faults, status
from tests.support.opcua_values import data_value, variant

LIMIT_NODES = {
    "Read": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    "CreateMonitoredItems": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    "Browse": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    "TranslateBrowsePathsToNodeIds": (
        ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds
    ),
}


class Prepared(InternalServer):
    """A server whose standard nodes, slow to make, were made before this process was forked."""

    nodes: Any = None

    async def load_standard_address_space(self, shelffile: Any = None) -> None:
        """Take the nodes that are there."""
        self.aspace._nodes = type(self).nodes


class Lab:
    """One server and the commands it obeys: each public method is one, called with JSON values."""

    def __init__(self, port: int, plan: dict[str, Any]) -> None:
        self._port, self._plan = port, plan
        self._server = Server(iserver=Prepared(user_manager=_Users(plan["users"]) if plan.get("users") else None))
        self._kinds: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._uris: list[str] = []

    async def begin(self) -> None:
        """Build the nodes and listen."""
        server, plan = self._server, self._plan
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}/lab")
        server.set_server_name("Gongfu laboratory")
        await server.set_application_uri("urn:gongfu:lab:server")
        await self._secure(plan)
        for uri in plan["namespaces"]:
            await server.register_namespace(uri)
        self._uris = await server.get_namespace_array()
        server.iserver.min_session_timeout_ms = plan.get("min_session_timeout_ms", 5_000)
        await self.set(**plan.get("faults", {}))
        server.iserver.subscription_service._sub_id_counter = plan.get("first_subscription", 77)
        for node in plan["nodes"]:
            await self.add(**node)
        await server.start()
        if plan.get("ticking"):
            await self.tick([], plan["ticking"])

    async def _secure(self, plan: dict[str, Any]) -> None:
        policies = plan.get("policies") or ["NoSecurity"]
        self._server.set_security_policy([ua.SecurityPolicyType[name] for name in policies])
        if plan.get("certificate"):
            await self._server.load_certificate(plan["certificate"])
            await self._server.load_private_key(plan["private_key"])
        tokens = {"anonymous": ua.AnonymousIdentityToken, "username": ua.UserNameIdentityToken}
        tokens["certificate"] = ua.X509IdentityToken
        self._server.set_identity_tokens([tokens[name] for name in plan.get("tokens", ["anonymous"])])

    def node_id(self, node: str) -> ua.NodeId:
        """``nsu=URI;s=Load`` (or ``ns=2;…``) as the server has it now."""
        if not node.startswith("nsu="):
            return ua.NodeId.from_string(node)
        uri, _, rest = node.removeprefix("nsu=").partition(";")
        return ua.NodeId.from_string(f"ns={self._uris.index(uri)};{rest}")

    async def add(
        self, node: str, type: str, value: Any = None, path: list[str] | None = None, enum: list[str] | None = None
    ) -> None:
        """Add a variable below Objects, in the folders of ``path``; ``enum`` names the values of an Enumeration."""
        at, parent = self.node_id(node), self._server.nodes.objects
        *folders, name = path or [str(at.Identifier)]
        for folder in folders:
            parent = await self._folder(parent, at.NamespaceIndex, folder)
        first = variant(type, value)
        data_type = (await self._enumeration(enum)).nodeid if enum else None
        await parent.add_variable(at, ua.QualifiedName(name, at.NamespaceIndex), first, datatype=data_type)
        self._kinds[node], self._values[node] = type, value
        await self.write(node, value)

    async def _folder(self, parent: Any, index: int, name: str) -> Any:
        try:
            return await parent.get_child(f"{index}:{name}")
        except ua.UaStatusCodeError:
            return await parent.add_object(index, name)

    async def _enumeration(self, names: list[str]) -> Any:
        base = self._server.get_node(ua.ObjectIds.Enumeration)
        made = await base.add_data_type(1, f"Enumeration{len(self._kinds)}")
        texts = [ua.LocalizedText(name) for name in names]
        await made.add_property(0, "EnumStrings", texts)
        return made

    async def delete(self, node: str, quiet: bool = False) -> None:
        """Delete a node; monitored items are told so, unless ``quiet``, and stay dead when it comes again."""
        at = self.node_id(node)
        if not quiet:
            await self.write(node, None, code="BadNodeIdUnknown")
        aspace = self._server.iserver.aspace
        aspace._nodes[at].attributes[ua.AttributeIds.Value].datachange_callbacks.clear()
        await self._server.delete_nodes([self._server.get_node(at)])

    async def write(
        self, node: str, value: Any, code: str = "Good", source_us: int | None = -1, server_us: int | None = -1
    ) -> int:
        """Change a value; time stamps are the server's clock, None for none. The source's stamp is returned."""
        now = self.now_us()
        source = now if source_us == -1 else source_us
        value_of = data_value(self._kinds[node], value, status(code), source, now if server_us == -1 else server_us)
        self._values[node] = value
        write = ua.WriteValue(self.node_id(node), ua.AttributeIds.Value, Value=value_of)
        (result,) = await self._server.iserver.isession.write(ua.WriteParameters([write]))
        result.check()
        return source or 0

    async def write_many(self, values: dict[str, Any]) -> None:
        """Change many at once."""
        for node, value in values.items():
            await self.write(node, value)

    async def burst(self, node: str, values: list[Any]) -> None:
        """Change a value many times at once, faster than any queue is emptied."""
        for value in values:
            await self.write(node, value)

    async def tick(self, nodes: list[str], every_s: float = 0.1) -> None:
        """From now on add 1 to numbers all the time; every node of the server when none is named."""
        await self.still()
        chosen = nodes or [node for node, kind in self._kinds.items() if kind in ("Double", "Float", "Int32", "UInt32")]

        async def forever() -> None:
            for count in itertools.count(1):
                await asyncio.sleep(every_s)
                for node in chosen:
                    if self._values.get(node) is not None:
                        await self.write(node, self._values[node] + 1 if count else 0)

        self._ticking = asyncio.create_task(forever())

    async def still(self) -> None:
        """Stop what ``tick`` began."""
        if self._ticking:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
            self._ticking = None

    async def set(self, **wrong: Any) -> None:
        """Set faults; see :class:`~tests.support.opcua_faults.Faults`. ``limits`` are published as well."""
        for name, value in wrong.items():
            assert hasattr(faults, name), f"no such fault: {name}"
            value = [self.node_id(node).to_string() for node in value] if name == "mute" else value
            setattr(faults, name, value)
        for service, limit in wrong.get("limits", {}).items():
            node = self._server.get_node(ua.NodeId(LIMIT_NODES[service]))
            await node.write_value(ua.Variant(limit, ua.VariantType.UInt32))

    def losing(self) -> int:
        """How many publish responses are still to be lost."""
        return faults.lose

    async def expire_sessions(self) -> int:
        """Forget every session of a client, as after a time-out; their connections stay open."""
        sessions = list(self._server.iserver._external_sessions.values())
        for session in sessions:
            faults.expired.add(session.session_id)
            await session.close_session(True)
        return len(sessions)

    async def expire_subscriptions(self) -> int:
        """Forget every subscription; the sessions stay."""
        service = self._server.iserver.subscription_service
        return len(await service.delete_subscriptions(list(service.subscriptions)))

    def subscriptions(self) -> list[dict[str, Any]]:
        """What is subscribed now."""
        of = self._server.iserver.subscription_service.subscriptions.values()
        return [
            {
                "id": each.data.SubscriptionId,
                "interval_ms": each.data.RevisedPublishingInterval,
                "items": [
                    {
                        "node": item.read_value_id.NodeId.to_string(),
                        "queue": item.queue_size,
                        "filter": dataclasses.asdict(item.filter) if item.filter else None,
                    }
                    for item in each.monitored_item_srv._monitored_items.values()
                    if item.read_value_id is not None
                ],
            }
            for each in of
        ]

    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.bserver.clients) if self._server.bserver else 0

    def requests(self) -> dict[str, int]:
        """Service → how often it was asked for since the start or the last call."""
        counted = dict(faults.requests)
        faults.requests.clear()
        return counted

    def now_us(self) -> int:
        """The server's clock."""
        return time.time_ns() // 1000 + round(faults.clock_s * 1e6)

    async def end(self) -> None:
        """Say good-bye and stop listening."""
        await self.still()
        await self._server.stop()


class _Users:
    def __init__(self, users: dict[str, str]) -> None:
        self._users = users

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        """A user, or None for one who is not let in."""
        from asyncua.crypto.permission_rules import User, UserRole

        known = certificate is not None if username is None else self._users.get(username) == password
        return User(role=UserRole.User, name=username) if known else None


async def serve(control: socket.socket, port: int, plan: dict[str, Any]) -> None:
    """Run a server and obey commands, a JSON line each, until ``end`` or the other side hangs up."""
    reader, writer = await asyncio.open_connection(sock=control)
    lab = Lab(port, plan)
    await lab.begin()
    writer.write(b'{"ok": null}\n')
    while line := await reader.readline():
        name, arguments = json.loads(line)
        try:
            done = getattr(lab, name)(**arguments)
            answer: dict[str, Any] = {"ok": await done if asyncio.iscoroutine(done) else done}
        except (ua.UaError, AssertionError, LookupError, ValueError, TypeError, AttributeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(answer, default=str).encode() + b"\n")
        if name == "end":
            return
