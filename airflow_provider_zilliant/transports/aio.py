"""The triggerer's transport: ``aiohttp``, one session for all triggers of a connection in one event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from airflow_provider_zilliant.api.client import (
    Alone,
    Client,
    Effect,
    Flow,
    Mask,
    Now,
    ReadConnection,
    Send,
    Sleep,
)
from airflow_provider_zilliant.api.environment import Environment, Token
from airflow_provider_zilliant.api.http import NoReply, Reply, Request
from airflow_provider_zilliant.compat import connection_of, extra_of, in_thread
from airflow_provider_zilliant.transports import mask

T = TypeVar("T")

#: Connections that one session opens at most, and seconds that one request may take.
POOL_SIZE, REQUEST_TIMEOUT = 100, 60.0

log = logging.getLogger(__name__)


class AsyncTransport:
    """Drives flows with ``aiohttp`` and ``asyncio.sleep``; shared by all triggers of one connection.

    :param conn_id: id of the Airflow Connection.
    :param tokens: tokens that logins of this connection fetched in this event loop.
    """

    def __init__(self, conn_id: str, tokens: dict[Environment, Token]) -> None:
        self.client = Client(tokens)
        self.users = 0
        self._conn_id = conn_id
        self._alone, self._reading = asyncio.Lock(), asyncio.Lock()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=POOL_SIZE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT),
        )
        self._routes: dict[str, str | None] = {}
        self._contexts: dict[bool | str, ssl.SSLContext] = {}

    async def drive(self, flow: Flow[T]) -> T:
        """Performs the flow's effects one after the other and returns what it returns."""
        result: Any = None
        error: Exception | None = None
        try:
            while True:
                effect = flow.send(result) if error is None else flow.throw(error)
                # A thousand waits stand here: no frame is kept for a sleep but the sleep's own.
                if type(effect) is Sleep:
                    await asyncio.sleep(effect.seconds)
                    result = error = None
                    continue
                try:
                    result, error = await self._perform(effect), None
                except Exception as raised:
                    result, error = None, raised
        except StopIteration as stop:
            value: T = stop.value
            return value

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request):
                return await self._send(request)
            case ReadConnection():
                return await self._read_connection()
            case Now():
                return time.time()
            case Mask(token):
                # It tells the triggerer's parent over a blocking channel: not in the event loop.
                return await in_thread(mask, token)
            case Alone(flow):
                async with self._alone:
                    return await self.drive(flow)

    async def _send(self, request: Request) -> Reply | NoReply:
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
                ssl=await self._context(request),
                proxy=self._route(request),
            ) as response:
                body = await response.read()
        # Not ClientError alone: whatever the reason, no answer is no answer.
        except Exception as error:
            return NoReply.because(error, request, sent=True)
        return Reply(response.status, response.headers, body, at=time.time(), secrets=request.secrets)

    async def _context(self, request: Request) -> ssl.SSLContext | bool:
        """TLS as the worker's ``requests`` does it: the same authorities, the same environment variables."""
        verify = request.verify
        if verify is False or not request.url.startswith("https:"):
            return bool(verify)
        if verify not in self._contexts:
            async with self._reading:
                if verify not in self._contexts:
                    # Reading the authorities takes some 50 ms: not in the event loop.
                    self._contexts[verify] = await asyncio.to_thread(_context_of, verify)
        return self._contexts[verify]

    def _route(self, request: Request) -> str | None:
        """The proxy for this request's host, looked up once: aiohttp's own look-up costs a thread each time."""
        origin = "/".join(request.url.split("/", 3)[:3])
        if origin not in self._routes:
            given = request.proxies or {}
            proxies = {**get_environ_proxies(request.url, no_proxy=given.get("no_proxy")), **given}
            proxy = select_proxy(request.url, proxies)
            with_scheme = proxy if not proxy or "://" in proxy else f"http://{proxy}"
            self._routes[origin] = with_scheme or None
        return self._routes[origin]

    async def _read_connection(self) -> Environment:
        from airflow_provider_zilliant.hooks.zilliant import environment_from, readable, require_object

        with readable(self._conn_id):
            connection = await connection_of(self._conn_id)
            require_object(connection.extra)
            extra = await extra_of(connection)
        self._routes.clear()
        return environment_from(connection, extra, self._conn_id, warn=log.warning)

    async def close(self) -> None:
        await self._session.close()


def _context_of(verify: bool | str) -> ssl.SSLContext:
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    path = verify if isinstance(verify, str) else named or str(DEFAULT_CA_BUNDLE_PATH)
    is_folder = os.path.isdir(path)
    return ssl.create_default_context(cafile=None if is_folder else path, capath=path if is_folder else None)


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AsyncTransport]] = WeakKeyDictionary()
#: Tokens outlive the transports: the next trigger of a connection need not log in again.
_tokens: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, dict[Environment, Token]]] = WeakKeyDictionary()


def transport(conn_id: str) -> _Shared:
    """The connection's transport in this event loop: opened for the first that needs it, closed behind the last.

    :param conn_id: id of the Airflow Connection.
    :return: an asynchronous context manager.
    """
    return _Shared(conn_id)


class _Shared:
    """One user's hold on a transport. A generator would cost each of a thousand triggers a frame."""

    __slots__ = ("_conn_id", "_opened")

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    async def __aenter__(self) -> AsyncTransport:
        loop = asyncio.get_running_loop()
        of_loop = _shared.setdefault(loop, {})
        opened = of_loop.get(self._conn_id)
        if opened is None:
            tokens = _tokens.setdefault(loop, {}).setdefault(self._conn_id, {})
            opened = of_loop[self._conn_id] = AsyncTransport(self._conn_id, tokens)
        opened.users += 1
        self._opened = opened
        return opened

    async def __aexit__(self, *_: object) -> None:
        self._opened.users -= 1
        if self._opened.users == 0:
            del _shared[asyncio.get_running_loop()][self._conn_id]
            await self._opened.close()
