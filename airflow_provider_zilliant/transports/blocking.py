"""The worker's transport: ``requests``, one request at a time. It never suspends."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import requests
from requests.auth import AuthBase

from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import LONGEST_BODY, NoReply, Reply, Request
from airflow_provider_zilliant.transports.masking import mask, secrets_of_environment

T = TypeVar("T")

#: Logins of this process go one at a time, so that the second finds the first one's token.
_login_lock = threading.Lock()


class KeepHeaders(AuthBase):
    """An authentication that does nothing.

    Without one, ``requests`` replaces our ``Authorization`` by what ``~/.netrc`` says about the host.
    """

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        return prepared


class ConnectionSession(requests.Session):
    """A session whose own ``verify`` and ``proxies`` take precedence over environment variables."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        verify = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies or dict(self.proxies), stream, verify, cert)


class _Body(io.BytesIO):
    """A request body that knows whether any of it was handed to the connection.

    ``http.client`` sends the headers first and reads the body after them. As long as nothing was
    read, no server can have a whole POST, whatever went wrong (name, proxy, TLS, connection).
    """

    left = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.left = True
        return super().read(size)


class BlockingTransport:
    """Sends with a kept ``requests`` session, and blocks until the reply is there.

    :param read_connection: reads the Airflow Connection.
    :param timeout: seconds to wait for the connection, and for each piece of the reply.
    :param check_alive: called before every request, and every second of a sleep; raises to end the call.
    """

    def __init__(
        self, read_connection: Callable[[], Environment], *, timeout: float, check_alive: Callable[[], None]
    ) -> None:
        self._read_connection = read_connection
        self._timeout = timeout
        self._check_alive = check_alive
        self._session = requests.Session()
        self._proxies_secrets = secrets_of_environment()
        self._outgoing: tuple[Request, _Body | None] | None = None

    def now(self) -> float:
        return time.time()

    async def send(self, request: Request) -> Reply | NoReply:
        self._check_alive()
        body = _Body(request.body) if request.body is not None else None
        headers = dict(request.headers)
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        self._outgoing = (request, body)
        try:
            response = self._session.request(
                request.method,
                request.url,
                data=body,
                headers=headers,
                auth=KeepHeaders(),
                timeout=self._timeout,
                allow_redirects=False,
                verify=request.verify,
                proxies=dict(request.proxies) if request.proxies else None,
                stream=True,
            )
            with response:
                content = _read(response)
        # Not RequestException alone: errors of urllib3 and of the codecs come through bare, and
        # no reply is no reply, whatever the reason.
        except Exception as error:
            cause = getattr(error.args[0], "reason", None) if error.args else None
            shown = cause if isinstance(cause, Exception) else error
            sent = body is None or body.left
            return NoReply.because(shown, request, sent=sent, secrets=self._proxies_secrets)
        if response.status_code == 401:
            self._outgoing = None  # certainly not accepted, and a login and a second request may follow
        return Reply(
            response.status_code,
            response.headers,
            content,
            received_time=time.time(),
            secrets=request.secrets | self._proxies_secrets,
        )

    async def sleep(self, seconds: float, /) -> None:
        """In short steps: the signal with which Airflow kills a task does not end a sleep."""
        wake_time = time.monotonic() + seconds
        while (remaining := wake_time - time.monotonic()) > 0:
            self._check_alive()
            time.sleep(min(remaining, 1.0))  # noqa: ASYNC251 - a worker may block

    async def finish(self, call: Awaitable[T], by: float | None) -> T:
        return await call  # every part of it has a timeout of its own, and nothing here could interrupt it

    async def read_connection(self) -> Environment:
        return self._read_connection()

    async def compute(self, function: Callable[[], T], /) -> T:
        return function()

    async def mask(self, secrets: Iterable[str], /) -> None:
        mask(secrets)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        with _login_lock:
            yield

    def may_have_sent(self, path: str) -> bool:
        """Whether the last request was a POST to ``path`` whose body began to leave.

        For a call that was interrupted (by a timeout or a signal) before the reply arrived.
        """
        if self._outgoing is None:
            return False
        request, body = self._outgoing
        return request.method == "POST" and request.url.endswith(path) and body is not None and body.left

    def close(self) -> None:
        self._session.close()


def _read(response: requests.Response) -> bytes:
    body = b""
    for piece in response.iter_content(64 * 1024):
        body += piece
        if len(body) >= LONGEST_BODY:
            break
    return body[:LONGEST_BODY]
