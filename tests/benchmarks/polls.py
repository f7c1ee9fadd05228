"""Polling: the triggerer's client in one tight loop, beside a bare ``get`` on a kept ``aiohttp`` session."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.common import Result, child, median, result_of
from tests.benchmarks.server import Address, serving
from tests.benchmarks.waits import connect, zilliant_connection

BATCHES, BATCH = 40, 200
JOB = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"


async def measure(address: Address, scheme: str, batches: int = BATCHES, batch: int = BATCH) -> list[Result]:
    """Batches of both in turn, so that whatever slows the machine slows both; medians over the batches."""
    import aiohttp

    from airflow_provider_zilliant.connection.fields import parse_environment
    from airflow_provider_zilliant.transports.aio import SharedClient

    fields = zilliant_connection(address, scheme)
    connect("zilliant", **fields)
    environment = parse_environment(host=fields["host"], password=fields["password"], extra=fields["extra"])
    url = f"{fields['host']}/v1/JobWorkflow/Authorized/{JOB}/Status"
    connector = aiohttp.TCPConnector(limit=100, ssl=ssl.create_default_context(cafile=address.certificate))
    session = aiohttp.ClientSession(connector=connector, headers=environment.headers(environment.token))
    async with session, SharedClient("zilliant") as client:

        async def bare() -> None:
            async with session.get(url) as response:
                status = await response.json()
            assert status["executionStatus"] == "OPEN"

        async def ours() -> None:
            status = await client.poll(JOB)
            assert status.is_open

        taken: dict[str, list[tuple[float, float]]] = {"bare": [], "zilliant": []}
        await _batch(bare, batch)  # connections, caches
        await _batch(ours, batch)
        for _ in range(batches):
            taken["bare"].append(await _batch(bare, batch))
            taken["zilliant"].append(await _batch(ours, batch))
    return [
        {
            "who": who,
            "scheme": scheme,
            "per_second": 1 / median([wall for wall, _ in batches_of]),
            "cpu_ms": median([cpu for _, cpu in batches_of]) * 1000,
        }
        for who, batches_of in taken.items()
    ]


async def _batch(poll: Callable[[], Awaitable[None]], size: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU, for each poll."""
    gc.collect()  # neither pays for the other's garbage
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(size):
        await poll()
    return (time.perf_counter() - wall) / size, (time.process_time() - cpu) / size


def run(certificate: Path, env: dict[str, str], batches: int = BATCHES, batch: int = BATCH) -> list[Result]:
    results: list[Result] = []
    with serving(certificate, env) as address:
        for scheme in ("http", "https"):
            sizes = json.dumps([batches, batch])
            results += result_of(child("polls", json.dumps(asdict(address)), scheme, sizes, env=env))
    return results


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Address(**json.loads(sys.argv[1])), sys.argv[2], *json.loads(sys.argv[3])))))
