"""Waiting: many triggers in one event loop, each cell of the table in a fresh process against a fresh server.

A cell has three parts, the first two because loops that wake in step save most of what waking costs, and
real tasks do not:

1. *spread*: the triggers start one after the other over an interval, as tasks do. Then CPU time and
   polls are counted while nothing but the triggers runs; then a probe measures how late the loop is.
2. *together*: all triggers start in the same moment, while the probe measures.
3. *weighed*: what Python's memory holds once all of them sleep.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import ssl
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.benchmarks.common import Result, child, result_of
from tests.benchmarks.server import Address, counts_at, serving

INTERVAL = 10.0
#: Lengths in intervals. This provider lengthens every interval by up to a tenth, and looks after the first.
CPU_WINDOW, LAG_WINDOW, TOGETHER_WINDOW = 1.0, 0.5, 1.2
PROBE = 0.005

Wait: TypeAlias = Callable[[int, float], Awaitable[None]]
"""Waits for the job of that number, polling at that interval."""
Row: TypeAlias = Callable[[Address, str], AbstractAsyncContextManager[Wait]]


@dataclass(frozen=True)
class Cell:
    """One process's work."""

    row: str
    triggers: int
    scheme: str
    interval: float = INTERVAL


def connect(conn_id: str, **fields: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


def zilliant_connection(address: Address, scheme: str) -> dict[str, Any]:
    from airflow_provider_zilliant.sandbox.server import connection_to

    fields = connection_to(address.url(scheme))
    return {**fields, "extra": {**fields["extra"], "verify": address.certificate}}


def _never_ends(trigger: Any) -> Awaitable[None]:
    async def events() -> None:
        async for event in trigger.run():
            raise RuntimeError(f"the wait ended: {event}")

    return events()


@asynccontextmanager
async def floor(address: Address, scheme: str) -> AsyncIterator[Wait]:
    """The least that a wait can cost: one session for all, and the request that this provider sends."""
    import aiohttp

    from airflow_provider_zilliant.connection.fields import parse_environment

    connection = zilliant_connection(address, scheme)
    environment = parse_environment(**{name: connection[name] for name in ("host", "password", "extra")})
    trust = ssl.create_default_context(cafile=address.certificate)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=100, ssl=trust), headers=environment.headers(environment.token)
    ) as session:

        async def wait(number: int, interval: float) -> None:
            url = f"{address.url(scheme)}/v1/JobWorkflow/Authorized/{_job_id(number)}/Status"
            while True:
                async with session.get(url) as response:
                    status = await response.json()
                if status["executionStatus"] == "CLOSED":
                    return
                await asyncio.sleep(interval)

        yield wait


@asynccontextmanager
async def zilliant(address: Address, scheme: str) -> AsyncIterator[Wait]:
    from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger

    connect("zilliant", **zilliant_connection(address, scheme))

    def wait(number: int, interval: float) -> Awaitable[None]:
        now = time.time()
        return _never_ends(
            ZilliantJobTrigger(
                "zilliant",
                _job_id(number),
                scope=f"scope-{number}",
                poll_interval=interval,
                end_time=now + 86400,
                accepted_time=now,
                deferred_time=now,
                carried={"try_number": 1, "deadline": None},
            )
        )

    yield wait


@asynccontextmanager
async def databricks(address: Address, scheme: str) -> AsyncIterator[Wait]:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    host, _, port = address.host(scheme).partition(":")
    connect("databricks", conn_type="databricks", host=host, port=int(port), schema=scheme, password="token")
    yield lambda number, interval: _never_ends(
        DatabricksExecutionTrigger(number, "databricks", polling_period_seconds=interval)
    )


@asynccontextmanager
async def dbt_cloud(address: Address, scheme: str) -> AsyncIterator[Wait]:
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    connect("dbt", conn_type="dbt_cloud", host=address.host(scheme), login="1", password="token")
    # It knows https only; this is all that is changed of it for plain http.
    original = DbtCloudHook.get_request_url_params

    def at_scheme(*how: Any, **options: Any) -> tuple[str, dict[str, Any]]:
        url, parameters = original(*how, **options)
        return url.replace("https", scheme, 1), parameters

    DbtCloudHook.get_request_url_params = staticmethod(at_scheme)
    try:
        yield lambda number, interval: _never_ends(
            DbtCloudRunJobTrigger("dbt", number, time.time() + 86400, interval, account_id=1)
        )
    finally:
        DbtCloudHook.get_request_url_params = staticmethod(original)


@asynccontextmanager
async def http(address: Address, scheme: str) -> AsyncIterator[Wait]:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    connect("http", conn_type="http", host=address.url(scheme))
    yield lambda number, interval: _never_ends(
        HttpSensorTrigger(endpoint=f"sensor/{number}", http_conn_id="http", poke_interval=interval)
    )


ROWS: dict[str, Row] = {
    "floor": floor,
    "zilliant": zilliant,
    "databricks": databricks,
    "dbt_cloud": dbt_cloud,
    "http": http,
}


def _job_id(number: int) -> str:
    return f"5b6a2c3d-91f0-4a6e-9f7b-{number:012d}"


async def _lag(seconds: float) -> float:
    """The largest lateness of a short sleep within that time."""
    worst = 0.0
    ends_at = time.perf_counter() + seconds
    while (now := time.perf_counter()) < ends_at:
        await asyncio.sleep(PROBE)
        worst = max(worst, time.perf_counter() - now - PROBE)
    return worst


async def _warm_up(row: Row, address: Address, scheme: str) -> None:
    """Imports, caches, code paths: all that only the first trigger of a process ever pays."""
    before = await counts_at(address)
    async with row(address, scheme) as wait:
        first = asyncio.ensure_future(wait(0, 0.1))
        for _ in range(200):
            await asyncio.sleep(0.05)
            if (await counts_at(address)).requests >= before.requests + 2:
                break
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first


async def measure(cell: Cell, address: Address, start: Callable[[], None]) -> Result:
    """One cell's figures.

    :param start: returns when the cell may begin.
    """
    row = ROWS[cell.row]
    await _warm_up(row, address, cell.scheme)
    start()
    # The parts share a process: imports take longer than all the rest.
    return {
        **asdict(cell),
        **await _spread(cell, row, address),
        **await _together(cell, row, address),
        **await _weigh(cell, row, address),  # the last one, as being weighed makes everything slower
    }


async def _spread(cell: Cell, row: Row, address: Address) -> Result:
    opened = (await counts_at(address)).connections
    async with row(address, cell.scheme) as wait:
        tasks: list[asyncio.Future[None]] = []
        for number in range(cell.triggers):
            delay = cell.interval * number / cell.triggers
            asyncio.get_running_loop().call_later(
                delay, lambda number=number: tasks.append(asyncio.ensure_future(wait(number, cell.interval)))
            )
        await asyncio.sleep(cell.interval * 1.1)
        before, cpu, began = await counts_at(address), time.process_time(), time.perf_counter()
        await asyncio.sleep(cell.interval * CPU_WINDOW)
        cpu, took = time.process_time() - cpu, time.perf_counter() - began
        after = await counts_at(address)
        lag = await _lag(cell.interval * LAG_WINDOW)
        connections = (await counts_at(address)).connections - opened
        polls = after.requests - before.requests
        return {
            "cpu_ms": cpu / max(polls, 1) * 1000,
            "polls_per_second": polls / took,
            "steady_lag_ms": lag * 1000,
            "connections": connections,
            "ended": await _end(tasks),
        }


async def _together(cell: Cell, row: Row, address: Address) -> Result:
    opened = (await counts_at(address)).connections
    async with row(address, cell.scheme) as wait:
        waits = [wait(number, cell.interval) for number in range(cell.triggers)]
        gc.collect()
        tasks = [asyncio.ensure_future(one) for one in waits]
        lag = await _lag(cell.interval * TOGETHER_WINDOW)
        connections = (await counts_at(address)).connections - opened
        return {
            "start_lag_ms": lag * 1000,
            "connections_together": connections,
            "ended_together": await _end(tasks),
        }


async def _weigh(cell: Cell, row: Row, address: Address) -> Result:
    """Memory that Python holds for the waits, once each has looked and sleeps again.

    Counted by ``tracemalloc``: what the operating system tells of a process differs by more than
    this from run to run. OpenSSL's own memory is not in it.
    """
    interval = min(cell.interval, max(3.0, cell.triggers / 500))
    async with row(address, cell.scheme) as wait:
        gc.collect()
        tracemalloc.start()
        tasks = []
        for number in range(cell.triggers):
            tasks.append(asyncio.ensure_future(wait(number, interval)))
            await asyncio.sleep(interval / cell.triggers / 2)
        await asyncio.sleep(interval * 1.2)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {"memory_kb": held / cell.triggers / 1024, "ended_weighed": await _end(tasks)}


async def _end(tasks: list[asyncio.Future[None]]) -> str | None:
    """Cancels the waits; returns how many had ended by themselves, and why the first did."""
    ended = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return f"{len(ended)}: {ended[0].exception()!r}" if ended else None


def run(cells: list[Cell], certificate: Path, env: dict[str, str]) -> list[Result]:
    """The cells side by side, each with its own server and client; give one alone for undisturbed figures."""
    with ExitStack() as servers:
        clients = []
        for cell in cells:
            address = servers.enter_context(serving(certificate, env))
            # The peers' sessions trust what Python trusts by default, and that is what this names.
            trusting = {"SSL_CERT_FILE": address.certificate} if cell.scheme == "https" else {}
            clients.append(child("waits", json.dumps(asdict(cell)), json.dumps(asdict(address)), env=env | trusting))
        for client in clients:
            assert client.stdout is not None
            while (line := client.stdout.readline()) and line != "ready\n":
                pass
        for client in clients:
            assert client.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                client.stdin.write("go\n")
                client.stdin.flush()
        return [result_of(client) for client in clients]


def _main() -> None:
    cell, address = (json.loads(argument) for argument in sys.argv[1:3])

    def start() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    async def told() -> None:
        print(json.dumps(await measure(Cell(**cell), Address(**address), start)), flush=True)
        os._exit(0)  # thousands of triggers need not be cancelled one by one

    asyncio.run(told())


if __name__ == "__main__":
    _main()
