"""The metrics and spans that a task emits: their names under ``zilliant.``, tags and times.

A worker reports everything after the fact, and nothing here may end a task: a job that was accepted
must be remembered and waited for, whatever happens to the metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Literal, ParamSpec

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from airflow_provider_zilliant.api.job_status import JobStatus
    from airflow_provider_zilliant.api.jobs import Submission

P = ParamSpec("P")

log = logging.getLogger(__name__)


def _quiet(report: Callable[P, None]) -> Callable[P, None]:
    @wraps(report)
    def try_to_report(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            report(*args, **kwargs)
        except Exception:
            log.debug("Metrics or traces could not be reported.", exc_info=True)

    return try_to_report


@_quiet
def submitted(
    submission: Submission,
    outcome: Literal["accepted", "busy", "refused", "unknown"],
    *,
    began: float,
    ended: float,
    job_id: str | None = None,
) -> None:
    """Reports a POST: counter ``zilliant.submissions.OUTCOME``, timer ``zilliant.submission``, and a span.

    :param outcome: ``refused``: certainly no job; ``unknown``: perhaps one.
    :param began: when it began, including logins and repetitions, in epoch seconds.
    :param ended: when it ended, in epoch seconds.
    """
    tags = _tags(submission)
    Stats.incr(f"zilliant.submissions.{outcome}", tags=tags)
    Stats.timing("zilliant.submission", timedelta(seconds=ended - began), tags=tags)
    _span("zilliant.submission", began, ended, {**tags, "outcome": outcome, "job_id": job_id})


@_quiet
def scope_was_busy(submission: Submission, *, since: float, until: float) -> None:
    """Reports how long an accepted task waited for its scope: timer ``zilliant.scope_wait``, and a span."""
    tags = _tags(submission)
    Stats.timing("zilliant.scope_wait", timedelta(seconds=until - since), tags=tags)
    _span("zilliant.scope_wait", since, until, tags)


@_quiet
def closed(submission: Submission, status: JobStatus) -> None:
    """Reports a closed job: counter ``zilliant.jobs.completed`` or ``.failed``, timer ``zilliant.job``, a span.

    The times are Zilliant's.
    """
    tags = _tags(submission)
    Stats.incr(f"zilliant.jobs.{'completed' if status.succeeded else 'failed'}", tags=tags)
    if status.started_at is not None and status.closed_at is not None:
        began, ended = status.started_at.timestamp(), status.closed_at.timestamp()
        Stats.timing("zilliant.job", timedelta(seconds=ended - began), tags=tags)
        attributes = {**tags, "job_id": status.job_id, "close_status": status.close_status}
        _span("zilliant.job", began, ended, attributes)


def _tags(submission: Submission) -> dict[str, str]:
    return {"workflow": submission.workflow, **({"scope": submission.scope} if submission.scope else {})}


def _span(name: str, began: float, ended: float, attributes: Mapping[str, str | None]) -> None:
    """A span in the task's own trace, if Airflow traces."""
    try:
        from opentelemetry import trace
    except ImportError:
        return
    known = {f"zilliant.{key}": value for key, value in attributes.items() if value is not None}
    span = trace.get_tracer(__name__).start_span(name, attributes=known, start_time=int(began * 1e9))
    span.end(end_time=int(ended * 1e9))
