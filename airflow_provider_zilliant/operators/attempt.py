"""The life of one try of the operator's task: submit or attach, remember, wait, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.jobs import Submission, parse_submission
from airflow_provider_zilliant.compat import task_state
from airflow_provider_zilliant.exceptions import (
    ZilliantBadRequestError,
    ZilliantConfigError,
    ZilliantJobFailedError,
    ZilliantNotFoundError,
    ZilliantScopeBusyError,
    ZilliantSubmissionUnknownError,
)
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.observability import telemetry
from airflow_provider_zilliant.operators import messages
from airflow_provider_zilliant.operators.ledger import (
    Intent,
    Job,
    Ledger,
    Next,
    decide,
    decide_after_poll,
    is_from_before_a_clear,
)
from airflow_provider_zilliant.operators.scope_wait import timed_out, wait_for_scope
from airflow_provider_zilliant.operators.task import Task
from airflow_provider_zilliant.tasks.carried import Carried
from airflow_provider_zilliant.tasks.final_errors import final
from airflow_provider_zilliant.waits import intervals
from airflow_provider_zilliant.waits.events import Closed, Failed, Retry, TimedOut, parse_event, unrecognized, verdict
from airflow_provider_zilliant.waits.watching import NOT_FOUND_GRACE, poll_patiently, watch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class Attempt:
    """The task in one process: from its start, or its resumption, to its deferral or its end.

    :param task: the operator.
    :param context: Airflow's context of the task.
    """

    def __init__(self, task: Task, context: Context) -> None:
        self._task = task
        self._log = task.log
        self._ti = context["ti"]
        self._carried = Carried.start(self._ti.try_number, task.execution_timeout)
        self._ledger = Ledger(task_state(context) if task.durable else None)

    def begin(self) -> str:
        """Submits, or attaches to what an earlier try submitted; waits as asked; returns the jobId."""
        return self._submit_or_attach(waiting_since=None)

    def resume_submission(self, payload: object) -> str:
        """Continues where :class:`ZilliantScopeTrigger` ended: the scope may be free."""
        carried, event = Carried.parse(payload), parse_event(payload)
        waiting_since = event.waiting_since if isinstance(event, Retry | TimedOut) else None
        if carried is None or waiting_since is None:
            raise messages.unrecognized_scope_event(self._submission, payload)
        if self._is_later_than(carried):
            return self.begin()
        self._carried = carried
        if isinstance(event, TimedOut):
            raise timed_out(self._task, self._submission, carried, waiting_since)
        with carried.time_limit():
            return self._submit_or_attach(waiting_since=waiting_since)

    def resume_completion(self, payload: object) -> str:
        """Continues where :class:`ZilliantJobTrigger` ended: the job is closed, or the wait is over."""
        carried, event = Carried.parse(payload), parse_event(payload)
        if carried is not None:
            if self._is_later_than(carried):
                return self.begin()
            self._carried = carried
        if isinstance(event, Closed):
            self._task.job_id = event.status.job_id
        elif isinstance(event, TimedOut | Failed):
            self._task.job_id = event.job_id
        with self._accepted():
            if event is None or isinstance(event, Retry):
                raise unrecognized(payload, about=str(self._submission))
            return self._completed(event)

    def _is_later_than(self, carried: Carried) -> bool:
        """Whether this is a later try than the deferred one, and so starts from the beginning.

        Airflow 3.0 retries a task that failed after a deferral in the same method, with the same event.
        """
        return bool(carried.try_number < self._ti.try_number)

    @cached_property
    def _submission(self) -> Submission:
        task = self._task
        try:
            return parse_submission(
                task.workflow_automation_id, scope=task.scope, parameters=task.parameters, descriptor=task.descriptor
            )
        except ZilliantConfigError as error:
            raise final(error) from None

    def _submit_or_attach(self, *, waiting_since: float | None) -> str:
        _ = self._submission  # a wrong argument is reported before anything else happens
        with ZilliantHook(self._task.zilliant_conn_id, check_alive=self._check_alive) as hook:
            while True:
                self._carried.check_deadline()
                self._check_alive()
                job, status = self._job_on_record(hook)
                if job is None:
                    try:
                        job = self._submit(hook)
                        if waiting_since is not None:
                            telemetry.scope_was_busy(self._submission, since=waiting_since, until=job.time)
                    except ZilliantScopeBusyError as busy:
                        waiting_since = time.time() if waiting_since is None else waiting_since
                        self._wait_for_scope(hook, busy, waiting_since)
                        hook.close()  # no POST on a connection that idled: it may be half closed by now
                        continue
                self._task.job_id = job.job_id
                with self._accepted():
                    self._check_alive()
                    if self._task.do_xcom_push:
                        self._ti.xcom_push(key="job_id", value=job.job_id)
                    return self._complete(hook, job, status)

    def _wait_for_scope(self, hook: ZilliantHook, busy: ZilliantScopeBusyError, waiting_since: float) -> None:
        self._check_alive()

        def sleep(seconds: float) -> None:
            hook.run(hook.client.transport.sleep(seconds))

        wait_for_scope(self._task, self._submission, self._carried, busy, waiting_since, sleep=sleep)

    def _job_on_record(self, hook: ZilliantHook) -> tuple[Job | None, JobStatus | None]:
        """The job of an earlier try to attach to, and its status; or nothing, if this try is to submit."""
        record = self._ledger.read()
        if record is None:
            return None, None
        max_tries = self._ti.max_tries
        may_resubmit = self._task.on_unknown_submission == "resubmit"
        decision = decide(record, max_tries=max_tries, may_resubmit=may_resubmit)
        if decision is Next.STOP:
            what = messages.left_behind_intent(record.try_number, self._submission, record.time)
            raise messages.unresolved(self._submission, what, attempted_at=messages.to_datetime(record.time))
        if decision is Next.SUBMIT or isinstance(record, Intent):
            self._log.warning(
                "Try %s was about to submit at %s, but no outcome is on record. Submitting again, because %s.",
                record.try_number,
                messages.to_iso(record.time),
                "the task was cleared"
                if is_from_before_a_clear(record, max_tries)
                else "on_unknown_submission='resubmit'",
            )
            return None, None
        status = self._poll_earlier(hook, record)
        if decide_after_poll(record, status, max_tries=max_tries) is Next.ATTACH:
            self._log.info("Attaching to job %s, which try %s submitted.", record.job_id, record.try_number)
            return record, status
        outcome = "is no longer known to Zilliant" if status is None else f"closed as {status.close_status}"
        self._log.info("Job %s of try %s %s; submitting again.", record.job_id, record.try_number, outcome)
        return None, None

    def _poll_earlier(self, hook: ZilliantHook, record: Job) -> JobStatus | None:
        """The status of the job on record, or ``None`` if Zilliant certainly no longer knows it."""
        try:
            return hook.run(poll_patiently(hook.client, record.job_id, accepted_time=record.time))
        except ZilliantNotFoundError as error:
            if error.is_page or time.time() - record.time < NOT_FOUND_GRACE:
                raise  # not found yet, or not by Zilliant's API: no reason to submit a second job
            return None

    def _submit(self, hook: ZilliantHook) -> Job:
        """One POST, between its intent and its outcome in the ledger."""
        # Before the intent: a Connection or a login that fails, or a worker that dies here, leaves nothing behind.
        base_url = hook.prepare()
        ti = self._ti
        tries = ti.try_number, ti.max_tries if self._ledger.remembers else 0
        self._log.info("Submitting %s to %s.", self._submission, base_url)
        began = time.time()
        try:
            self._ledger.write(Intent(*tries, time.time()))
            job_id = hook.submit(self._submission)
        except ZilliantSubmissionUnknownError as error:
            telemetry.submitted(self._submission, "unknown", began=began, ended=time.time())
            if self._task.on_unknown_submission == "resubmit":
                self._log.warning("on_unknown_submission='resubmit': the task's retries may submit a second job.")
                raise
            raise messages.unresolved(self._submission, str(error), attempted_at=error.attempted_at) from error
        except BaseException as error:
            self._forget()  # whatever it was, there is no job: the hook is certain
            outcome: Literal["busy", "refused"] = "busy" if isinstance(error, ZilliantScopeBusyError) else "refused"
            telemetry.submitted(self._submission, outcome, began=began, ended=time.time())
            if isinstance(error, ZilliantBadRequestError):
                raise final(error) from None
            raise
        job = Job(*tries, time.time(), job_id)
        self._task.job_id = job_id
        self._log.info("Zilliant accepted %s as job %s.", self._submission, job_id)
        try:
            self._ledger.write(job)
        except Exception:
            # The intent still stands, so a retry stops instead of submitting; this try knows the job and continues.
            self._log.exception("Job %s was accepted, but could not be recorded in the task's state.", job_id)
        telemetry.submitted(self._submission, "accepted", began=began, ended=job.time, job_id=job_id)
        return job

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        """From here on there is a job, and where nothing remembers it, a retry would submit a second one.

        So a task that ends in here is not retried then, unless the job itself has ended.
        """
        try:
            yield
        except (TaskDeferred, ZilliantJobFailedError):
            raise
        except BaseException as error:
            if self._ledger.remembers:
                raise
            raise messages.not_remembered(error, self._task.job_id) from error

    def _forget(self) -> None:
        try:
            self._ledger.clear()
        except Exception:
            # The task's own error matters more; with the intent on record, a retry stops and asks.
            self._log.exception(
                "No job was submitted, but the task's state could not be cleared. A retry will stop: outcome unknown."
            )

    def _complete(self, hook: ZilliantHook, job: Job, status: JobStatus | None) -> str:
        """Returns the jobId, at once or when the job is COMPLETED.

        :param status: what is known of an earlier job.
        """
        task = self._task
        if not task.wait_for_completion:
            return job.job_id
        if status is not None and status.is_closed:
            return self._completed(Closed(status))
        now = time.time()
        own_deadline = job.time + task.timeout if task.timeout is not None else None
        deadline = intervals.earliest(own_deadline, self._carried.deadline)
        if task.deferrable:
            self._defer_until_closed(job, deadline, now)
        waited = watch(
            hook.client,
            job.job_id,
            began=job.time,
            accepted_time=job.time,
            poll_interval=task.poll_interval,
            deadline=deadline,
            first_pause=intervals.pause(now - job.time, task.poll_interval),
        )
        return self._completed(hook.run(waited))

    def _defer_until_closed(self, job: Job, deadline: float | None, now: float) -> None:
        from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger

        task = self._task
        self._log.info("Waiting in the triggerer until job %s is closed.", job.job_id)
        task.defer(
            trigger=ZilliantJobTrigger(
                zilliant_conn_id=task.zilliant_conn_id,
                job_id=job.job_id,
                scope=self._submission.scope,
                poll_interval=task.poll_interval,
                end_time=deadline,
                accepted_time=job.time,
                deferred_time=now,
                carried=self._carried.to_json(),
            ),
            method_name=task.resume_completion.__name__,
            timeout=intervals.backstop(deadline, now),
        )

    def _completed(self, event: Closed | TimedOut | Failed) -> str:
        if isinstance(event, TimedOut):
            self._carried.check_deadline()
        if isinstance(event, Closed):
            if self._task.do_xcom_push:
                self._ti.xcom_push(key="job_status", value=event.status.to_json())
            telemetry.closed(self._submission, event.status)
        status = verdict(event, about=str(self._submission))
        self._log.info("Job %s is COMPLETED.", status.job_id)
        return status.job_id

    def _check_alive(self) -> None:
        if self._task.killed:
            raise messages.killed(self._task.job_id)
