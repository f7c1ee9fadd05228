"""The life of one try of the operator's task: submit or attach, remember, wait, report."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_zilliant import compat
from airflow_provider_zilliant.exceptions import ZilliantError, ZilliantScopeBusyError
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.observability import telemetry
from airflow_provider_zilliant.operators import messages
from airflow_provider_zilliant.operators.current_try import Try
from airflow_provider_zilliant.operators.earlier import Mine, earlier_job
from airflow_provider_zilliant.operators.guard import no_job_is_lost
from airflow_provider_zilliant.operators.records import AskedFor, Job
from airflow_provider_zilliant.operators.scope_wait import scope_timed_out, wait_for_scope
from airflow_provider_zilliant.operators.submitting import submit
from airflow_provider_zilliant.operators.task import Task
from airflow_provider_zilliant.tasks.carried import Carried
from airflow_provider_zilliant.waits import intervals
from airflow_provider_zilliant.waits.events import Closed, Failed, Retry, TimedOut, parse_event, unrecognized, verdict
from airflow_provider_zilliant.waits.progress import ProgressLog
from airflow_provider_zilliant.waits.watching import watch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Airflow 2.11 checks ``execution_timeout`` once more right after, so this many seconds count as none.
SPARE_TIME = 2.0


class Attempt:
    """The task in one process: from its start, or its resumption, to its deferral or its end.

    :param task: the operator.
    :param context: Airflow's context of the task.
    """

    def __init__(self, task: Task, context: Context) -> None:
        self._try = Try(task, context)
        self._task = task
        self._log = task.log

    def begin(self) -> str:
        """Submits, or attaches to what an earlier try submitted; waits as asked; returns the jobId."""
        return self._submit_or_attach(waiting_since=None)

    def resume_submission(self, payload: object) -> str:
        """Continues where :class:`ZilliantScopeTrigger` ended: the scope may be free."""
        carried, event = Carried.parse(payload), parse_event(payload)
        waiting_since = event.waiting_since if isinstance(event, Retry | TimedOut) else None
        if carried is None or waiting_since is None:
            raise messages.unrecognized_scope_event(self._try.submission, payload)
        if self._is_later_than(carried):
            return self.begin()
        self._try.carried, self._try.is_resumed = carried, True
        if isinstance(event, TimedOut):
            raise scope_timed_out(self._task, self._try.submission, carried, waiting_since)
        with carried.time_limit():
            return self._submit_or_attach(waiting_since=waiting_since)

    def resume_completion(self, payload: object) -> str:
        """Continues where :class:`ZilliantJobTrigger` ended: the job is closed, or the wait is over."""
        carried, event = Carried.parse(payload), parse_event(payload)
        if carried is not None:
            if self._is_later_than(carried):
                return self.begin()
            self._try.carried, self._try.is_resumed = carried, True
        with no_job_is_lost(self._try, waits_for_job=True):
            own = None
            with suppress(Exception):  # the event matters more
                own = self._job_id_of_this_try()
            reported = event.status.job_id if isinstance(event, Closed) else getattr(event, "job_id", None)
            self._task.job_id = own or reported
            if event is None or isinstance(event, Retry):
                raise unrecognized(payload, about=str(self._try.submission))
            if own is None or own == reported:
                return self._completed(event)
            if not self._try.ledger.remembers:
                raise unrecognized(payload, about=str(self._try.submission))
        self._log.warning("Airflow resumed the wait for job %s with news of job %s: polling the former.", own, reported)
        return self.begin()

    def lose_wait(self, error: Exception) -> BaseException:
        """The error for a wait that Airflow ended, because its trigger failed, cannot be imported, or is late."""
        lost = ZilliantError(f"Airflow ended the wait of this task: {type(error).__name__}: {error}")
        return self._end_with(lost, waits_for_job=False)

    def check_time_to_resume(self, *, waits_for_job: bool) -> None:
        """On Airflow 2.11, before a task resumes.

        :param waits_for_job: whether it is known to wait for a job.
        :raises BaseException: ``execution_timeout`` has passed, or will have before the resume method runs.
        """
        limit, started = self._task.execution_timeout, self._try.ti.start_date
        if limit is None or started is None or time.time() < started.timestamp() + limit.total_seconds() - SPARE_TIME:
            return
        ran_out = AirflowTaskTimeout("execution_timeout ran out, counting the time spent deferred")
        raise self._end_with(ran_out, waits_for_job=waits_for_job)

    def _end_with(self, error: BaseException, *, waits_for_job: bool) -> BaseException:
        # If neither a record nor an XCom can tell which wait it was, it counts as one for a job.
        unknown = not self._try.ledger.remembers and not self._task.do_xcom_push
        try:
            self._task.job_id = self._job_id_of_this_try()
        except Exception:
            unknown = True
        try:
            with no_job_is_lost(self._try, waits_for_job=waits_for_job or unknown):
                raise error
        except BaseException as explained:
            return explained

    def _job_id_of_this_try(self) -> str | None:
        """The job that this try submitted before it was deferred, as far as anything remembers it."""
        ti, record = self._try.ti, self._try.ledger.read()
        if isinstance(record, Job) and record.tries.try_number == ti.try_number:
            return record.job_id
        pushed = (
            ti.xcom_pull(task_ids=ti.task_id, key="job_id", map_indexes=ti.map_index)
            if self._task.do_xcom_push
            else None
        )
        return pushed if isinstance(pushed, str) else None

    def _is_later_than(self, carried: Carried) -> bool:
        """Whether this is a later try than the deferred one, and so starts from the beginning.

        Airflow 3.0 retries a task that failed after a deferral in the same method, with the same event.
        """
        return bool(carried.try_number < self._try.ti.try_number)

    def _submit_or_attach(self, *, waiting_since: float | None) -> str:
        _ = self._try.submission  # a wrong argument is reported before anything else happens
        task = self._task
        with (
            no_job_is_lost(self._try),
            ZilliantHook(
                task.zilliant_conn_id, request_timeout=task.request_timeout, check_alive=self._try.check_alive
            ) as hook,
        ):
            while True:
                self._try.carried.check_deadline()
                self._try.check_alive()
                asked_for = AskedFor.of(self._try.submission, hook.base_url)
                mine = earlier_job(self._try, hook, asked_for) if self._try.ledger.remembers else None
                if mine is None:
                    try:
                        mine = submit(self._try, hook, asked_for)
                    except ZilliantScopeBusyError as busy:
                        waiting_since = time.time() if waiting_since is None else waiting_since
                        self._wait_for_scope(hook, busy, waiting_since)
                        hook.close()  # no POST on a connection that idled: it may be half closed by now
                        continue
                    if waiting_since is not None:
                        telemetry.scope_was_busy(self._try.submission, since=waiting_since, until=mine.since)
                task.job_id = mine.job.job_id
                self._try.check_alive()
                if task.do_xcom_push:
                    self._try.ti.xcom_push(key="job_id", value=mine.job.job_id)
                return self._complete(hook, mine)

    def _wait_for_scope(self, hook: ZilliantHook, busy: ZilliantScopeBusyError, waiting_since: float) -> None:
        self._try.check_alive()

        def sleep(seconds: float) -> None:
            hook.run(hook.client.transport.sleep(seconds))

        wait_for_scope(self._task, self._try.submission, self._try.carried, busy, waiting_since, sleep=sleep)

    def _complete(self, hook: ZilliantHook, mine: Mine) -> str:
        """Returns the jobId, at once or when the job is COMPLETED."""
        task, job = self._task, mine.job
        if not task.wait_for_completion:
            return self._end_green(job.job_id)
        if mine.status is not None and mine.status.is_closed:
            return self._completed(Closed(mine.status))
        now = time.time()
        own_deadline = mine.since + task.timeout if task.timeout is not None else None
        deadline = intervals.earliest(own_deadline, self._try.carried.deadline)
        if task.deferrable:
            self._defer_until_closed(job, deadline, now)
        self._log.info("Waiting on this worker until job %s is closed.", job.job_id)
        waited = watch(
            hook.client,
            job.job_id,
            began=job.time,
            accepted_time=job.time,
            poll_interval=task.poll_interval,
            deadline=deadline,
            first_pause=intervals.pause(now - job.time, task.poll_interval),
            progress=ProgressLog(self._log, ProgressLog.OFTEN),
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
                scope=self._try.submission.scope,
                poll_interval=task.poll_interval,
                end_time=deadline,
                accepted_time=job.time,
                deferred_time=now,
                carried=self._try.carried.to_json(),
            ),
            method_name=task.resume_completion.__name__,
            timeout=intervals.backstop(deadline, now),
        )

    def _completed(self, event: Closed | TimedOut | Failed) -> str:
        if isinstance(event, TimedOut):
            self._try.carried.check_deadline()
        if isinstance(event, Closed):
            if self._task.do_xcom_push:
                self._try.ti.xcom_push(key="job_status", value=event.status.to_json())
            telemetry.closed(self._try.submission, event.status)
        status = verdict(event, about=str(self._try.submission))
        self._log.info("Job %s is COMPLETED.", status.job_id)
        return self._end_green(status.job_id)

    def _end_green(self, job_id: str) -> str:
        """Has it noted that the task ends green with this job, as soon as Airflow has its success on record.

        Not before: Airflow may still fail to store the result, or the task may have been cleared, and then another try
        looks for what is on record.
        """
        task, ledger, log = self._task, self._try.ledger, self._log

        def note_that_it_ended_green(context: Context) -> None:
            try:
                if compat.has_succeeded(context["ti"]):
                    ledger.end_green(job_id)
            except Exception:
                log.warning("It could not be noted that job %s ended this task.", job_id, exc_info=True)

        if ledger.remembers:
            others = task.on_success_callback or []
            others = list(others) if isinstance(others, list | tuple) else [others]
            task.on_success_callback = [*others, note_that_it_ended_green]
        return job_id
