"""Polling a job until it is closed, and which failures of a poll are tolerated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.redaction import to_sentence
from airflow_provider_zilliant.exceptions import (
    ZilliantConfigError,
    ZilliantError,
    ZilliantNotFoundError,
    ZilliantRateLimitError,
    ZilliantReplyError,
    ZilliantServerError,
    ZilliantUnreachableError,
)
from airflow_provider_zilliant.waits import intervals
from airflow_provider_zilliant.waits.events import Closed, Failed, TimedOut
from airflow_provider_zilliant.waits.progress import ProgressLog

#: This many failed polls in a row are tolerated; the next one ends the wait.
TOLERATED_FAILURES = 10
#: For this many seconds after its acceptance, a job may not be found yet.
NOT_FOUND_GRACE = 60.0
#: A 404 is believed if this many more polls, at this many seconds from each other, get one too.
CONFIRMATIONS, CONFIRMATION_PAUSE = 3, 10.0
#: The longest ``Retry-After`` that is followed, in seconds.
LONGEST_RETRY_AFTER = 900.0
#: The seconds after the deadline that the last poll may take.
LAST_POLL = 5.0
#: The pause after a single poll's first failure, in seconds; it doubles with each, up to the second figure.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 5.0


def is_transient(error: ZilliantError, since_acceptance: float | None) -> bool:
    """Whether a failed poll says nothing about the job, so that another may succeed."""
    if isinstance(error, ZilliantConfigError):
        return error.is_missing_connection
    if isinstance(error, ZilliantNotFoundError):
        return since_acceptance is not None and since_acceptance < NOT_FOUND_GRACE
    return isinstance(
        error, ZilliantUnreachableError | ZilliantReplyError | ZilliantRateLimitError | ZilliantServerError
    )


async def poll_patiently(
    client: Client, job_id: str, *, accepted_time: float | None = None, progress: ProgressLog | None = None
) -> JobStatus:
    """One poll whose transient failures are tolerated.

    :param accepted_time: when the job was accepted, if known.
    """
    for failures in range(TOLERATED_FAILURES + 1):
        try:
            return await client.poll(job_id)
        except ZilliantError as error:
            since = client.transport.now() - accepted_time if accepted_time is not None else None
            if failures == TOLERATED_FAILURES or not is_transient(error, since):
                raise
            seconds = max(min(FIRST_BACKOFF * 2**failures, LONGEST_BACKOFF), _requested_pause(error))
            if progress is not None:
                progress.failed(error, failures + 1, seconds)
        await client.transport.sleep(seconds)
    raise AssertionError("the last failure is raised")


async def find_status(
    client: Client, job_id: str, *, accepted_time: float, progress: ProgressLog | None = None
) -> JobStatus | None:
    """The status of a job on record, or ``None`` if Zilliant certainly no longer knows it.

    One 404 is no proof: a gateway sends them, too. It counts from the job's second minute on, only if it
    is JSON, and only if polling again :data:`CONFIRMATIONS` times changes nothing.

    :raises ZilliantError: nobody can tell.
    """
    for remaining in range(CONFIRMATIONS, -1, -1):
        try:
            return await poll_patiently(client, job_id, accepted_time=accepted_time, progress=progress)
        except ZilliantNotFoundError as error:
            if not error.is_json or client.transport.now() - accepted_time < NOT_FOUND_GRACE:
                raise
        if remaining:
            await client.transport.sleep(CONFIRMATION_PAUSE)
    return None


async def watch(
    client: Client,
    job_id: str,
    *,
    began: float,
    accepted_time: float | None,
    poll_interval: float | None,
    deadline: float | None,
    first_pause: float,
    read: int = 1,
    sleep: Callable[[float, float], Awaitable[None]] | None = None,
    progress: ProgressLog | None = None,
) -> Closed | TimedOut | Failed:
    """Polls the job until it is closed or there is a reason to stop.

    At the deadline it polls once more, so that a job that has ended counts as ended; but whatever hangs
    (a reply, a login, the reading of the Connection), the wait ends a little later.

    :param began: when the wait began.
    :param accepted_time: when the job was accepted, if known.
    :param first_pause: seconds until the first poll.
    :param read: the number of the Connection's oldest read that counts, see :attr:`Client.next_read`.
    :param sleep: sleeps the first number of seconds, or, if the job's end is waited for, at least the second.
    """
    failures, was_missed = 0, False
    seconds, at_least = first_pause, intervals.EARLIEST_RESUMPTION
    now = client.transport.now
    while True:
        seconds = intervals.cut_off(seconds, deadline, now())
        if seconds > 0:
            if sleep is None:
                await client.transport.sleep(seconds)
            else:
                await sleep(seconds, min(seconds, at_least))
        at_least = intervals.shortest_pause()
        try:
            poll = client.poll(job_id, read=read)
            last_moment = max(deadline, now()) + LAST_POLL if deadline is not None else None
            status = await client.transport.finish(poll, last_moment)
            del poll, last_moment  # a thousand waits need not keep them while they sleep
        except TimeoutError:
            return TimedOut(job_id)
        except ZilliantError as error:
            failures += not error.is_login  # nobody has been asked about the job: that delays a wait and ends none
            if isinstance(error, ZilliantNotFoundError | ZilliantUnreachableError | ZilliantReplyError):
                read = client.next_read  # perhaps the Connection has been edited since
            is_surprise = isinstance(error, ZilliantNotFoundError) and not was_missed
            was_missed = was_missed or is_surprise
            since = now() - accepted_time if accepted_time is not None else None
            story = f"{to_sentence(str(error))} The job is not affected and may still be running."
            if not is_surprise and not is_transient(error, since):
                return Failed(job_id, error, story)
            if failures > TOLERATED_FAILURES:
                return Failed(job_id, error, f"{failures} polls in a row failed. The last error: {story}")
            del story
            at_least = max(at_least, _requested_pause(error))
            seconds = max(intervals.pause(now() - began, poll_interval), _requested_pause(error))
            if progress is not None:
                progress.failed(error, failures, seconds)
        else:
            failures, was_missed = 0, False
            if status.is_closed:
                return Closed(status)
            seconds = intervals.pause(now() - began, poll_interval)
            if progress is not None:
                progress.open(status, now(), seconds)
            del status  # a thousand waits need not keep it while they sleep
        if intervals.has_passed(deadline, now()):
            return TimedOut(job_id)


def _requested_pause(error: ZilliantError) -> float:
    return min(getattr(error, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER)
