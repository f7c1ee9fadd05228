"""Signals, timeouts and errors that end a try while its job goes on: what is noted, and what the error says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred

from airflow_provider_zilliant.exceptions import (
    ZilliantError,
    ZilliantJobFailedError,
    ZilliantSubmissionUnknownError,
)
from airflow_provider_zilliant.operators import messages
from airflow_provider_zilliant.operators.current_try import Try
from airflow_provider_zilliant.operators.records import Intent, Job
from airflow_provider_zilliant.operators.submitting import unknown
from airflow_provider_zilliant.tasks.final_errors import final


@contextmanager
def no_job_is_lost(current: Try, *, waits_for_job: bool = False) -> Iterator[None]:
    """Whatever ends a try while its job goes on says so; where nothing remembers the job, no retry follows.

    :param waits_for_job: whether this try has a job for certain, even if its id is not known here.
    """
    try:
        yield
    except (TaskDeferred, AirflowSkipException):
        raise
    except BaseException as error:
        if current.in_doubt and not isinstance(error, ZilliantSubmissionUnknownError):
            raise _interrupted(current, error) from error
        if current.task.job_id is None and not waits_for_job:
            raise
        ended = isinstance(error, ZilliantJobFailedError) and not messages.goes_on(error)
        if ended or isinstance(error, ZilliantSubmissionUnknownError):
            raise
        if not current.ledger.remembers:
            raise messages.not_remembered(error, current.task.job_id) from error
        if current.task.killed or not messages.is_about_the_wait(error):
            raise
        raise _explain(current, error) from error


def _interrupted(current: Try, error: BaseException) -> ZilliantError:
    """The error for a signal between the POST and the moment that its outcome was noted."""
    interrupted = messages.interrupted(current.submission, error)
    record = current.ledger.read() if current.ledger.remembers else None
    if isinstance(record, Intent):
        return unknown(current, interrupted, record)
    return final(interrupted, messages.unknown_and_not_remembered(interrupted))


def _explain(current: Try, error: BaseException) -> BaseException:
    """The same error, with what happens to the job and what a retry and a clear will do."""
    try:
        record = current.ledger.read()
    except Exception:
        current.log.warning("The record could not be read.", exc_info=True)
        return error
    if record is None:
        return error
    job_id = record.job_id if isinstance(record, Job) and current.task.job_id is None else current.task.job_id
    recorded = isinstance(record, Job)
    explained = messages.with_next_steps(error, job_id, current.task.on_clear, recorded=recorded)
    current.log.error("%s", explained)  # before it counts as told: this process may not live to raise it
    current.note_told(record)
    return explained
