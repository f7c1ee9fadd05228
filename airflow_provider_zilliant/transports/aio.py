"""The triggerer's transport: ``aiohttp``, one session for all triggers of a connection in one event loop."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import LONGEST_BODY, NoReply, Reply, Request
from airflow_provider_zilliant.api.login_care import Logins
from airflow_provider_zilliant.compat import in_thread
from airflow_provider_zilliant.connection import reading
from airflow_provider_zilliant.transports.masking import mask, secrets_of_environment

T = TypeVar("T")

#: The most connections that one session opens, and the seconds that one request may take.
POOL_SIZE, REQUEST_TIMEOUT = 100, 60.0


class AsyncTransport:
    """Sends with one ``aiohttp`` session.

    :param conn_id: id of the Airflow Connection.
    """

    #: A thousand waits stand here, so a sleep keeps no frame but its own.
    sleep = staticmethod(asyncio.sleep)

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._exclusive, self._loading = asyncio.Lock(), asyncio.Lock()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=POOL_SIZE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT),
        )
        self._proxies_secrets = secrets_of_environment()
        self._known: Environment | None = None
        self._routes: dict[tuple[object, ...], str | None] = {}
        self._tls_contexts: dict[bool | str, ssl.SSLContext] = {}

    def now(self) -> float:
        return time.time()

    async def send(self, request: Request) -> Reply | NoReply:
        headers = request.headers
        if request.content_type is not None:
            headers = {**headers, "Content-Type": request.content_type}
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=headers,
                allow_redirects=False,
                ssl=await self._tls(request.verify) if request.url.startswith("https:") else True,
                proxy=self._route(request),
            ) as response:
                body = await _read(response)
        # Not ClientError alone: no reply is no reply, whatever the reason.
        except Exception as error:
            return NoReply.because(error, request, sent=True, secrets=self._proxies_secrets)
        secrets = request.secrets | self._proxies_secrets
        return Reply(response.status, response.headers, body, received_time=time.time(), secrets=secrets)

    async def finish(self, call: Awaitable[T], by: float | None) -> T:
        async with asyncio.timeout(by - time.time() if by is not None else None):
            return await call

    async def read_connection(self) -> Environment:
        self._known = await reading.read_in_triggerer(self._conn_id, self._known)
        return self._known

    async def compute(self, function: Callable[[], T], /) -> T:
        return await asyncio.to_thread(function)

    async def mask(self, secrets: Iterable[str], /) -> None:
        # It tells the triggerer's parent process over a blocking channel: not in the event loop.
        await in_thread(mask, secrets)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._exclusive:
            yield

    async def close(self) -> None:
        await self._session.close()

    async def _tls(self, verify: bool | str) -> ssl.SSLContext | bool:
        """TLS the way the worker's ``requests`` does it: the same authorities, the same environment variables."""
        if verify is False:
            return False
        if verify not in self._tls_contexts:
            async with self._loading:
                if verify not in self._tls_contexts:
                    # Reading the authorities takes some 50 ms: not in the event loop.
                    self._tls_contexts[verify] = await asyncio.to_thread(_load_authorities, verify)
        return self._tls_contexts[verify]

    def _route(self, request: Request) -> str | None:
        """The proxy for this request's host, looked up once: aiohttp's own look-up costs a thread each time."""
        given = request.proxies or {}
        key = "/".join(request.url.split("/", 3)[:3]), *given.items()
        if key not in self._routes:
            proxies = {**get_environ_proxies(request.url, no_proxy=given.get("no_proxy")), **given}
            proxy = select_proxy(request.url, proxies)
            with_scheme = proxy if not proxy or "://" in proxy else f"http://{proxy}"
            self._routes[key] = with_scheme or None
        return self._routes[key]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while len(body) < LONGEST_BODY and (piece := await response.content.read(LONGEST_BODY - len(body))):
        body += piece
    return body


def _load_authorities(verify: bool | str) -> ssl.SSLContext:
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    path = verify if isinstance(verify, str) else named or str(DEFAULT_CA_BUNDLE_PATH)
    is_folder = os.path.isdir(path)
    return ssl.create_default_context(cafile=None if is_folder else path, capath=path if is_folder else None)


class _Opened:
    """A client, and how many triggers use it."""

    def __init__(self, conn_id: str, logins: Logins) -> None:
        self.transport = AsyncTransport(conn_id)
        self.client = Client(self.transport, logins)
        self.users = 0


_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Opened]] = WeakKeyDictionary()
#: Logins outlive the sessions: the next trigger of a connection need not log in again.
_logins: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Logins]] = WeakKeyDictionary()


class SharedClient:
    """``async with SharedClient(conn_id) as client``: the connection's one client in this event loop.

    It is opened for the first trigger that needs it and closed after the last. A generator instead of
    this class would cost each of a thousand triggers a frame.

    :param conn_id: id of the Airflow Connection.
    """

    __slots__ = ("_conn_id", "_mine")

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    async def __aenter__(self) -> Client:
        loop = asyncio.get_running_loop()
        opened = _opened.setdefault(loop, {})
        if self._conn_id not in opened:
            logins = _logins.setdefault(loop, {}).setdefault(self._conn_id, {})
            opened[self._conn_id] = _Opened(self._conn_id, logins)
        self._mine = opened[self._conn_id]
        self._mine.users += 1
        return self._mine.client

    async def __aexit__(self, *_: object) -> None:
        self._mine.users -= 1
        if self._mine.users == 0:
            del _opened[asyncio.get_running_loop()][self._conn_id]
            await self._mine.transport.close()
