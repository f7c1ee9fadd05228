"""The worker's transport: ``requests``, one request at a time."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests
from requests.auth import AuthBase

from airflow_provider_zilliant.api.client import Alone, Effect, Flow, Mask, Now, ReadConnection, Send, Sleep
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import NoReply, Reply, Request
from airflow_provider_zilliant.transports import mask

T = TypeVar("T")

#: Logins of this process go one at a time, so that the second finds the first one's token.
_login_lock = threading.Lock()


class KeepHeaders(AuthBase):
    """An authentication that does nothing.

    Without one, ``requests`` puts what ``~/.netrc`` says of the host over our ``Authorization``.
    """

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        return prepared


class ConnectionSession(requests.Session):
    """A session whose own ``verify`` and ``proxies`` count for more than the environment's variables."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        verify = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies or dict(self.proxies), stream, verify, cert)


class _Body(io.BytesIO):
    """A request body that knows whether any of it was handed to the connection.

    ``http.client`` sends the headers first and reads the body after them. So as long as nothing
    was read, whatever went wrong (name, proxy, TLS, connection), no server can have a whole POST.
    """

    left = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.left = True
        return super().read(size)


class BlockingTransport:
    """Drives flows with a kept ``requests`` session, one effect after the other.

    :param read_connection: reads the Airflow Connection.
    :param timeout: seconds to wait for the connection, and for each piece of the answer.
    """

    def __init__(self, read_connection: Callable[[], Environment], *, timeout: float) -> None:
        self._read_connection = read_connection
        self._timeout = timeout
        self._session = requests.Session()
        self._outgoing: tuple[Request, _Body | None] | None = None

    def drive(self, flow: Flow[T], *, sleep: Callable[[float], None] = time.sleep) -> T:
        """Performs the flow's effects one after the other and returns what it returns.

        :param sleep: lets seconds pass.
        """
        result: Any = None
        error: Exception | None = None
        try:
            while True:
                effect = flow.send(result) if error is None else flow.throw(error)
                try:
                    result, error = self._perform(effect, sleep), None
                except Exception as raised:
                    result, error = None, raised
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _perform(self, effect: Effect, sleep: Callable[[float], None]) -> Any:
        match effect:
            case Send(request):
                return self._send(request)
            case ReadConnection():
                return self._read_connection()
            case Now():
                return time.time()
            case Sleep(seconds):
                return sleep(seconds)
            case Mask(token):
                return mask(token)
            case Alone(flow):
                with _login_lock:
                    return self.drive(flow)

    def _send(self, request: Request) -> Reply | NoReply:
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
            )
        # Not RequestException alone: errors of urllib3 and of the codecs come through bare, and
        # whatever the reason, no answer is no answer.
        except Exception as error:
            cause = getattr(error.args[0], "reason", None) if error.args else None
            shown = cause if isinstance(cause, Exception) else error
            return NoReply.because(shown, request, sent=body is None or body.left)
        if response.status_code == 401:
            self._outgoing = None  # certainly not accepted, and a login and a second request may follow
        return Reply(response.status_code, response.headers, response.content, at=time.time(), secrets=request.secrets)

    def may_have_sent(self, path: str) -> bool:
        """Whether the last request was a POST to ``path`` whose body began to leave.

        For whoever was interrupted (a timeout, a signal) before an answer was in his hands.
        """
        if self._outgoing is None:
            return False
        request, body = self._outgoing
        return request.method == "POST" and request.url.endswith(path) and body is not None and body.left

    def close(self) -> None:
        self._session.close()
