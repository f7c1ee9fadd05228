"""What there is to see: shared by the tests and ``make screenshots``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import requests

from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.sandbox.engine import Job
from tests.harness.private_airflow import PrivateAirflow

#: When (seconds ago), scope, workflow, how long it runs, and how it closes; a busy scope refuses.
HISTORY = [
    (118, "eu", "PublishListPrices", 34, "COMPLETED"),
    (117, "us", "PublishListPrices", 52, "COMPLETED"),
    (116, "apac", "PublishListPrices", 21, "COMPLETED"),
    (110, "margins", "RefreshMargins", 24, "COMPLETED"),
    (109, "margins", "RefreshMargins", 0, ""),
    (104, "margins", "RefreshMargins", 0, ""),
    (97, "margins", "RefreshMargins", 0, ""),
    (90, "margins", "RefreshMargins", 0, ""),
    (82, "margins", "RefreshMargins", 30, "COMPLETED"),
    (80, "apac", "PublishListPrices", 26, "FAILED"),
    (74, "margins", "RefreshMargins", 0, ""),
    (66, None, "RefreshData", 22, "COMPLETED"),
    (64, "margins", "RefreshMargins", 0, ""),
    (60, None, "RefreshData", 18, "COMPLETED"),
    (56, "eu", "PublishListPrices", 30, "COMPLETED"),
    (55, "margins", "RefreshMargins", 0, ""),
    (48, "margins", "RefreshMargins", 90, "COMPLETED"),
    (42, "us", "PublishListPrices", 80, "COMPLETED"),
    (40, "apac", "PublishListPrices", 28, "COMPLETED"),
    (30, "us", "PublishListPrices", 0, ""),
    (22, "margins", "RefreshMargins", 0, ""),
    (16, "us", "PublishListPrices", 0, ""),
    (6, "eu", "PublishListPrices", 70, "COMPLETED"),
]


@contextlib.contextmanager
def sandbox_with_a_history() -> Iterator[Sandbox]:
    """A sandbox that has lived through :data:`HISTORY`, as its clock tells."""
    late = [0.0]
    with Sandbox(seed=0, clock=lambda: time.time() - late[0]) as zilliant:
        told = zilliant.connection()
        environment = parse_environment(host=told["host"], password=told["password"], extra=told["extra"])
        headers = environment.headers(environment.token)
        for seconds_ago, scope, workflow, seconds, result in HISTORY:
            late[0] = seconds_ago
            parameters = {"WORKFLOW_AUTOMATION_ID": workflow}
            if result:
                parameters |= {"sandbox_seconds": str(seconds), "sandbox_result": result}
            body = {"descriptor": "PLATFORM_CUSTOM_WORKFLOW", "parameters": parameters}
            if scope is not None:
                body["scope"] = scope
            answer = requests.post(f"{zilliant.url}/v1/JobWorkflow/Authorized", json=body, headers=headers, timeout=10)
            assert answer.status_code == (202 if result else 409), (seconds_ago, scope, answer.status_code)
        late[0] = 0.0
        yield zilliant


def job_that_runs_on(airflow: PrivateAirflow, zilliant: Sandbox) -> Job:
    """The only job that the sandbox has accepted, which from now on runs until somebody ends it."""
    jobs = zilliant.zilliant.jobs
    airflow.wait_until(lambda: jobs, "Zilliant has accepted a job", 90)
    (job,) = jobs.values()
    job.closed_at = time.time() + 3600
    return job
