"""Reads and writes a task's record: under which key, in Airflow's task state or in Variables.

::

    nothing ──── about to POST ────> intent ──── accepted ────> job
       ^                               │                         │
       └── certainly not accepted ─────┘      (a new submission's intent keeps what was there before,
                                               and brings it back if it is certainly not accepted)

It is the only place that touches Airflow's memory of a task: its task state on Airflow 3.3 and later,
Variables before. :mod:`consent` says what a record means for the next try.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_zilliant.api.jobs import is_id
from airflow_provider_zilliant.exceptions import ZilliantConfigError
from airflow_provider_zilliant.operators.records import Job, Record, from_json, to_json

if TYPE_CHECKING:
    from airflow_provider_zilliant.compat import TaskState

KEY = "zilliant_submission"
#: Under this key a person answers a question with the jobId found in Zilliant.
ANSWER_KEY = "zilliant_job_id"

#: Longer than any sensible wait or retry delay; then Airflow forgets the record.
RETENTION = timedelta(days=90)


class Ledger:
    """The record of one task instance.

    :param store: Airflow's memory of the task; ``None`` with ``durable=False``: nothing is remembered.
    """

    def __init__(self, store: TaskState | None) -> None:
        self._store = store

    @property
    def remembers(self) -> bool:
        return self._store is not None

    def read(self) -> Record | None:
        """The last record.

        :raises ZilliantConfigError: there is something else, and nothing may be sent on top of it.
        """
        value = self._store.get(KEY) if self._store is not None else None
        if value is None:
            return None
        try:
            return from_json(value)
        except (KeyError, TypeError, ValueError):
            raise ZilliantConfigError(
                f"The task's record {KEY!r} holds something that this version cannot read. Whether a job was submitted "
                "is not known, so nothing was sent. Look for the job in Zilliant, then delete the record."
            ) from None

    def write(self, record: Record | None) -> None:
        """Replaces the record; ``None`` deletes it."""
        if self._store is None:
            return
        if record is None:
            self._store.delete(KEY)
        else:
            self._store.set(KEY, to_json(record), retention=RETENTION)

    def end_green(self, job_id: str) -> None:
        """Notes that the task ended green with the job. In Variables, which nobody else tidies up, the record ends."""
        if self._store is None:
            return
        record = self.read()
        if isinstance(record, Job) and record.job_id == job_id:
            self.write(None if self._store.variable_name(KEY) is not None else replace(record, green=True))

    @property
    def answer_entry(self) -> str:
        """Where a person can enter a jobId, as in "enter its jobId as ..."."""
        name = self._store.variable_name(ANSWER_KEY) if self._store is not None else None
        if name is not None:
            return f"Airflow Variable {name!r}"
        return f"entry {ANSWER_KEY!r} of this task's state (Storage, Task State Store, Add)"

    def read_answer(self) -> str | None:
        """The jobId that a person has entered.

        :raises ZilliantConfigError: the entry is not a jobId.
        """
        value = self._store.get(ANSWER_KEY) if self._store is not None else None
        if value is None:
            return None
        job_id = str(value).strip().strip('"').strip() if isinstance(value, str | int) and value is not True else ""
        if not is_id(job_id):
            raise ZilliantConfigError(
                f"The entry {ANSWER_KEY!r} holds {value!r}, which is not a jobId; nothing was sent. Correct it, or "
                "delete it, and clear this task."
            )
        return job_id

    def use_up_answer(self) -> None:
        """Deletes the jobId that a person has entered."""
        if self._store is not None:
            self._store.delete(ANSWER_KEY)
