"""What a task asks when only a person can know, and how it is worded: the advice first, one short line each."""

from __future__ import annotations

from dataclasses import dataclass

import pendulum

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.exceptions import (
    ZilliantEarlierJobError,
    ZilliantError,
    ZilliantSubmissionUnknownError,
)
from airflow_provider_zilliant.operators.consent import TABLE, Found, Next, OnClear, after_being_told
from airflow_provider_zilliant.operators.records import AskedFor, Intent, Job
from airflow_provider_zilliant.tasks.final_errors import final

_CLEAR_DOES = {
    Next.SUBMIT: "clearing submits again",
    Next.ATTACH: "clearing attaches to the job",
    Next.RETURN: "clearing returns the job",
    Next.ASK: "clearing asks again",
}

_MARK_SUCCESS = "Marking this task as success ends it without XComs: downstream tasks get no jobId."


@dataclass(frozen=True)
class Question:
    """A question to a person.

    :param what: what is known.
    :param advice: what the person can do, a line each.
    :param error: what the task ends with.
    """

    what: str
    advice: tuple[str, ...]
    error: ZilliantError


def about_intent(intent: Intent, on_clear: OnClear, entry: str) -> Question:
    """A POST was about to be sent, and nobody knows whether it was accepted.

    :param entry: where a person can enter a jobId.
    """
    what = (
        f"An earlier try of this task was about to submit {intent.asked_for} at {to_iso(intent.time)}, but no outcome "
        "is on record: the worker died, or the reply was lost. Perhaps nothing was sent; perhaps a job "
        "is running."
    )
    return unknown_outcome(what, intent, on_clear, entry)


def unknown_outcome(what: str, intent: Intent, on_clear: OnClear, entry: str) -> Question:
    """The outcome of a POST is unknown.

    :param what: what happened to it.
    """
    asked_for = intent.asked_for
    advice = (
        f"Look in Zilliant for a job of {asked_for} from about {to_iso(intent.time)}.",
        f"If there is none, clear this task: {clear_does(Found.INTENT, on_clear)}.",
        f"If there is one, {_answer(entry)}",
        _MARK_SUCCESS,
    )
    error = ZilliantSubmissionUnknownError(
        _text(what, advice),
        workflow=asked_for.workflow,
        scope=asked_for.scope,
        attempted_at=to_datetime(intent.time),
    )
    return Question(what, advice, final(error))


def about_job(
    found: Found, job: Job, status: JobStatus | None, asked_for: AskedFor, on_clear: OnClear, entry: str
) -> Question:
    """A job is on record, and submitting could publish twice.

    :param status: what Zilliant reports about it, if it could be polled.
    :param asked_for: what this try is to submit.
    :param entry: where a person can enter a jobId.
    """
    differences = job.asked_for.differences(asked_for)
    if found in (Found.UNTRACEABLE, Found.UNTRACEABLE_TOLD) and status is None:
        state = "is no longer known to Zilliant"
    elif status is None:
        state = "cannot be polled, so it may be open"
    else:
        state = "is open" if status.is_open else f"closed as {status.close_status or 'unknown'}"
        if status.close_status == "CONTINUED_AS_NEW":
            state += " and goes on under another id"
    what = f"Job {job.job_id} of {job.asked_for}, submitted at {to_iso(job.time)}, {state}."
    if differences:
        what += f" This task now asks for something else: {'; '.join(differences)}."
    advice = (
        f"Look at job {job.job_id} in Zilliant.",
        f"To submit {asked_for} now, clear this task: {clear_does(found, on_clear)}.",
        f"To go on with a job that exists, {_answer(entry)}",
        _MARK_SUCCESS,
    )
    error = ZilliantEarlierJobError(_text(what, advice), job_id=job.job_id, status=status)
    return Question(what, advice, final(error))


def to_datetime(time: float) -> pendulum.DateTime:
    """Epoch seconds as a date and time in UTC."""
    return pendulum.from_timestamp(time)


def to_iso(time: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, the way messages show them."""
    return to_datetime(time).to_iso8601_string()


def clear_does(found: Found, on_clear: OnClear) -> str:
    """What clearing will do once the person has read this, as in "clearing submits again"."""
    return _CLEAR_DOES[TABLE[after_being_told(found)].clear(on_clear)]


def _answer(entry: str) -> str:
    return f"enter its jobId as {entry}, and clear this task: it attaches to that job."


def _text(what: str, advice: tuple[str, ...]) -> str:
    return " ".join((what, *advice))
