"""``JobStatus``: what Zilliant reports about one job, which close status is a success, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pendulum

from airflow_provider_zilliant.api.redaction import redact, shorten


@dataclass(frozen=True)
class JobStatus:
    """What Zilliant reports about one job (``GET /v1/JobWorkflow/Authorized/{jobId}/Status``).

    :param job_id: the job.
    :param execution_status: ``OPEN`` or ``CLOSED``.
    :param close_status: how it closed: ``COMPLETED``, or a failure. ``None`` while it is open.
    :param started_at: when it started (UTC), if Zilliant reports it.
    :param closed_at: when it closed (UTC), if Zilliant reports it.
    """

    job_id: str
    execution_status: str
    close_status: str | None = None
    started_at: pendulum.DateTime | None = None
    closed_at: pendulum.DateTime | None = None

    @property
    def is_open(self) -> bool:
        return self.execution_status == "OPEN"

    @property
    def is_closed(self) -> bool:
        return self.execution_status == "CLOSED"

    @property
    def succeeded(self) -> bool:
        """Whether the job is closed and COMPLETED. Any other end is a failure, an unknown one included."""
        return self.is_closed and self.close_status == "COMPLETED"

    @property
    def duration(self) -> pendulum.Duration | None:
        """How long it ran, once both times are known."""
        return self.closed_at - self.started_at if self.started_at and self.closed_at else None

    @classmethod
    def from_json(cls, job_id: str, value: object, secrets: frozenset[str] = frozenset()) -> JobStatus | None:
        """The status in a JSON value; ``None`` unless its ``executionStatus`` is OPEN or CLOSED.

        :param secrets: secrets that the server could echo; no message may contain them.
        """
        if not isinstance(value, Mapping):
            return None
        execution = _parse_word(value.get("executionStatus"), secrets)
        if execution not in ("OPEN", "CLOSED"):
            return None
        close = None if execution == "OPEN" else value.get("closeStatus")
        return cls(
            job_id=job_id,
            execution_status=execution,
            close_status=None if close is None else _parse_word(close, secrets) or None,
            started_at=_parse_time(value.get("startTimeStamp")),
            closed_at=_parse_time(value.get("closeTimeStamp")),
        )

    def to_json(self) -> dict[str, str | None]:
        """The status under Zilliant's own names, times as ISO 8601 in UTC: for events and XComs."""
        return {
            "executionStatus": self.execution_status,
            "closeStatus": self.close_status,
            "startTimeStamp": self.started_at.to_iso8601_string() if self.started_at else None,
            "closeTimeStamp": self.closed_at.to_iso8601_string() if self.closed_at else None,
        }


def _parse_word(value: object, secrets: frozenset[str]) -> str:
    """A status word that is fit for messages; a value that is not text is named by its type."""
    if value in ("OPEN", "CLOSED", "COMPLETED"):
        return str(value)
    text = value if isinstance(value, str) else type(value).__name__
    return shorten(redact(text, secrets)).upper()


def _parse_time(value: object) -> pendulum.DateTime | None:
    """A timestamp in UTC. An unreadable one counts as unknown; the status beside it still stands."""
    return _parse_timestamp(value) if isinstance(value, str) else None


@lru_cache(maxsize=2048)  # every poll repeats the job's start, and parsing it took a tenth of a poll's time
def _parse_timestamp(value: str) -> pendulum.DateTime | None:
    try:
        parsed = pendulum.parse(value, tz="UTC")
        return parsed.in_timezone("UTC") if isinstance(parsed, pendulum.DateTime) else None
    except (ValueError, OverflowError, TypeError):
        return None
