"""The errors that a task ends with, each saying what happened to the job and what to do."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_zilliant.api.jobs import Submission, unknown_outcome
from airflow_provider_zilliant.api.redaction import shorten
from airflow_provider_zilliant.exceptions import (
    ZilliantConfigError,
    ZilliantError,
    ZilliantJobFailedError,
    ZilliantSubmissionUnknownError,
    ZilliantTimeoutError,
)
from airflow_provider_zilliant.operators.consent import Found, OnClear
from airflow_provider_zilliant.operators.questions import clear_does, to_iso
from airflow_provider_zilliant.tasks.final_errors import final


def interrupted(submission: Submission, error: BaseException) -> ZilliantSubmissionUnknownError:
    """A signal came between a POST and the moment that its outcome was noted."""
    reason = f"the task was interrupted ({type(error).__name__}) before the reply was noted"
    return unknown_outcome(submission, reason, pendulum.now("UTC"))


def unknown_and_not_remembered(error: ZilliantSubmissionUnknownError) -> str:
    """The message for a POST whose outcome is unknown, with ``durable=False``."""
    return (
        f"{error} Look for the job in Zilliant. If there is one, wait until it is COMPLETED, "
        "then mark this task as success. If there is none, clear this task: clearing submits again."
    )


def unknown_answer(job_id: str, key: str, error: ZilliantError) -> ZilliantConfigError:
    """A person has entered a jobId that Zilliant does not know."""
    return ZilliantConfigError(
        f"Zilliant does not know job {job_id!r}, which was entered as {key!r}; nothing was sent. Correct or delete the "
        f"entry, and clear this task. ({error})"
    )


def not_remembered(error: BaseException, job_id: str | None) -> ZilliantError:
    """A try that ends while its job is open, where nothing remembers the job and a retry would submit a second one."""
    plain = error if isinstance(error, ZilliantError) else ZilliantError(f"{type(error).__name__}: {error}")
    if isinstance(error, AirflowTaskTimeout):
        said = str(error)
        plain = ZilliantTimeoutError(
            said if said.startswith("execution_timeout") else f"execution_timeout ran out ({said or 'no details'})"
        )
    job = f"job {job_id}" if job_id is not None else "its job"
    return final(
        plain,
        f"{str(plain).rstrip('.')}. With durable=False nothing remembers {job}, and a retry would submit again, so "
        "this task is not retried. Look for the job in Zilliant. If it is COMPLETED, mark this task as success; "
        "clearing submits again.",
    )


def goes_on(error: ZilliantJobFailedError) -> bool:
    """Whether the job closed only to continue under another id."""
    return error.status is not None and error.status.close_status == "CONTINUED_AS_NEW"


def is_about_the_wait(error: BaseException) -> bool:
    """Whether the error says that nobody waits for the job any more; not, for one, that an XCom was refused."""
    return isinstance(error, ZilliantError | AirflowTaskTimeout)


def with_next_steps(error: BaseException, job_id: str | None, on_clear: OnClear, *, recorded: bool) -> BaseException:
    """The error of a try whose job goes on, with what a retry and a clear will do.

    :param recorded: whether the job is on record; else only the intent to submit it is.
    """
    job = f"job {job_id}" if job_id is not None else "its job"
    found = Found.UNTRACEABLE if isinstance(error, ZilliantJobFailedError) else Found.OPEN
    if not recorded:
        found = Found.INTENT
    retry = f"attaches to {job}" if found is Found.OPEN else "asks what to do"
    after = f"A retry of this task {retry}; {clear_does(found, on_clear)}."
    if isinstance(error, ZilliantError):
        again: BaseException = type(error)(f"{str(error).rstrip('.')}. {after}")
        again.__dict__.update({**error.__dict__, "detail": str(again)})
        return again
    return AirflowTaskTimeout(f"execution_timeout ran out while {job} was open; it continues in Zilliant. {after}")


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


def replaced() -> ZilliantError:
    """Another try has written the record since this one read it."""
    return ZilliantError(
        "Another try of this task has begun in the meantime; this one submitted nothing, and leaves it to that one."
    )


def killed(job_id: str | None) -> ZilliantError:
    """Airflow asked the task to end."""
    continues = f" Job {job_id} continues in Zilliant." if job_id is not None else ""
    return ZilliantError(f"This task was cleared, marked or killed while it ran.{continues}")
