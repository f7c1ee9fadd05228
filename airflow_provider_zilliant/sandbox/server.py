"""The embedded Zilliant over HTTP: an ``aiohttp`` server for :class:`engine.Zilliant`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from types import TracebackType
from typing import Any

from aiohttp import web

from airflow_provider_zilliant.sandbox.engine import Zilliant, token_response
from airflow_provider_zilliant.sandbox.faults import FAULTS, Fault, Refused
from airflow_provider_zilliant.sandbox.logins import OAUTH_HOST, login_connection_to

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Seconds after which an idle connection is closed.
KEEPALIVE = 75.0


def application(zilliant: Zilliant) -> web.Application:
    """Zilliant's API and the sandbox's own, over the same state."""
    app = web.Application(middlewares=[_recorder(zilliant)])

    async def token(request: web.Request) -> web.Response:
        form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        return web.json_response(zilliant.issue_token(form, f"{request.scheme}://{request.host}"))

    async def submit(request: web.Request) -> web.Response:
        _authorize(zilliant, request)
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            body = None
        return web.json_response({"jobId": zilliant.submit(body).job_id}, status=202)

    async def status(request: web.Request) -> web.Response:
        _authorize(zilliant, request)
        return web.json_response(zilliant.status(request.match_info["job_id"]))

    async def page(request: web.Request) -> web.Response:
        text = (files(__package__) / "page.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html")

    async def jobs(request: web.Request) -> web.Response:
        return web.json_response(zilliant.job_records())

    async def requests(request: web.Request) -> web.Response:
        return web.json_response(zilliant.requests)

    async def faults(request: web.Request) -> web.Response:
        return web.json_response({"kinds": FAULTS, "ordered": [vars(fault) for fault in zilliant.faults]})

    async def order_fault(request: web.Request) -> web.Response:
        try:
            order = await request.json()
        except ValueError:
            order = None
        return web.json_response(vars(zilliant.order_fault(order)), status=201)

    async def cancel_faults(request: web.Request) -> web.Response:
        zilliant.faults.clear()
        return web.json_response({})

    async def revoke(request: web.Request) -> web.Response:
        zilliant.revoke_tokens()
        return web.json_response({})

    async def reset(request: web.Request) -> web.Response:
        zilliant.reset()
        return web.json_response({})

    app.add_routes(
        [
            web.post("/services/oauth2/token", token),
            web.post("/v1/JobWorkflow/Authorized", submit),
            web.get("/v1/JobWorkflow/Authorized/{job_id}/Status", status),
            web.get("/", page),
            web.get("/sandbox/jobs", jobs),
            web.get("/sandbox/requests", requests),
            web.get("/sandbox/faults", faults),
            web.post("/sandbox/faults", order_fault),
            web.delete("/sandbox/faults", cancel_faults),
            web.post("/sandbox/revoke", revoke),
            web.post("/sandbox/reset", reset),
        ]
    )
    return app


def _authorize(zilliant: Zilliant, request: web.Request) -> None:
    zilliant.authorize(request.headers.get("Authorization"), request.headers.get("X-Forwarded-Host"))


def _recorder(zilliant: Zilliant) -> Any:
    """Records every API request, without secrets, and applies injected faults."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(("/v1/", "/services/")):
            return await _reply_of(request, handler)
        entry: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "headers": _without_secrets(request.headers),
            "body": await _body(request),
            "fault": None,
            "status": None,
        }
        zilliant.log_request(entry)
        entry = zilliant.requests[-1]
        fault = zilliant.fault_for(request.method, request.path)
        if fault is not None:
            entry["fault"] = fault.fault
            return await _faulty(request, handler, fault, entry)
        response = await _reply_of(request, handler)
        entry["status"] = response.status
        return response

    return record


async def _reply_of(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        if refused.status == 401:
            return web.Response(status=401)  # without a reason, like Zilliant
        return web.json_response(refused.body, status=refused.status)
    except web.HTTPException as error:  # no such path, or a wrong method
        return web.Response(status=error.status, text=error.reason)


async def _faulty(request: web.Request, handler: Handler, fault: Fault, entry: dict[str, Any]) -> web.StreamResponse:
    if fault.fault == "status":
        entry["status"] = fault.status
        return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
    if fault.fault == "echo":
        entry["status"] = fault.status
        return web.json_response({"message": await _echo(request)}, status=fault.status)
    response: web.StreamResponse = web.Response()
    if fault.fault not in ("drop", "hang"):
        response = await _reply_of(request, handler)
        entry["status"] = response.status
    if fault.fault in ("hang", "process_and_hang", "delay"):
        await asyncio.sleep(fault.seconds)
    if fault.fault == "delay":
        return response
    if fault.fault == "garbage":
        return web.Response(status=response.status, text=fault.body or "<html><title>Welcome</title></html>")
    if fault.fault == "cut" and isinstance(response, web.Response):
        body = response.body if isinstance(response.body, bytes) else b""
        cut = web.StreamResponse(status=response.status, headers={"Content-Length": str(len(body))})
        await cut.prepare(request)
        await cut.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    secret = ("authorization", "proxy-authorization")
    return {
        name: ("OAuth ***" if value.startswith("OAuth ") else "***") if name.lower() in secret else value
        for name, value in headers.items()
    }


async def _echo(request: web.Request) -> str:
    authorization = request.headers.get("Authorization", "")
    with contextlib.suppress(ValueError):
        authorization += " " + base64.b64decode(authorization.partition(" ")[2], validate=True).decode()
    return f"{authorization} {' '.join(str(value) for value in (await request.post()).values())}"


async def _body(request: web.Request) -> Any:
    """The body; of a login, only the names of the fields."""
    if request.path.startswith("/services/"):
        return sorted(await request.post())
    raw = await request.read()
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")[:1000]


class Sandbox:
    """An embedded Zilliant in its own thread, for tests and notebooks.

    >>> with Sandbox() as zilliant:
    ...     print(zilliant.url)

    :param host: address to listen on.
    :param port: port to listen on; 0 for any free one.
    :param how: arguments of :class:`engine.Zilliant` and :class:`logins.Org`.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, **how: Any) -> None:
        self.zilliant = Zilliant(**how)
        self.host = host
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="zilliant-sandbox", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Sandbox:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def connection(self, **changes: Any) -> dict[str, Any]:
        """An Airflow Connection to this sandbox, as JSON fields, with a token response in Password."""
        return {**connection_to(self.url), **changes}

    def login_connection(self, flow: str, **changes: Any) -> dict[str, Any]:
        """One that logs in with ``"client credentials"``, ``"JWT bearer"`` or ``"user and password"``."""
        return {**login_connection_to(self.url, flow, self.zilliant.org), **changes}

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        # Not 0, which means no limit in aiohttp: a hanging fault would then block the shutdown.
        runner = web.AppRunner(
            application(self.zilliant), keepalive_timeout=KEEPALIVE, shutdown_timeout=0.1, access_log=None
        )
        try:
            self._loop.run_until_complete(runner.setup())
            site = web.TCPSite(runner, self.host, self.port)
            self._loop.run_until_complete(site.start())
            self.port = runner.addresses[0][1]
        except BaseException as failure:
            self._failure = failure
            self._ready.set()
            return
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()


def connection_to(url: str) -> dict[str, Any]:
    """An Airflow Connection to a sandbox, as JSON fields."""
    return {
        "conn_type": "zilliant",
        "host": url,
        "password": json.dumps(token_response("00Dsandbox!a-token-made-by-hand", issued_at=0)),
        "extra": {"oauth_host": OAUTH_HOST},
    }
