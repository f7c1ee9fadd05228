"""``ProgressLog``: what a wait for a job says in the task's log while it goes on."""

from __future__ import annotations

from typing import Any

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.exceptions import ZilliantError


class ProgressLog:
    """Warns of every poll that fails; if asked to, also says that the job is open.

    :param log: where to.
    :param every: at least this often, in seconds, and at every change, it says that the job is open; ``None``: never.
    """

    __slots__ = ("_every", "_last", "_log")

    #: A wait on a worker says something this often, in seconds.
    OFTEN = 300.0

    def __init__(self, log: Any, every: float | None = None) -> None:
        self._log = log
        self._every = every
        self._last: tuple[object, float] | None = None

    def failed(self, error: ZilliantError, failures: int, seconds: float) -> None:
        """A poll failed; the next one comes in these seconds."""
        self._log.warning("%s That is %s in a row; polling again in %.0f s.", _sentence(error), failures, seconds)

    def open(self, status: JobStatus, now: float, seconds: float) -> None:
        """The job is open; the next poll comes in these seconds."""
        if self._every is None:
            return
        last, seen = self._last, status.started_at
        if last is None or last[0] != seen or now + seconds - last[1] > self._every:
            since = f" since {seen.to_iso8601_string()}" if seen is not None else ""
            self._log.info("Job %s is open%s; polling again in %.0f s.", status.job_id, since, seconds)
            self._last = seen, now


def _sentence(error: ZilliantError) -> str:
    return f"{str(error).rstrip('.')}."
