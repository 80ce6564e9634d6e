"""Serve the machining centre over OPC UA, the way a controller does that follows OPC UA for Machinery."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from scripts.sandbox.plant.cnc import PROGRAM, Cnc, ItemState

MACHINERY = "http://opcfoundation.org/UA/Machinery/"
MACHINE = "urn:gongfu:plant:cnc-1"
_STATES = {ItemState.NOT_AVAILABLE: "NotAvailable", ItemState.OUT_OF_SERVICE: "OutOfService"}
_STATES |= {ItemState.NOT_EXECUTING: "NotExecuting", ItemState.EXECUTING: "Executing"}
_UNITS = {"%": "P1", "kW": "KWT", "kWh": "KWH", "mm": "MMT"}
"""Unit → its code by UNECE recommendation 20, from which OPC UA makes the unit's id."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the machine: where it is, what it is, and how it is read off the machine."""

    path: str
    type: str
    read: Callable[[Cnc], Any]
    unit: str = ""
    range: tuple[float, float] | None = None


VARIABLES = (
    Variable("Monitoring/SpindleLoad", "Double", lambda cnc: cnc.spindle_load, "%", (0.0, 120.0)),
    Variable("Monitoring/Power", "Double", lambda cnc: cnc.power, "kW"),
    Variable("Monitoring/Energy", "Double", lambda cnc: 3_120.25 + cnc.energy, "kWh"),
    Variable("Monitoring/AxisPositions", "Double", lambda cnc: list(cnc.axes), "mm"),
    Variable("Production/PartsProduced", "UInt32", lambda cnc: cnc.produced),
    Variable("Production/PartsGood", "UInt32", lambda cnc: cnc.good),
    Variable("Production/Program", "String", lambda cnc: PROGRAM),
    Variable("Notification/Alarm", "String", lambda cnc: cnc.alarm),
)
"""Each has the node id ``ns=…;s=`` and the last name of its path."""


class Machine:
    """The machine's nodes in a server that runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._nodes: list[tuple[Any, ua.VariantType, Callable[[Cnc], Any]]] = []
        self._shown: dict[Any, Any] = {}

    async def build(self, cnc: Cnc) -> None:
        """Make the nodes: ``Machines/cnc-1`` with state, monitoring, production and alarm."""
        machinery = await self._server.register_namespace(MACHINERY)
        own = await self._server.register_namespace(MACHINE)
        machines = await self._server.nodes.objects.add_object(machinery, "Machines")
        machine = await machines.add_object(ua.NodeId("cnc-1", own), ua.QualifiedName("cnc-1", own))
        await self._build_state(machine, machinery, own, cnc)
        folders: dict[str, Any] = {}
        for variable in VARIABLES:
            folder, _, name = variable.path.partition("/")
            if folder not in folders:
                folders[folder] = await machine.add_object(ua.NodeId(folder, own), ua.QualifiedName(folder, own))
            kind = ua.VariantType[variable.type]
            first = ua.Variant(variable.read(cnc), kind)
            node = await folders[folder].add_variable(ua.NodeId(name, own), ua.QualifiedName(name, own), first)
            self._nodes.append((node, kind, variable.read))
            await _describe(node, variable)

    async def _build_state(self, machine: Any, machinery: int, own: int, cnc: Cnc) -> None:
        blocks = await machine.add_object(
            ua.NodeId("MachineryBuildingBlocks", own), ua.QualifiedName("MachineryBuildingBlocks", machinery)
        )
        state = await blocks.add_object(
            ua.NodeId("MachineryItemState", own), ua.QualifiedName("MachineryItemState", machinery)
        )
        named = ua.Variant(ua.LocalizedText("NotAvailable", "en"), ua.VariantType.LocalizedText)
        current = await state.add_variable(ua.NodeId("CurrentState", own), ua.QualifiedName("CurrentState", 0), named)
        number = await current.add_property(
            ua.NodeId("CurrentState.Number", own), ua.QualifiedName("Number", 0), ua.Variant(0, ua.VariantType.UInt32)
        )
        text = ua.VariantType.LocalizedText
        self._nodes.append((current, text, lambda cnc: ua.LocalizedText(_STATES[cnc.state], "en")))
        self._nodes.append((number, ua.VariantType.UInt32, lambda cnc: int(cnc.state)))

    async def show(self, cnc: Cnc) -> None:
        """Bring the nodes' values up to the machine's, stamped now."""
        now = datetime.now(UTC)
        for node, kind, read in self._nodes:
            value = read(cnc)
            if self._shown.get(node) != value:
                stamped = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=now, ServerTimestamp=now)
                await self._server.write_attribute_value(node.nodeid, stamped)
                self._shown[node] = value


@asynccontextmanager
async def serving_opcua(cnc: Cnc, host: str, port: int) -> AsyncIterator[Machine]:
    """Serve until the block ends. Raises OSError when the port is taken."""
    # What its clients do wrong is their own trouble; a failure to start is raised.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://{host}:{port}/gongfu/plant")
    server.set_server_name("Gongfu simulated plant")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.set_application_uri("urn:gongfu:plant")
    machine = Machine(server)
    await machine.build(cnc)
    async with server:
        yield machine


async def _describe(node: Any, variable: Variable) -> None:
    """Unit and range, as browsers show them."""
    if variable.unit:
        # The unit's id is its code's characters as bytes, first one highest.
        number = int.from_bytes(_UNITS[variable.unit].encode(), "big")
        texts = {"DisplayName": ua.LocalizedText(variable.unit), "Description": ua.LocalizedText(variable.unit)}
        unit = ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", number, **texts)
        await node.add_property(0, "EngineeringUnits", unit)
    if variable.range:
        await node.add_property(0, "EURange", ua.Range(*variable.range))
