"""The local API over HTTP: GET only, on the address of ``[console] listen``."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agent.console.api import Api, Reply, problem
from agent.console.guard import HEADERS, Listen
from agent.console.sources import Sources
from agent.errors import GongfuError

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import Response
    from aiohttp.web_server import Server

log = logging.getLogger(__name__)

STOP_DEADLINE_S = 1.0
"""How long an answer under way may take when the agent stops."""


class Console:
    """Serves the API and the page between :meth:`start` and :meth:`stop`."""

    def __init__(
        self, listen: str, sources: Sources, *, prescriptions: Callable[[], Sequence[Any]] | None = None
    ) -> None:
        """``listen``: ``host:port``; port 0 lets the system choose. Raises GongfuError when it is no address."""
        self._listen = Listen.parse(listen)
        self._api = Api(sources, prescriptions=prescriptions)
        self._http: Server | None = None
        self._listener: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port listened on; only between start and stop."""
        if self._listener is None:
            raise RuntimeError("not started")
        host, port = self._listener.sockets[0].getsockname()[:2]
        return host, port

    @property
    def serves(self) -> bool:
        """Whether it listens."""
        return self._listener is not None and self._listener.is_serving()

    async def start(self) -> None:
        """Listen. Raises GongfuError when the address is taken or not this machine's."""
        # Only what the low-level server needs, and only now: about 10 MB.
        from aiohttp.web_server import Server

        http = Server(self._handle, logger=_quiet_logger(), access_log=None, lingering_time=0, keepalive_timeout=30)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(http, self._listen.host, self._listen.port)
        except OSError as error:
            raise self._explain(error) from error
        self._http = http
        if not self._listen.loopback:
            log.warning("console: whoever reaches %s:%d can read every value", *self.address)

    async def stop(self) -> None:
        """Stop listening and end every connection; may be called twice or before start."""
        listener, self._listener = self._listener, None
        http, self._http = self._http, None
        if listener is None or http is None:
            return
        listener.close()
        await http.shutdown(STOP_DEADLINE_S)
        await listener.wait_closed()

    async def _handle(self, request: BaseRequest) -> Response:
        if not self._listen.admits(request.headers.get("Host")):
            reply = problem(421, "this address answers to localhost only")
        elif request.method != "GET":
            reply = Reply(b"", status=405, headers={"Allow": "GET"})
        else:
            reply = await self._api.answer(request.path, request.query)
        return _response(reply)

    def _explain(self, error: OSError) -> GongfuError:
        where = f"{self._listen.host}:{self._listen.port}"
        if error.errno == errno.EADDRINUSE:
            return GongfuError(
                f"the console cannot listen on {where}: another program does",
                remedy=f"see which: ss -ltnp 'sport = :{self._listen.port}', or set another [console] listen",
            )
        return GongfuError(
            f"the console cannot listen on {where}: {error.strerror or error}",
            remedy='set [console] listen to an address of this gateway, such as "127.0.0.1:8470"',
        )


def _quiet_logger() -> logging.Logger:
    """A logger that says what is wrong here, but not that a port scanner speaks no HTTP."""
    from aiohttp.http_exceptions import HttpProcessingError

    logger = logging.getLogger(f"{__name__}.http")
    logger.filters = [lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))]
    return logger


def _response(reply: Reply) -> Response:
    from aiohttp.web_response import Response

    headers = {**HEADERS, **reply.headers, "Content-Type": reply.content_type}
    return Response(body=reply.body, status=reply.status, headers=headers)
