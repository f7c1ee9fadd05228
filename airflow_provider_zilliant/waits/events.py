"""How a wait ends (closed, timed out, failed, retry): as values, inside a trigger's event, and as an error.

Events become dicts only where a trigger hands them to Airflow (:func:`to_payload`), and values again
only where a task resumes (:func:`parse_event`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_provider_zilliant import exceptions
from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.redaction import shorten
from airflow_provider_zilliant.exceptions import ZilliantError, ZilliantJobFailedError, ZilliantTimeoutError


@dataclass(frozen=True)
class Closed:
    """The job is closed, in whichever way."""

    status: JobStatus


@dataclass(frozen=True)
class TimedOut:
    """The deadline came first.

    :param job_id: the job that was still open; ``None`` for a wait for a scope.
    :param waiting_since: when the scope was first found busy.
    """

    job_id: str | None = None
    waiting_since: float | None = None


@dataclass(frozen=True)
class Failed:
    """Polling failed for good, so the job's status is unknown.

    :param error: what the last poll failed with.
    :param message: what failed, and what became of the job.
    """

    job_id: str
    error: ZilliantError
    message: str


@dataclass(frozen=True)
class Retry:
    """The scope may be free: a worker may try to submit.

    :param waiting_since: when the scope was first found busy.
    """

    waiting_since: float


Event: TypeAlias = Closed | TimedOut | Failed | Retry


def to_payload(event: Event, carried: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a trigger's event.

    :param carried: what the resumed worker needs, handed back unchanged.
    """
    payload: dict[str, Any]
    match event:
        case Closed(status):
            payload = {"status": "closed", "job": {"jobId": status.job_id, **status.to_json()}}
        case TimedOut(job_id, waiting_since):
            payload = {"status": "timeout", "job_id": job_id, "waiting_since": waiting_since}
        case Failed(job_id, error, message):
            payload = {
                "status": "error",
                "job_id": job_id,
                "message": message,
                "error": type(error).__name__,
                "status_code": getattr(error, "status_code", None),
                "explanation": getattr(error, "message", None),
            }
        case Retry(waiting_since):
            payload = {"status": "retry", "waiting_since": waiting_since}
    return {**payload, "carried": dict(carried)}


def parse_event(payload: object) -> Event | None:
    """The event in a payload; ``None`` for one that is missing or not recognized."""
    if not isinstance(payload, Mapping):
        return None
    job_id, since = payload.get("job_id"), payload.get("waiting_since")
    match payload.get("status"):
        case "closed":
            job = payload.get("job")
            job_id = job.get("jobId") if isinstance(job, Mapping) else None
            status = JobStatus.from_json(job_id, job) if isinstance(job_id, str) else None
            return Closed(status) if status is not None and status.is_closed else None
        case "timeout" if isinstance(job_id, str) or isinstance(since, int | float):
            return TimedOut(job_id, since)
        case "error":
            message = str(payload.get("message") or "polling failed with an unnamed error.")
            return Failed(str(job_id), _parse_error(payload, message), message)
        case "retry" if isinstance(since, int | float):
            return Retry(since)
    return None


def verdict(event: Closed | TimedOut | Failed, *, about: str) -> JobStatus:
    """How a wait for a job ends: with its status if it COMPLETED, or with an error.

    :param about: whose job it is, as in "workflow 'PublishListPrices' (scope 'us')".
    :raises ZilliantJobFailedError: the job closed, but not as COMPLETED.
    :raises ZilliantTimeoutError: the deadline came first.
    :raises ZilliantError: polling failed for good.
    """
    match event:
        case Closed(status) if status.succeeded:
            return status
        case Closed(status):
            close = status.close_status or "no close status"
            raise ZilliantJobFailedError(
                f"Job {status.job_id} of {about} closed, but not as COMPLETED: {close}. Whatever it had done "
                "stays done. See its log in Zilliant for the cause.",
                status=status,
            )
        case TimedOut(job_id):
            raise ZilliantTimeoutError(
                f"Job {job_id} of {about} was still open at the deadline of the wait. It continues in "
                "Zilliant: the API cannot cancel it."
            )
        case Failed(_, error, message):
            again = type(error)(f"Waiting for the job of {about}: {message}")
            again.__dict__.update({**error.__dict__, "detail": again.detail})
            raise again


def unrecognized(payload: object, *, about: str) -> ZilliantError:
    """The error for a wait for a job whose event :func:`parse_event` does not recognize."""
    return ZilliantError(
        f"The wait for the job of {about} ended with an unrecognized event ({shorten(repr(payload))}), so "
        "whether the job completed is unknown. Look for it in Zilliant."
    )


def _parse_error(payload: Mapping[str, Any], message: str) -> ZilliantError:
    kind = getattr(exceptions, str(payload.get("error")), None)
    error = kind(message) if isinstance(kind, type) and issubclass(kind, ZilliantError) else ZilliantError(message)
    status_code = payload.get("status_code")
    if isinstance(error, exceptions.ZilliantRequestError) and isinstance(status_code, int):
        error.status_code, error.message = status_code, str(payload.get("explanation") or "")
    return error
