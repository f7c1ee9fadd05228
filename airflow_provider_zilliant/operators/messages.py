"""The errors that a task ends with, each saying what happened to the job and what to do."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_zilliant.api.jobs import Submission
from airflow_provider_zilliant.api.redaction import shorten
from airflow_provider_zilliant.exceptions import (
    ZilliantError,
    ZilliantSubmissionUnknownError,
    ZilliantTimeoutError,
)
from airflow_provider_zilliant.tasks.final_errors import final


def to_datetime(time: float) -> pendulum.DateTime:
    """Epoch seconds as a date and time in UTC."""
    return pendulum.from_timestamp(time)


def to_iso(time: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, the way messages show them."""
    return to_datetime(time).to_iso8601_string()


def unresolved(
    submission: Submission, what: str, *, attempted_at: pendulum.DateTime | None
) -> ZilliantSubmissionUnknownError:
    """A job may be running; somebody has to look.

    :param what: what happened.
    """
    at = attempted_at.to_iso8601_string() if attempted_at is not None else "that time"
    return final(
        ZilliantSubmissionUnknownError(
            f"{what} Look in Zilliant for a job of {submission} from about {at}. If there is one, wait until it is "
            "COMPLETED, then mark this task as success. If there is none, clear this task: clearing submits again.",
            workflow=submission.workflow,
            scope=submission.scope,
            attempted_at=attempted_at,
        )
    )


def left_behind_intent(try_number: int, submission: Submission, time: float) -> str:
    """What is known of an earlier try that recorded its intent and nothing else."""
    return (
        f"An earlier try of this task (try {try_number}) was about to submit {submission} at {to_iso(time)}, but no "
        "outcome is on record: the worker died, or the reply was lost. Perhaps nothing was sent; perhaps a job is "
        "running."
    )


def not_remembered(error: BaseException, job_id: str | None) -> ZilliantError:
    """A task that ends while its job is open, where nothing remembers the job and a retry would submit a second one."""
    kind = error if isinstance(error, ZilliantError) else ZilliantError(f"{type(error).__name__}: {error}")
    if isinstance(error, AirflowTaskTimeout):
        kind = ZilliantTimeoutError(str(error))
    job = f" of job {job_id}" if job_id is not None else ""
    return final(
        kind,
        f"{kind} The submission{job} is not on record (that takes Airflow 3.3 and durable=True): a retry would submit "
        "again, so this task is not retried. Look for the job in Zilliant. If it is COMPLETED, mark this task as "
        "success; clearing this task submits again.",
    )


def unrecognized_scope_event(submission: Submission, payload: object) -> ZilliantError:
    """The wait for the scope ended with an event that is not this provider's."""
    return ZilliantError(
        f"The wait for the scope of {submission} ended with an unrecognized event ({shorten(repr(payload))}). "
        "This try submitted no job."
    )


def scope_timed_out(submission: Submission, waiting_since: float, scope_timeout: float) -> ZilliantTimeoutError:
    """``scope_timeout`` ran out."""
    return ZilliantTimeoutError(
        f"The scope of {submission} has been busy since {to_iso(waiting_since)}, longer than scope_timeout "
        f"({scope_timeout:g} s). This try submitted no job. Look in Zilliant for the job that holds the scope."
    )


def execution_timed_out_in_scope_wait(submission: Submission) -> AirflowTaskTimeout:
    """``execution_timeout`` ran out before the scope was free."""
    return AirflowTaskTimeout(
        f"execution_timeout ran out while the scope of {submission} was busy. This try submitted no job."
    )


def killed(job_id: str | None) -> ZilliantError:
    """Airflow asked the task to end."""
    continues = f" Job {job_id} continues in Zilliant." if job_id is not None else ""
    return ZilliantError(f"This task was killed.{continues}")
