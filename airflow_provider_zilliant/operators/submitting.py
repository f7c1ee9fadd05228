"""One POST, between its intent and its outcome on record."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

from airflow_provider_zilliant.exceptions import (
    ZilliantBadRequestError,
    ZilliantError,
    ZilliantScopeBusyError,
    ZilliantSubmissionUnknownError,
)
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.observability import telemetry
from airflow_provider_zilliant.operators import messages, questions
from airflow_provider_zilliant.operators.current_try import Try
from airflow_provider_zilliant.operators.earlier import Mine
from airflow_provider_zilliant.operators.records import AskedFor, Intent, Job, Tries
from airflow_provider_zilliant.tasks.final_errors import final


def submit(current: Try, hook: ZilliantHook, asked_for: AskedFor) -> Mine:
    """One POST, between its intent and its outcome in the ledger."""
    # Before the intent: a Connection or a login that fails, or a worker that dies here, leaves nothing behind.
    base_url = hook.prepare()
    tries = current.tries if current.ledger.remembers else Tries(current.ti.try_number, 0)
    current.log.info("Submitting %s to %s", current.submission, base_url)
    intent = Intent(asked_for, tries, time.time(), earlier=current.before)
    current.check_record_is_as_found()
    try:
        current.ledger.write(intent)
        current.in_doubt = True
        job_id = hook.submit(current.submission)
    except ZilliantSubmissionUnknownError as error:
        telemetry.submitted(current.submission, "unknown", began=intent.time, ended=time.time())
        raise unknown(current, error, intent) from error
    except BaseException as error:
        if current.in_doubt and not isinstance(error, ZilliantError) and hook.may_have_submitted:
            raise  # a signal that came with the reply: the guard knows that nobody knows
        current.in_doubt = False
        _restore(current, intent)
        outcome: Literal["busy", "refused"] = "busy" if isinstance(error, ZilliantScopeBusyError) else "refused"
        telemetry.submitted(current.submission, outcome, began=intent.time, ended=time.time())
        if isinstance(error, ZilliantBadRequestError):
            raise final(error) from None
        raise
    current.task.job_id = job_id
    current.in_doubt = False
    job = Job(asked_for, tries, time.time(), job_id)
    current.log.info("Zilliant accepted %s as job %s.", current.submission, job_id)
    try:
        current.ledger.write(job)
    except Exception:
        # The intent still stands, so a retry asks instead of submitting; this try knows the job and continues.
        current.log.exception("Job %s runs, but could not be recorded.", job_id)
    telemetry.submitted(current.submission, "accepted", began=intent.time, ended=job.time, job_id=job_id)
    return Mine(job, job.time)


def _restore(current: Try, intent: Intent) -> None:
    """Puts back what was on record before an intent that certainly led to no job."""
    try:
        found = current.ledger.read()
        if isinstance(found, Intent) and found.time == intent.time:  # a task cleared twice can run twice for seconds
            current.ledger.write(current.before)
    except Exception:
        # The task's own error matters more. This try knows better, and carries it; a later one asks.
        current.log.exception("The record could not be restored, although no job was submitted.")
        current.carried = replace(current.carried, refused_intent_time=intent.time)


def unknown(current: Try, error: ZilliantSubmissionUnknownError, intent: Intent) -> ZilliantError:
    """What a try ends with that does not know the outcome of its POST."""
    if current.task.on_unknown_submission == "resubmit":
        current.log.warning("on_unknown_submission='resubmit': the task's retries will submit again.")
        return error
    if not current.ledger.remembers:
        return final(error, messages.unknown_and_not_remembered(error))
    question = questions.unknown_outcome(str(error), intent, current.task.on_clear, current.ledger.answer_entry)
    return current.ask(question, intent)
