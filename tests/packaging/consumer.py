"""What a user writes against the installed wheel: type-checked by ``mypy --strict``, and never run.

A line with ``type: ignore`` is a mistake that the types must find: where they do not, the ignore is unused, and
that is an error as well. Were the package not typed, every ``assert_type`` would fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, assert_type

import pendulum
import requests

from airflow_provider_zilliant import __version__
from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.exceptions import (
    ZilliantConfigError,
    ZilliantError,
    ZilliantJobFailedError,
    ZilliantRateLimitError,
    ZilliantRequestError,
    ZilliantScopeBusyError,
    ZilliantSubmissionUnknownError,
)
from airflow_provider_zilliant.get_provider_info import get_provider_info
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator
from airflow_provider_zilliant.sandbox import Sandbox, connection_to
from airflow_provider_zilliant.sensors.zilliant import ZilliantJobSensor
from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger, ZilliantScopeTrigger

assert_type(__version__, str)
assert_type(get_provider_info(), dict[str, Any])


def use_the_hook(parameters: Mapping[str, str]) -> JobStatus:
    with ZilliantHook("zilliant_default", request_timeout=5) as hook:
        assert_type(hook, ZilliantHook)
        assert_type(hook.get_conn(), requests.Session)
        assert_type(hook.test_connection(), tuple[bool, str])
        job_id = hook.run_workflow("PublishListPrices", scope="us", parameters=parameters)
        assert_type(job_id, str)
        hook.run_workflow("PublishListPrices", "us")  # type: ignore[call-arg]
        hook.run_workflow(workflow_automation_id=None)  # type: ignore[arg-type]
        hook.get_job_status(17)  # type: ignore[arg-type]
        status = hook.get_job_status(job_id)
        assert_type(status, JobStatus)
        return hook.wait_for_job(job_id, poll_interval=5, timeout=60)


def read_the_status(status: JobStatus) -> None:
    assert_type(status.job_id, str)
    assert_type(status.succeeded, bool)
    assert_type(status.is_open, bool)
    assert_type(status.is_closed, bool)
    assert_type(status.closed_at, pendulum.DateTime | None)
    assert_type(status.duration, pendulum.Duration | None)
    status.job_id = "another"  # type: ignore[misc]


def use_the_operators() -> None:
    ZilliantRunWorkflowOperator(
        task_id="publish",
        workflow_automation_id="PublishListPrices",
        scope="us",
        parameters={"region": "us", "year": 2026},
        on_scope_busy="skip",
        scope_timeout=timedelta(hours=1),
        timeout=None,
        poll_interval=10,
        wait_for_completion=True,
        on_unknown_submission="resubmit",
        retries=2,
    )
    ZilliantRunWorkflowOperator(task_id="no_workflow")  # type: ignore[call-arg]
    ZilliantRunWorkflowOperator(
        task_id="wrong_word",
        workflow_automation_id="PublishListPrices",
        on_scope_busy="hope",  # type: ignore[arg-type]
    )
    ZilliantJobSensor(task_id="wait", job_id="42", deferrable=False)
    ZilliantJobSensor(task_id="wait_for_what")  # type: ignore[call-arg]
    ZilliantScopeTrigger("zilliant_default", "us", 0.0)
    ZilliantJobTrigger("zilliant_default", "42")
    ZilliantJobTrigger("zilliant_default")  # type: ignore[call-arg]


def use_the_errors(error: ZilliantError) -> None:
    if isinstance(error, ZilliantScopeBusyError):
        assert_type(error.scope, str | None)
    elif isinstance(error, ZilliantRateLimitError):
        assert_type(error.retry_after, float | None)
    elif isinstance(error, ZilliantRequestError):
        assert_type(error.status_code, int)
        assert_type(error.message, str)
    elif isinstance(error, ZilliantJobFailedError):
        assert_type(error.status, JobStatus | None)
    wrong: ValueError = ZilliantConfigError("wrong")
    unknown: ValueError = ZilliantSubmissionUnknownError("unknown")  # type: ignore[assignment]
    print(wrong, unknown)


def use_the_sandbox() -> dict[str, Any]:
    with Sandbox() as zilliant:
        assert_type(zilliant.url, str)
        assert_type(zilliant.connection(), dict[str, Any])
    return connection_to("http://127.0.0.1:8090")
