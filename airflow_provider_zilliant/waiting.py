"""When to look again, and when to stop: the waits' decisions, shared by worker and triggerer.

Deadlines and starts are absolute times in epoch seconds, so that a wait that moves to another
process, or begins again in a restarted one, ends when it would have ended.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_zilliant import exceptions
from airflow_provider_zilliant.api.client import Client, Flow, Now, Sleep
from airflow_provider_zilliant.api.http import shorten
from airflow_provider_zilliant.api.jobs import JobStatus, status_of
from airflow_provider_zilliant.exceptions import (
    ZilliantError,
    ZilliantJobFailedError,
    ZilliantNotFoundError,
    ZilliantRateLimitError,
    ZilliantReplyError,
    ZilliantServerError,
    ZilliantTimeoutError,
    ZilliantUnreachableError,
)

SHORTEST_INTERVAL, LONGEST_INTERVAL = 5.0, 60.0
#: Seconds from a deferral in which nothing wakes its task, unless the user asks for shorter intervals: Airflow's
#: LocalExecutor tells of a deferral up to some 6 s late, and by then fails a task that has been queued again.
EARLIEST_RESUMPTION = 8.0
JITTER = 0.1
#: So many failed looks in a row are ridden out; the next one ends the wait.
FAILURES_RIDDEN_OUT = 10
#: A job that was just accepted may not be found yet, for so many seconds.
NOT_FOUND_GRACE = 60.0
#: The longest ``Retry-After`` that is followed, in seconds.
LONGEST_RETRY_AFTER = 900.0
#: So much later than the trigger's own deadline Airflow ends a deferral whose trigger died for good.
BACKSTOP = timedelta(minutes=10)
#: What :func:`event_of` makes of an open job.
STILL_OPEN = {"status": "open"}
#: A single look's failures: the first pause in seconds, doubled each time, and its limit.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 5.0


def interval(waited: float, poll_interval: float | None) -> float:
    """Seconds until the next look after ``waited`` seconds of waiting, before jitter."""
    if poll_interval is not None:
        return poll_interval
    return min(max(waited / 10, SHORTEST_INTERVAL), LONGEST_INTERVAL)


def pause(waited: float, poll_interval: float | None) -> float:
    """The interval lengthened by a random 0 to 10 %, so that tasks that began together drift apart."""
    return _lengthened(interval(waited, poll_interval))


def _lengthened(seconds: float) -> float:
    return seconds * (1 + JITTER * random.random())


def first_pause(now: float, *, began: float, deferred_at: float, poll_interval: float | None) -> float:
    """Seconds before a trigger's first look, which may resume its task.

    A trigger that starts when its look was due already has been restarted, and a thousand others
    with it: they spread over a whole interval.
    """
    rest = max(interval(deferred_at - began, poll_interval), earliest_resumption(poll_interval))
    left = deferred_at + _lengthened(rest) - now
    return left if left > 0 else interval(now - began, poll_interval) * random.random()


def earliest_resumption(poll_interval: float | None) -> float:
    """Seconds from a deferral until its task may be resumed."""
    return EARLIEST_RESUMPTION if poll_interval is None else 0.0


def rest_before_try(end_time: float | None, now: float, seconds: float) -> tuple[float, bool]:
    """Seconds to let pass while a scope is busy, and whether the deadline comes before the next try."""
    return until(end_time, now, seconds), end_time is not None and now + seconds >= end_time


def until(end_time: float | None, now: float, seconds: float) -> float:
    """The pause cut off at the deadline."""
    return max(0.0, min(seconds, end_time - now)) if end_time is not None else seconds


def has_passed(end_time: float | None, now: float) -> bool:
    return end_time is not None and now >= end_time


def backstop(end_time: float | None, now: float) -> timedelta | None:
    """Airflow's own limit of a deferral, which only counts where the trigger died for good."""
    return timedelta(seconds=max(0.0, end_time - now)) + BACKSTOP if end_time is not None else None


def earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def is_transient(error: ZilliantError, since_acceptance: float | None) -> bool:
    """Whether a failed look says nothing of the job, so that another look may succeed."""
    if isinstance(error, ZilliantNotFoundError):
        return since_acceptance is not None and since_acceptance < NOT_FOUND_GRACE
    return isinstance(
        error, ZilliantUnreachableError | ZilliantReplyError | ZilliantRateLimitError | ZilliantServerError
    )


def look_patiently(client: Client, job_id: str, *, accepted_at: float | None = None) -> Flow[JobStatus]:
    """One look whose transient failures are ridden out.

    :param accepted_at: when the job was accepted, where that is known.
    """
    for failures in range(FAILURES_RIDDEN_OUT + 1):
        try:
            return (yield from client.look(job_id))
        except ZilliantError as error:
            since = (yield Now()) - accepted_at if accepted_at is not None else None
            if failures == FAILURES_RIDDEN_OUT or not is_transient(error, since):
                raise
            backoff = min(FIRST_BACKOFF * 2**failures, LONGEST_BACKOFF)
            asked = _asked(error)
        yield Sleep(max(backoff, asked))
    raise AssertionError("the last failure is raised")


def watch(
    client: Client,
    job_id: str,
    *,
    began: float,
    accepted_at: float | None,
    poll_interval: float | None,
    end_time: float | None,
    before_first_look: float,
) -> Flow[dict[str, Any]]:
    """Looks at the job until it is closed or there is reason to stop; returns the event that says which.

    At the deadline it looks once more, so that a job that has ended counts as ended.

    :param began: when the wait began.
    :param accepted_at: when the job was accepted, where that is known.
    :param before_first_look: seconds to let pass first.
    """
    failures = 0
    rest = before_first_look
    while True:
        rest = until(end_time, (yield Now()), rest)
        if rest > 0:
            yield Sleep(rest)
        try:
            status = yield from client.look(job_id)
        except ZilliantError as error:
            now = yield Now()
            failures += 1
            if not is_transient(error, now - accepted_at if accepted_at is not None else None):
                return failed_event(job_id, error, f"{_sentence(error)} The job was left alone.")
            if failures > FAILURES_RIDDEN_OUT:
                told = f"{failures} looks in a row failed, the last one so: {_sentence(error)} The job was left alone."
                return failed_event(job_id, error, told)
            rest = max(pause(now - began, poll_interval), _asked(error))
        else:
            now = yield Now()
            failures = 0
            if status.is_closed:
                return event_of(status)
            del status  # a thousand waits need not keep it while they sleep
            rest = pause(now - began, poll_interval)
        if has_passed(end_time, now):
            return {"status": "timeout", "job_id": job_id}


def event_of(status: JobStatus) -> dict[str, Any]:
    """The event that a look leads to: the job is closed, or :data:`STILL_OPEN`."""
    return {"status": "closed", "job": job_of(status)} if status.is_closed else STILL_OPEN


def failed_event(job_id: str, error: ZilliantError, message: str) -> dict[str, Any]:
    """The event of a wait that ends without a verdict on the job."""
    return {
        "status": "error",
        "job_id": job_id,
        "message": message,
        "error": type(error).__name__,
        "status_code": getattr(error, "status_code", None),
        "words": getattr(error, "message", None),
    }


def closed_job(event: object, *, about: str) -> JobStatus:
    """The verdict that every wait ends with: the job's status if it COMPLETED, or the error to fail with.

    :param event: what the wait ended with; one that is missing or malformed is a failure too.
    :param about: whose job it is, as in "workflow 'PublishListPrices' (scope 'us')".
    :raises ZilliantJobFailedError: the job closed otherwise.
    :raises ZilliantTimeoutError: the time ran out first.
    :raises ZilliantError: the wait ended for another reason, or no one can tell how.
    """
    told = event if isinstance(event, Mapping) else {}
    if told.get("status") == "closed":
        job = told.get("job")
        job_id = job.get("jobId") if isinstance(job, Mapping) else None
        status = status_of(job_id, job) if isinstance(job_id, str) else None
        if status is not None and status.succeeded:
            return status
        if status is not None and status.is_closed:
            close = status.close_status or "without saying how"
            raise ZilliantJobFailedError(
                f"Job {status.job_id} of {about} closed, but not as COMPLETED: {close}. What it had done by then stays "
                "done; its log in Zilliant tells the cause.",
                status=status,
            )
    if told.get("status") == "timeout":
        raise ZilliantTimeoutError(
            f"Job {told.get('job_id')} of {about} was still open when the time to wait for it ran out. It runs on in "
            "Zilliant: the API cannot cancel it."
        )
    if told.get("status") == "error":
        raise _error_of(told, about)
    raise ZilliantError(
        f"The wait for the job of {about} ended with an event that means nothing here ({shorten(repr(event))}), so "
        "whether the job completed is not known. Look for it in Zilliant."
    )


def _error_of(event: Mapping[str, Any], about: str) -> ZilliantError:
    """The typed error that a :func:`failed_event` was made from."""
    message = f"Waiting for the job of {about}: {event.get('message') or 'ended with an error that it does not name.'}"
    kind = getattr(exceptions, str(event.get("error")), None)
    error = kind(message) if isinstance(kind, type) and issubclass(kind, ZilliantError) else ZilliantError(message)
    status_code = event.get("status_code")
    if isinstance(error, exceptions.ZilliantRequestError) and isinstance(status_code, int):
        error.status_code, error.message = status_code, str(event.get("words") or "")
    return error


def _sentence(error: ZilliantError) -> str:
    return f"{str(error).rstrip('.')}."


def _asked(error: ZilliantError) -> float:
    return min(getattr(error, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER)


def job_of(status: JobStatus) -> dict[str, str | None]:
    """The status as events and XComs hold it: Zilliant's own names, times as ISO 8601 in UTC."""
    return {
        "jobId": status.job_id,
        "executionStatus": status.execution_status,
        "closeStatus": status.close_status,
        "startTimeStamp": status.started_at.to_iso8601_string() if status.started_at else None,
        "closeTimeStamp": status.closed_at.to_iso8601_string() if status.closed_at else None,
    }
