"""What a task remembers of its submission, so that no retry submits twice.

Three states, in Airflow's task state (3.3 and later), which retries and clears leave alone::

    nothing ──── about to POST ────> intent ──── accepted ────> job
       ^                               │                         │
       └── certainly not accepted ─────┘      (a new submission overwrites either)

``intent`` without an outcome means that a worker died, or that the reply was lost: a job may
exist. Nothing else in this package reads or writes the task's state.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.exceptions import ZilliantConfigError

if TYPE_CHECKING:
    from airflow_provider_zilliant.compat import TaskState

KEY = "zilliant_submission"

#: Longer than any sensible wait or retry delay; then Airflow forgets the record.
RETENTION = timedelta(days=90)


@dataclass(frozen=True)
class Intent:
    """A POST was about to be sent.

    :param try_number: the task's try that meant to send it.
    :param max_tries: the task's ``max_tries`` then, which retries leave alone and a clear raises.
    :param time: when, in epoch seconds.
    """

    try_number: int
    max_tries: int
    time: float


@dataclass(frozen=True)
class Job:
    """A POST was accepted.

    :param try_number: the task's try that sent it.
    :param max_tries: the task's ``max_tries`` then.
    :param time: when it was accepted, in epoch seconds.
    :param job_id: what Zilliant calls the job.
    """

    try_number: int
    max_tries: int
    time: float
    job_id: str


class Ledger:
    """The record of one task instance.

    :param store: Airflow's task state; ``None`` where there is none, and nothing is remembered.
    """

    def __init__(self, store: TaskState | None) -> None:
        self._store = store

    @property
    def remembers(self) -> bool:
        return self._store is not None

    def read(self) -> Intent | Job | None:
        """The last record.

        :raises ZilliantConfigError: the record is unreadable, so nothing may be sent.
        """
        record = self._store.get(KEY) if self._store is not None else None
        if record is None:
            return None
        try:
            common = int(record["try_number"]), int(record["max_tries"]), float(record["time"])
            if record["state"] == "intent":
                return Intent(*common)
            if record["state"] == "job" and isinstance(record["job_id"], str):
                return Job(*common, record["job_id"])
        except (KeyError, TypeError, ValueError):
            pass
        raise ZilliantConfigError(
            f"The task state {KEY!r} holds something that this version cannot read. A job may have been submitted, "
            "so nothing was sent. Look for the job in Zilliant, then delete that key from the task's state."
        )

    def write(self, record: Intent | Job) -> None:
        if self._store is not None:
            state = "job" if isinstance(record, Job) else "intent"
            self._store.set(KEY, {"state": state, **asdict(record)}, retention=RETENTION)

    def clear(self) -> None:
        """Back to nothing: the intent certainly led to no job."""
        if self._store is not None:
            self._store.delete(KEY)


class Next(Enum):
    """What a task does, given what it remembers."""

    SUBMIT = "submit"
    POLL = "poll the job that is on record"
    ATTACH = "attach to it"
    STOP = "stop, because sending again could publish twice"


def is_from_before_a_clear(record: Intent | Job, max_tries: int) -> bool:
    """Whether the task was cleared since: the user's wish to run it again.

    Clearing sets ``max_tries`` to the tries so far plus the task's retries; a retry leaves it as it is.
    """
    return record.max_tries != max_tries


def decide(record: Intent | Job | None, *, max_tries: int, may_resubmit: bool) -> Next:
    """The first decision of every submission.

    :param max_tries: the task's present ``max_tries``.
    :param may_resubmit: whether the user agreed to send again what may have been accepted.
    """
    if record is None:
        return Next.SUBMIT
    if isinstance(record, Job):
        return Next.POLL
    return Next.SUBMIT if may_resubmit or is_from_before_a_clear(record, max_tries) else Next.STOP


def decide_after_poll(record: Job, status: JobStatus | None, *, max_tries: int) -> Next:
    """The second decision, if a job is on record.

    :param max_tries: the task's present ``max_tries``.
    :param status: what Zilliant reports about it; ``None`` if it no longer knows the job.
    """
    if status is None:
        return Next.SUBMIT
    if status.is_open:
        return Next.ATTACH
    return Next.ATTACH if status.succeeded and not is_from_before_a_clear(record, max_tries) else Next.SUBMIT
