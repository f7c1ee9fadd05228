"""``Try``: what all parts of a try share: the operator, Airflow's context, the record, and what a person is asked."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_zilliant import compat
from airflow_provider_zilliant.api.jobs import Submission, parse_submission
from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantError
from airflow_provider_zilliant.operators import messages
from airflow_provider_zilliant.operators.ledger import Ledger
from airflow_provider_zilliant.operators.questions import Question
from airflow_provider_zilliant.operators.records import Record, Tries
from airflow_provider_zilliant.operators.task import Task
from airflow_provider_zilliant.tasks.carried import Carried
from airflow_provider_zilliant.tasks.final_errors import final

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: For this many seconds after a record was read, no other try can have begun: Airflow takes longer to miss a worker.
FRESH = 3.0


class Try:
    """One try of the task, in one process.

    :param task: the operator.
    :param context: Airflow's context of the task.
    """

    def __init__(self, task: Task, context: Context) -> None:
        self.task = task
        self.log = task.log
        self.context = context
        self.ti = context["ti"]
        self.ledger = Ledger(compat.task_state(context) if task.durable else None)
        self.carried = Carried.start(self.ti.try_number, task.execution_timeout)
        #: What was on record before this try's own intent.
        self.before: Record | None = None
        #: The record as it was read last, and when.
        self.found: Record | None = None
        self.found_time = self.started_time = time.time()
        #: Whether this try was deferred before.
        self.is_resumed = False
        #: Whether a POST was begun whose outcome this process does not know.
        self.in_doubt = False

    @cached_property
    def submission(self) -> Submission:
        """What the task is to submit.

        :raises ZilliantConfigError: an argument is wrong; Airflow does not retry it.
        """
        task = self.task
        try:
            return parse_submission(
                task.workflow_automation_id, scope=task.scope, parameters=task.parameters, descriptor=task.descriptor
            )
        except ZilliantConfigError as error:
            raise final(error) from None

    @cached_property
    def tries(self) -> Tries:
        """Airflow's present counts."""
        run = self.context.get("dag_run") if compat.EVERY_CLEAR_IS_COUNTED else None
        return Tries(self.ti.try_number, self.ti.max_tries, getattr(run, "clear_number", None))

    def check_alive(self) -> None:
        """:raises ZilliantError: Airflow asked the task to end."""
        if self.task.killed:
            raise messages.killed(self.task.job_id)

    def check_record_is_as_found(self) -> None:
        """Right before an intent is written: a process that stood still may have been replaced by another try.

        Airflow 3.3 refuses the state of a task instance that another try has replaced, unless a scheduler that lost
        its executor began the same try once more; a Variable takes anything.

        :raises ZilliantError: the record has changed since it was read.
        """
        is_fresh = time.time() - self.found_time < FRESH
        if not is_fresh and self.ledger.read() != self.found:
            raise messages.replaced()

    def ask(self, question: Question, record: Record) -> ZilliantError:
        """Puts the question into the log, notes that it was told, and returns the error to end with."""
        for line in (*question.advice, question.what):
            self.log.error(line)
        self.note_told(record)
        return question.error

    def note_told(self, record: Record) -> None:
        """Notes that a person was told of what is on record: from then on, a clear is informed."""
        if record.told or self.task.killed:  # a person who cleared it while it ran has not read this
            return
        try:
            self.ledger.write(replace(record, told=True, told_at=self.tries))
            if compat.is_cleared(self.ti):
                self.ledger.write(record)  # whoever cleared it a moment ago has not read this
        except Exception:
            self.log.warning("It could not be noted that you were told: a clear will ask again.", exc_info=True)
