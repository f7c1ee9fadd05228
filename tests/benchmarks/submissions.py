"""Submitting: ``ZilliantHook.run_workflow`` on a hook kept open, beside a bare ``post`` on a kept session."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.common import Result, child, median, result_of
from tests.benchmarks.server import Address, serving
from tests.benchmarks.waits import connect, zilliant_connection

BATCHES, BATCH = 30, 100
PARAMETERS = {"region": "EMEA", "effective_date": "2026-11-23", "dry_run": "false"}


def measure(address: Address, scheme: str, batches: int = BATCHES, batch: int = BATCH) -> list[Result]:
    """Batches of both in turn, so that whatever slows the machine slows both; medians over the batches."""
    import requests

    from airflow_provider_zilliant.api.jobs import parse_submission
    from airflow_provider_zilliant.connection.fields import parse_environment
    from airflow_provider_zilliant.hooks.zilliant import ZilliantHook

    fields = zilliant_connection(address, scheme)
    connect("zilliant", **fields)
    environment = parse_environment(host=fields["host"], password=fields["password"], extra=fields["extra"])
    body = parse_submission("PublishListPrices", scope="us", parameters=PARAMETERS).request.json
    headers = environment.headers(environment.token)
    url = f"{fields['host']}/v1/JobWorkflow/Authorized"
    session = requests.Session()

    with ZilliantHook("zilliant") as hook, session:

        def bare() -> None:
            answer = session.post(url, json=body, headers=headers, timeout=60, verify=address.certificate)
            assert answer.status_code == 202
            assert answer.json()["jobId"]

        def ours() -> None:
            assert hook.run_workflow("PublishListPrices", scope="us", parameters=PARAMETERS)

        taken: dict[str, list[tuple[float, float]]] = {"bare": [], "zilliant": []}
        _batch(bare, batch), _batch(ours, batch)  # connections, imports
        for _ in range(batches):
            taken["bare"].append(_batch(bare, batch))
            taken["zilliant"].append(_batch(ours, batch))
    return [
        {
            "who": who,
            "scheme": scheme,
            "per_second": 1 / median([wall for wall, _ in batches_of]),
            "cpu_ms": median([cpu for _, cpu in batches_of]) * 1000,
        }
        for who, batches_of in taken.items()
    ]


def _batch(submit: Callable[[], None], size: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU, for each submission."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(size):
        submit()
    return (time.perf_counter() - wall) / size, (time.process_time() - cpu) / size


def run(certificate: Path, env: dict[str, str]) -> list[Result]:
    results: list[Result] = []
    with serving(certificate, env) as address:
        for scheme in ("http", "https"):
            process: subprocess.Popen[str] = child("submissions", json.dumps(asdict(address)), scheme, env=env)
            results += result_of(process)
    return results


if __name__ == "__main__":
    print(json.dumps(measure(Address(**json.loads(sys.argv[1])), sys.argv[2])), flush=True)
