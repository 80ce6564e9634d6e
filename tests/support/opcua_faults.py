"""An asyncua server that misbehaves on demand: what it refuses, delays, loses, forgets and hides."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server import address_space, binary_server_asyncio, internal_server, subscription_service
from asyncua.server import internal_subscription as subscriptions
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary

_SUFFIX = "Request_Encoding_DefaultBinary"
SERVICES = {
    number: name.removesuffix(_SUFFIX) for name, number in vars(ua.ObjectIds).items() if str(name).endswith(_SUFFIX)
}
"""Type id of a request's binary encoding → the service's name."""
OVERFLOW = 0x480
"""Info bits of a value that follows values which were dropped."""


@dataclasses.dataclass
class Faults:
    """What is wrong with the server now; nothing at the start."""

    refuse: dict[str, str] = dataclasses.field(default_factory=dict)
    """Service → name of the status code it is refused with."""
    delay: dict[str, float] = dataclasses.field(default_factory=dict)
    """Service → seconds before it is answered; everything behind it on the same connection waits."""
    limits: dict[str, int] = dataclasses.field(default_factory=dict)
    """Service → how many operations a call may have (Read, CreateMonitoredItems)."""
    refuse_filter: str = ""
    """Status code for each monitored item that comes with a filter."""
    lose: int = 0
    """How many of the next publish responses with data never leave, though their sequence numbers are spent."""
    forget: bool = False
    """What was lost cannot be had again: Republish is refused."""
    silent: bool = False
    """Publish requests are taken and never answered; all other services work."""
    frozen: bool = False
    """Subscriptions send keep-alives only, whatever changes."""
    mute: list[str] = dataclasses.field(default_factory=list)
    """Nodes that can be monitored and then say nothing, not even their first value."""
    clock_s: float = 0.0
    """How far the server's clock is off."""
    expired: set[Any] = dataclasses.field(default_factory=set)
    """Sessions that the server no longer knows."""
    requests: Counter[str] = dataclasses.field(default_factory=Counter)
    """Services that were asked for."""


faults = Faults()


def install() -> None:
    """Let every server made in this process from now on have :data:`faults`."""
    binary_server_asyncio.UaProcessor = _Processor  # type: ignore[misc]
    subscription_service.InternalSubscription = _Subscription  # type: ignore[misc]
    subscriptions.MonitoredItemService = _Items  # type: ignore[misc]
    internal_server.datetime = address_space.datetime = Clock  # type: ignore[misc, assignment]


class Clock(datetime):
    """The server's own clock."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        """The time, off by what the test wants."""
        return datetime.now(tz) + timedelta(seconds=faults.clock_s)


def status(name: str) -> int:
    """The number of a status code."""
    return int(getattr(ua.StatusCodes, name))


class _Processor(UaProcessor):
    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        service = SERVICES.get(typeid.Identifier, str(typeid.Identifier))
        faults.requests[service] += 1
        if seconds := faults.delay.get(service):
            await asyncio.sleep(seconds)
        if name := faults.refuse.get(service):
            raise ServiceError(status(name))
        if self.session is not None and self.session.session_id in faults.expired:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if service == "Read" and (limit := faults.limits.get(service)):
            asked = struct_from_binary(ua.ReadParameters, body.copy())
            if len(asked.NodesToRead) > limit:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        return await super()._process_message(typeid, requesthdr, seqhdr, body)

    async def forward_publish_response(self, result: Any, requestdata: Any) -> None:
        if faults.silent:
            return
        if faults.lose and result.NotificationMessage.NotificationData:
            faults.lose -= 1
            self._publish_requests.appendleft(requestdata)
            return
        await super().forward_publish_response(result, requestdata)


class _Subscription(InternalSubscription):
    def republish(self, nb: int) -> Any:
        if faults.forget or nb not in self._not_acknowledged_results:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return self._not_acknowledged_results[nb].NotificationMessage

    async def _enqueue_event(self, mid: int, eventdata: Any, size: int, queue: dict[int, list[Any]]) -> None:
        if faults.frozen:
            return
        full = size > 1 and len(queue.get(mid, ())) >= size
        await super()._enqueue_event(mid, dataclasses.replace(eventdata), size, queue)
        if full:
            # The library drops the oldest without a word; a server says so on the one behind it.
            oldest = queue[mid][0]
            flagged = ua.StatusCode((oldest.Value.StatusCode or ua.StatusCode()).value | OVERFLOW)
            oldest.Value = dataclasses.replace(oldest.Value, StatusCode=flagged)


class _Items(MonitoredItemService):
    async def create_monitored_items(self, params: Any) -> Any:
        limit = faults.limits.get("CreateMonitoredItems")
        if limit and len(params.ItemsToCreate) > limit:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        return await super().create_monitored_items(params)

    async def _create_data_change_monitored_item(self, params: Any) -> Any:
        if faults.refuse_filter and params.RequestedParameters.Filter:
            refused = ua.MonitoredItemCreateResult()
            refused.StatusCode = ua.StatusCode(status(faults.refuse_filter))
            return refused
        return await super()._create_data_change_monitored_item(params)

    async def trigger_datachange(self, handle: int, nodeid: Any, attr: Any) -> None:
        if nodeid.to_string() not in faults.mute:
            await super().trigger_datachange(handle, nodeid, attr)

    def _is_deadband_exceeded(self, values: Any, flt: Any) -> bool:
        # The library compares with the value before, the standard with the value that was told last.
        told = values.__dict__.setdefault("told", values.old_dvalue)
        values.old_dvalue = told
        passed = super()._is_deadband_exceeded(values, flt)
        if passed:
            values.__dict__["told"] = values.current_dvalue
        return passed

    async def datachange_callback(self, handle: int, value: Any, error: Any = None) -> None:
        node = self._monitored_items[self._monitored_datachange[handle]].read_value_id
        if node is None or node.NodeId.to_string() not in faults.mute:
            await super().datachange_callback(handle, value, error)
