"""The wire: Zilliant's engine behind gateways that fail, as ``requests`` and ``aiohttp`` sessions see them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import requests

from airflow_provider_zilliant.sandbox.engine import Zilliant
from airflow_provider_zilliant.sandbox.faults import Refused

if TYPE_CHECKING:
    from tests.simulation.airflow import Worker
    from tests.simulation.life import Life

PATH = "/v1/JobWorkflow/Authorized"
LOGIN = "/services/oauth2/token"
HTML = b"<html><title>Welcome to the gateway</title></html>"

#: What a gateway answers by itself, without asking Zilliant: status and body.
GATEWAY: dict[str, tuple[int, bytes]] = {
    "404 json": (404, b'{"message": "no route"}'),
    "404 page": (404, HTML),
    "502": (502, HTML),
    "503": (503, b'{"message": "unavailable"}'),
    "504": (504, HTML),
    "408": (408, b""),
    "429": (429, b"slow down"),
    "401": (401, b""),
    "403": (403, b'{"message": "forbidden"}'),
    "500": (500, b'{"message": "failed"}'),
    "301": (301, b""),
    "422": (422, b'{"message": "unprocessable"}'),
    "400": (400, b'{"message": "bad"}'),
}

#: What can happen to a POST, with weights; ``None``: nothing.
POST_FAULTS = {
    **dict.fromkeys(("refused", "drop", "lost", "hang", "cut", "garbage", "empty", "504 later", "502 later"), 3),
    **dict.fromkeys(GATEWAY, 1),
    "echo": 6,
    "400": 3,
}
GET_FAULTS = {**dict.fromkeys(("refused", "lost", "cut", "garbage", "echo"), 2), **dict.fromkeys(GATEWAY, 1)}
LOGIN_FAULTS = {**dict.fromkeys(("refused", "lost", "garbage", "echo"), 2), "503": 2, "400": 2}


class Place:
    """One environment of Zilliant, at one address.

    :param url: where it is.
    """

    def __init__(self, life: Life, url: str) -> None:
        self.life = life
        self.url = url
        self.engine = Zilliant(clock=lambda: life.world.now)
        #: From when to when something in front of it answers, and what.
        self.windows: list[tuple[float, float, str]] = []

    def window(self) -> str | None:
        now = self.life.world.now
        for begin, end, kind in self.windows:
            if begin <= now < end:
                return kind
        return None

    def serve(self, worker: Worker | None, method: str, path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        """What Zilliant itself answers; as ``sandbox.server``, without the server."""
        try:
            if path == LOGIN:
                return 200, json.dumps(self.engine.issue_token(dict(parse_qsl(body.decode())))).encode()
            self.engine.authorize(headers.get("Authorization"), headers.get("X-Forwarded-Host"))
            if method == "POST":
                asked = json.loads(body)
                job = self.engine.submit(asked)
                self.life.accepted(worker, self, job, asked)
                return 202, json.dumps({"jobId": job.job_id}).encode()
            return 200, json.dumps(self.engine.status(path.split("/")[-2])).encode()
        except Refused as refused:
            return refused.status, b"" if refused.status == 401 else json.dumps(refused.body).encode()


class Response:
    """As much of a reply as the transports look at."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.status_code = self.status = status
        self.content = body
        self.headers = headers or {}

    async def read(self) -> bytes:
        return self.content

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


def _echo(headers: Any, body: bytes, proxies: Any) -> bytes:
    """A gateway that repeats what it was sent, secrets included."""
    told = str(headers.get("Authorization", ""))
    with contextlib.suppress(ValueError):
        told += " " + base64.b64decode(told.partition(" ")[2], validate=True).decode()
    if proxies:
        user = urlsplit(next(iter(proxies.values()))).netloc.rpartition("@")[0]
        told += " Proxy-Authorization: Basic " + base64.b64encode(user.encode()).decode()
    return json.dumps({"message": f"{told} {body.decode()}"}).encode()


def _kind(method: str, path: str) -> str:
    return "login" if path == LOGIN else "post" if method == "POST" else "get"


_TABLES = {"post": POST_FAULTS, "get": GET_FAULTS, "login": LOGIN_FAULTS}


class Session:
    """In place of ``requests.Session``: what :class:`BlockingTransport` sends with."""

    life: Life

    def close(self) -> None:
        """Nothing is open."""

    def request(
        self, method: str, url: str, *, data: Any, headers: Any, timeout: float, proxies: Any, **_: Any
    ) -> Response:
        life = self.life
        worker: Any = life.world.machine
        origin, path = url[:21], url[21:]
        kind = _kind(method, path)
        place = life.places.get(origin)
        worker.enters(kind)
        worker.effect(f"{kind}.connect")
        window = place.window() if place is not None else None
        fault = window or worker.fault(kind, _TABLES[kind])
        if place is None or fault == "refused":
            worker.wait(life.latency, "request")
            life.meet(f"crash: {kind} no connection")
            raise requests.ConnectionError("connection refused")
        body = b""
        if data is not None:
            if kind == "post":
                worker.begins_post(place, data.getvalue())
            body = data.read()
        reply: list[tuple[int, bytes]] = []
        cancelled: list[bool] = []
        own = fault in GATEWAY
        if fault == "404 json" and kind == "get":
            life.meet("item 5")
        if fault == "echo" and proxies:
            life.meet("item 15")

        def process() -> None:
            if not cancelled:
                reply.append(place.serve(worker, method, path, headers, body))

        if not own and fault not in ("drop", "hang", "echo"):
            life.world.after(life.latency / 2, process)
        try:
            worker.effect(f"{kind}.sent")
            if fault == "drop":
                worker.wait(life.latency, "request")
                raise requests.ConnectionError("connection reset")
            if fault in ("hang", "lost"):
                worker.wait(timeout if fault == "hang" or life.slow_loss else life.latency, "request")
                raise requests.ReadTimeout("read timed out")
            worker.wait(life.latency, "request")
        except BaseException:
            if not reply and life.world.dice.random() < 0.5:
                cancelled.append(True)  # the connection broke before the whole of it had arrived
            raise
        if fault == "echo":
            result = Response(502 if kind == "post" else 400, _echo(headers, body, proxies))
        elif own:
            result = Response(*GATEWAY[str(fault)], {"retry-after": "300"} if fault in ("429", "503") else None)
            if fault == "301":
                result.headers["location"] = "https://elsewhere.example/"
        elif fault in ("504 later", "502 later"):
            result = Response(int(str(fault)[:3]), HTML)
        else:
            result = Response(*reply[0])
            if fault == "cut":
                life.meet(f"crash: {kind} cut")
                raise requests.exceptions.ChunkedEncodingError("connection broken")
            if fault == "garbage" and result.status < 300:
                result = Response(result.status, HTML)
            elif fault == "empty" and result.status < 300:
                result = Response(result.status, b"")
        life.meet(f"crash: {kind} {result.status}" + (" unreadable" if fault in ("garbage", "empty") else ""))
        worker.effect(f"{kind}.reply")
        if kind == "post":
            worker.got_reply(result)
        return result


class AsyncSession:
    """In place of ``aiohttp.ClientSession``."""

    life: Life

    def __init__(self, **_: Any) -> None:
        self.closed = False

    def request(self, method: str, url: str, **how: Any) -> _Exchange:
        return _Exchange(self.life, method, url, how)

    async def close(self) -> None:
        self.closed = True


class _Exchange:
    def __init__(self, life: Life, method: str, url: str, how: dict[str, Any]) -> None:
        self.life, self.method, self.url, self.how = life, method, url, how

    async def __aexit__(self, *_: object) -> None:
        """Nothing to give back."""

    async def __aenter__(self) -> Response:
        life = self.life
        origin, path = self.url[:21], self.url[21:]
        kind = _kind(self.method, path)
        assert kind != "post", "a trigger submits"
        place = life.places.get(origin)
        headers, body = self.how["headers"], self.how.get("data") or b""
        triggerer: Any = life.world.machine
        life.requested(triggerer, origin)
        await asyncio.sleep(life.latency)
        window = place.window() if place is not None else None
        fault = window or triggerer.fault(kind, _TABLES[kind])
        if place is None or fault == "refused":
            raise aiohttp.ClientConnectionError("connection refused")
        if fault in ("lost", "cut"):
            raise aiohttp.ServerDisconnectedError
        if fault == "echo":
            proxies = {"http": self.how["proxy"]} if self.how.get("proxy") else None
            return Response(400, _echo(headers, body, proxies))
        if fault in GATEWAY:
            return Response(*GATEWAY[fault], {"retry-after": "20"} if fault in ("429", "503") else None)
        status, content = place.serve(None, self.method, path, headers, body)
        return Response(status, HTML if fault == "garbage" and status < 300 else content)


class Aiohttp:
    """In place of the module ``aiohttp`` in the triggerer's transport."""

    ClientSession = AsyncSession
    ClientConnectionError = aiohttp.ClientConnectionError

    @staticmethod
    def TCPConnector(**_: Any) -> None:
        return None

    @staticmethod
    def DummyCookieJar() -> None:
        return None

    @staticmethod
    def ClientTimeout(**_: Any) -> None:
        return None
