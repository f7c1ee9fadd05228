"""What each ``on_scope_busy`` does about a 409: fail, skip, sleep on the worker, or wait in the triggerer."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_zilliant.api.jobs import Submission
from airflow_provider_zilliant.exceptions import ZilliantScopeBusyError
from airflow_provider_zilliant.operators import messages
from airflow_provider_zilliant.operators.task import Task
from airflow_provider_zilliant.tasks.carried import Carried
from airflow_provider_zilliant.waits import intervals


def wait_for_scope(
    task: Task,
    submission: Submission,
    carried: Carried,
    busy: ZilliantScopeBusyError,
    waiting_since: float,
    *,
    sleep: Callable[[float], None],
) -> None:
    """Does what ``on_scope_busy`` asks for; returns when it is time to try again on this worker.

    :param waiting_since: when the scope was first found busy, in epoch seconds.
    :param sleep: lets seconds pass.
    :raises ZilliantTimeoutError: ``scope_timeout`` ran out.
    :raises AirflowTaskTimeout: ``execution_timeout`` ran out.
    """
    if task.on_scope_busy == "fail":
        raise busy
    if task.on_scope_busy == "skip":
        reason = f"Skipped because the scope is busy and on_scope_busy='skip'. {busy}"
        task.log.info(reason)  # Airflow shows no reason for a skip
        raise AirflowSkipException(reason)
    now = time.time()
    scope_deadline = waiting_since + task.scope_timeout if task.scope_timeout is not None else None
    deadline = intervals.earliest(scope_deadline, carried.deadline)
    if intervals.has_passed(deadline, now):
        raise scope_timed_out(task, submission, carried, waiting_since) from busy
    so_far = f"The scope of {submission} is busy ({now - waiting_since:.0f} s so far)"
    if task.deferrable:
        task.log.info("%s; queuing in the triggerer to try again.", so_far)
        _defer(task, submission, carried, waiting_since, deadline, now)
    next_try = intervals.pause(now - waiting_since, task.poll_interval)
    seconds = intervals.cut_off(next_try, deadline, now)
    gives_up = intervals.has_passed(deadline, now + next_try)
    task.log.info("%s; %s in about %.0f s.", so_far, "giving up" if gives_up else "trying again", seconds)
    sleep(seconds)
    if gives_up:
        raise scope_timed_out(task, submission, carried, waiting_since) from busy


def scope_timed_out(task: Task, submission: Submission, carried: Carried, waiting_since: float) -> BaseException:
    """The error for a wait whose deadline has passed, whichever deadline it was."""
    limit = task.scope_timeout
    if limit is None or (carried.deadline is not None and carried.deadline <= waiting_since + limit):
        return messages.execution_timed_out_in_scope_wait(submission)
    return messages.scope_timed_out(submission, waiting_since, limit)


def _defer(
    task: Task, submission: Submission, carried: Carried, waiting_since: float, deadline: float | None, now: float
) -> None:
    from airflow_provider_zilliant.triggers.zilliant import ZilliantScopeTrigger

    task.defer(
        trigger=ZilliantScopeTrigger(
            zilliant_conn_id=task.zilliant_conn_id,
            scope=submission.scope,
            waiting_since=waiting_since,
            poll_interval=task.poll_interval,
            end_time=deadline,
            deferred_time=now,
            carried=carried.to_json(),
        ),
        method_name=task.resume_submission.__name__,
        timeout=intervals.backstop(deadline, now),
    )
