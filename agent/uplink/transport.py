"""HTTP to the platform: proxy, private CA, bounded in time and size. The only import of requests.

Only the configuration counts: proxies, CA bundles and passwords of the environment (``HTTPS_PROXY``,
``REQUESTS_CA_BUNDLE``, ``.netrc``) are not looked at, so that the agent does the same as a service and
in a shell. Redirects are not followed: a signed digest goes where it is addressed, or nowhere.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent import __version__
from agent.core.bounds import MAX_BODY
from agent.core.loopback import is_loopback
from agent.errors import GongfuError
from agent.uplink.answers import Answer as Answer  # what a request gives, for whoever makes one
from agent.uplink.dial import dial

if TYPE_CHECKING:
    import requests
    from urllib3.connection import HTTPConnection

CONNECT_S = 10.0
READ_S = 60.0
"""Longest silence within an answer."""
DEADLINE_S = 90.0
"""Longest time for a whole exchange: a platform that drips bytes must not hold the uplink (L24)."""
_CHUNK = 65_536
_ANSWER_LINE = 20
"""Bytes of an answer's first line and of the empty one behind its headers, about."""
_LINK = "check the address and this gateway's link (does it need [platform] proxy?), or the platform is down"


class Unreachable(GongfuError):
    """No whole answer was heard. ``sent``: bytes that may have left nevertheless; ``heard``: bytes that came."""

    def __init__(self, message: str, *, remedy: str = "", sent: int = 0, heard: int = 0) -> None:
        super().__init__(message, remedy=remedy)
        self.sent = sent
        self.heard = heard


def checked_url(url: str) -> str:
    """The platform's URL without a slash at its end. Raises GongfuError unless it is https, or http on loopback."""
    remedy = 'use "https://…"; http:// is accepted on loopback only'
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 — raises ValueError on nonsense
    except ValueError as error:
        raise GongfuError(f'platform url "{url}": {error}', remedy=remedy) from error
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise GongfuError(f'platform url "{url}" would send in the clear or nowhere', remedy=remedy)
    return url.rstrip("/")


def compress(body: bytes) -> bytes:
    """gzip without a time stamp: the same bytes give the same bytes."""
    return gzip.compress(body, mtime=0)


class Transport:
    """One platform. At most one exchange at a time; the connection is kept until :meth:`close`."""

    def __init__(
        self,
        url: str,
        *,
        ca_file: str = "",
        proxy: str = "",
        connect_s: float = CONNECT_S,
        read_s: float = READ_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.url = checked_url(url)
        self._ca_file = ca_file
        self._proxy = proxy
        self._timeout = (connect_s, read_s)
        self._deadline_s = deadline_s
        self._link: _Link | None = None

    @property
    def host(self) -> str:
        """Host and port of the platform."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    async def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One exchange, in a thread of its own. Raises Unreachable.

        When it is cancelled or too slow, its connection is cut and the thread left to end: it is a daemon,
        so that not even a name server that keeps silent keeps the agent from ending.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer] = loop.create_future()
        link = self._link = self._link or _Link(self._ca_file, self._proxy)

        def work() -> None:
            try:
                answer = self._exchange(link, method, path, headers or {}, body)
            except BaseException as error:  # noqa: BLE001 — not handled here: the waiting task raises it
                _tell(loop, done, done.set_exception, error)
            else:
                _tell(loop, done, done.set_result, answer)

        threading.Thread(target=work, name="uplink", daemon=True).start()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await done
        except TimeoutError as error:
            self._cut()
            sent = self.size(method, path, headers, body)
            message = f"no whole answer within {self._deadline_s:g} s"
            raise Unreachable(message, remedy=_LINK, sent=sent, heard=link.heard) from error
        except (Unreachable, asyncio.CancelledError):
            self._cut()
            raise

    def size(self, method: str, path: str, headers: Mapping[str, str] | None, body: bytes | None) -> int:
        """Bytes of such a request on the wire, as :attr:`Answer.sent` will say."""
        return _size(method, self.url + path, headers, body)

    def request_now(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One exchange for a command, without an event loop. Raises Unreachable."""
        self._link = self._link or _Link(self._ca_file, self._proxy)
        watch = threading.Timer(self._deadline_s, self._link.cut)
        watch.daemon = True
        watch.start()
        try:
            return self._exchange(self._link, method, path, headers, body)
        finally:
            watch.cancel()
            self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _cut(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.cut()

    def _exchange(self, link: _Link, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        import requests
        import urllib3.exceptions

        sent = self.size(method, path, headers, body)
        link.heard = 0
        try:
            with link.session().request(
                method,
                self.url + path,
                headers=dict(headers),
                data=body,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                names = {name.lower(): value for name, value in response.headers.items()}
                link.heard = _ANSWER_LINE + sum(len(name) + len(value) + 4 for name, value in names.items())
                content = _content(response, names.get("content-encoding", ""), link)
                return Answer(response.status_code, names, content, sent, link.heard)
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            trouble = self._explained(error, sent)
            trouble.heard = link.heard
            raise trouble from error

    def _explained(self, error: Exception, sent: int) -> Unreachable:
        """One clear line; longer stories of urllib3 stay in the chain of causes."""
        import requests

        host = self.host
        cause = self._redacted(_innermost(error))
        if isinstance(error, requests.exceptions.ProxyError):
            return Unreachable(f"the proxy does not let us through to {host}: {cause}", remedy="check [platform] proxy")
        if isinstance(error, requests.exceptions.SSLError):
            return Unreachable(
                f"TLS with {host} failed: {cause}",
                remedy="check [platform] ca_file (a private CA?), the platform's certificate, and this gateway's clock",
            )
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Unreachable(f"no connection to {host} within {self._timeout[0]:g} s", remedy=_LINK)
        if isinstance(error, requests.exceptions.ReadTimeout):
            return Unreachable(
                f"{host} took the request and fell silent for {self._timeout[1]:g} s", remedy=_LINK, sent=sent
            )
        if _never_connected(error):
            return Unreachable(f"no connection to {host}: {cause}", remedy=_LINK)
        if isinstance(error, OSError) and "TLS CA certificate" in str(error):
            return Unreachable(f"{self._ca_file} does not exist", remedy="check [platform] ca_file")
        return Unreachable(f"the connection to {host} broke: {cause}", remedy=_LINK, sent=sent)

    def _redacted(self, text: str) -> str:
        password = urlsplit(self._proxy).password if self._proxy else None
        return text.replace(password, "…") if password else text


class _Link:
    """A session and a second handle on its socket, by which another thread can cut it at any moment."""

    def __init__(self, ca_file: str, proxy: str) -> None:
        self._ca_file = ca_file
        self._proxy = proxy
        self._session: requests.Session | None = None
        self._handle: socket.socket | None = None
        self.heard = 0
        """Bytes of the answer that have come so far."""
        self._lock = threading.Lock()
        self._is_cut = False

    def session(self) -> requests.Session:
        """The session; made by the thread that uses it, because the import alone takes a while."""
        if self._session is None:
            import requests

            session = requests.Session()
            session.trust_env = False
            # Else the library reads the whole body of a redirect, and unpacks it without end, though none is followed.
            session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
            session.verify = self._ca_file or True
            if self._proxy:
                session.proxies = {"http": self._proxy, "https": self._proxy}
            session.headers.update(
                {"User-Agent": f"gongfu-edge/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"}
            )
            adapter = _watched_adapter(self._watch)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            self._session = session
        return self._session

    def _watch(self, connected: socket.socket) -> None:
        # TLS takes the socket object over, in the middle of the handshake. A duplicate of its
        # descriptor stays valid and shuts down the same connection.
        with self._lock:
            self._release()
            if self._is_cut:
                connected.close()
                raise ConnectionAbortedError("given up meanwhile")
            self._handle = connected.dup()

    def cut(self) -> None:
        """End whatever is under way, from any thread."""
        with self._lock:
            self._is_cut = True
            if self._handle is not None:
                with suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)
            self._release()

    def close(self) -> None:
        """Close at rest."""
        with self._lock:
            self._release()
        if self._session is not None:
            self._session.close()

    def _release(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _watched_adapter(watch: Callable[[socket.socket], None]) -> requests.adapters.HTTPAdapter:
    """An adapter that tells of each connected socket, before TLS and proxy have their say."""
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _dialled(self, watch)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _dialled(self, watch)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    pools = {"http": PlainPool, "https": SecurePool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **options)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter(pool_connections=1, pool_maxsize=1)


def _dialled(connection: HTTPConnection, watch: Callable[[socket.socket], None]) -> socket.socket:
    """A new connection over whichever of the host's addresses answers first, with urllib3's own errors."""
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

    timeout_s = connection.timeout if isinstance(connection.timeout, int | float) else CONNECT_S
    try:
        connected = dial(connection._dns_host, connection.port, timeout_s)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"no address answers within {timeout_s:g} s") from error
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error
    watch(connected)
    return connected


def _content(response: requests.Response, encoding: str, link: _Link) -> bytes:
    """The body, unpacked by our own hand: at most :data:`MAX_BODY` bytes, whatever comes and whatever the library's
    own decoder would make of it. What is longer is cut off, and makes no message.

    Raises ValueError for an encoding that was not asked for, and for damage.
    """
    if encoding.strip().lower() not in ("", "identity", "gzip"):
        raise ValueError(f"the answer is in an encoding that was not asked for: {encoding[:40]!r}")
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if encoding.strip().lower() == "gzip" else None
    content, came = bytearray(), 0
    while len(content) < MAX_BODY and came <= MAX_BODY:
        chunk = response.raw.read(_CHUNK, decode_content=False)
        if not chunk:
            break
        came += len(chunk)
        link.heard += len(chunk)
        try:
            content += inflater.decompress(chunk, MAX_BODY - len(content)) if inflater else chunk
        except zlib.error as error:
            raise ValueError(f"the answer is no gzip: {error}") from error
        if inflater is not None and inflater.eof:
            break
    return bytes(content[:MAX_BODY])


def _tell(
    loop: asyncio.AbstractEventLoop, done: asyncio.Future[Answer], tell: Callable[[Any], None], what: object
) -> None:
    def settle() -> None:
        if not done.done():
            tell(what)

    with suppress(RuntimeError):  # the loop was closed while the thread was still held up
        loop.call_soon_threadsafe(settle)


def _size(method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None) -> int:
    """Bytes of a request on the wire without TLS: request line, headers (requests adds some), body."""
    added = 160
    lines = sum(len(name) + len(value) + 4 for name, value in (headers or {}).items())
    return len(method) + len(url) + 12 + lines + added + len(body or b"")


def _innermost(error: BaseException) -> str:
    """The message of the first cause, which is what the operator can do something about."""
    seen: BaseException = error
    while True:
        nested = next((each for each in seen.args if isinstance(each, BaseException)), None)
        following = getattr(seen, "reason", None) or nested or seen.__cause__ or seen.__context__
        if not isinstance(following, BaseException):
            break
        seen = following
    text = getattr(seen, "verify_message", "") or getattr(seen, "strerror", None) or str(seen) or type(seen).__name__
    return " ".join(str(text).split())[:200]


def _never_connected(error: BaseException) -> bool:
    import urllib3.exceptions

    unreachable = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.NameResolutionError)
    seen: BaseException | None = error
    while seen is not None:
        reason = getattr(seen, "reason", None)
        nested = next((each for each in seen.args if isinstance(each, BaseException)), None)
        if isinstance(seen, unreachable):
            return True
        seen = reason if isinstance(reason, BaseException) else nested
    return False
