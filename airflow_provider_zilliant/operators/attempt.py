"""One try of :class:`ZilliantRunWorkflowOperator`'s task: submit or attach, remember, wait, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pendulum
from airflow.providers.common.compat.sdk import AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from airflow.providers.common.compat.sdk import timeout as time_limit

from airflow_provider_zilliant import telemetry, waiting
from airflow_provider_zilliant.api.http import PAGE, shorten
from airflow_provider_zilliant.api.jobs import JobStatus, Submission, submission_of
from airflow_provider_zilliant.compat import task_state
from airflow_provider_zilliant.exceptions import (
    ZilliantBadRequestError,
    ZilliantConfigError,
    ZilliantError,
    ZilliantJobFailedError,
    ZilliantNotFoundError,
    ZilliantScopeBusyError,
    ZilliantSubmissionUnknownError,
    ZilliantTimeoutError,
)
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.ledger import (
    Intent,
    Job,
    Ledger,
    Next,
    decide,
    decide_after_look,
    is_from_before_a_clear,
)
from airflow_provider_zilliant.operators.final_errors import final

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

_LOOK = (
    "Look in Zilliant for a job of {submission} from about {at}. If there is one, it publishes (or has published): "
    "wait for its end and mark this task as success. If there is none, clear this task: clearing submits again."
)


@dataclass(frozen=True)
class Try:
    """What of a try must survive its deferrals: it travels in the trigger and comes back in the event.

    :param number: its number.
    :param ends_at: when ``execution_timeout`` ends it, deferred time included, in epoch seconds.
    """

    number: int
    ends_at: float | None

    def check_time(self) -> None:
        if waiting.has_passed(self.ends_at, time.time()):
            raise AirflowTaskTimeout("execution_timeout ran out, the time spent deferred included")


class Attempt:
    """The task in one process: from its start, or its resumption, to its deferral or its end.

    :param task: the operator.
    :param context: Airflow's context of the task.
    """

    def __init__(self, task: ZilliantRunWorkflowOperator, context: Context) -> None:
        self._task = task
        self._ti = context["ti"]
        limit = task.execution_timeout
        self._try = Try(self._ti.try_number, time.time() + limit.total_seconds() if limit is not None else None)
        self._ledger = Ledger(task_state(context) if task.durable else None)

    def begin(self) -> str:
        """Submits, or attaches to what an earlier try submitted; waits as asked; returns the jobId."""
        return self._submit_or_attach(waiting_since=None)

    def resume_submission(self, event: object) -> str:
        """Goes on where :class:`ZilliantScopeTrigger` ended: the scope may be free."""
        told = event if isinstance(event, Mapping) else {}
        deferred = _try_of(told)
        since = told.get("waiting_since")
        status = told.get("status")
        if deferred is None or status not in ("retry", "timeout") or not isinstance(since, int | float):
            raise ZilliantError(
                f"The wait for the scope of {self._submission} ended with an event that means nothing here "
                f"({shorten(repr(event))}). No job was submitted by this try."
            )
        if self._is_later_than(deferred):
            return self.begin()
        self._try = deferred
        if status == "timeout":
            raise self._scope_timed_out(since)
        with _time_left(deferred):
            return self._submit_or_attach(waiting_since=since)

    def resume_completion(self, event: object) -> str:
        """Goes on where :class:`ZilliantJobTrigger` ended: the job is closed, or the wait is over."""
        told = event if isinstance(event, Mapping) else {}
        deferred = _try_of(told)
        if deferred is not None:
            if self._is_later_than(deferred):
                return self.begin()
            self._try = deferred
        job = told.get("job")
        job_id = job.get("jobId") if isinstance(job, Mapping) else told.get("job_id")
        self._task.job_id = job_id if isinstance(job_id, str) else None
        with self._accepted():
            return self._completed(event)

    def _is_later_than(self, deferred: Try) -> bool:
        """Whether this is a later try than the deferred one, and so begins at the beginning.

        Airflow 3.0 retries a task that failed after a deferral in the same method, with the same event.
        """
        return bool(deferred.number < self._ti.try_number)

    @cached_property
    def _submission(self) -> Submission:
        task = self._task
        try:
            return submission_of(
                task.workflow_automation_id, scope=task.scope, parameters=task.parameters, descriptor=task.descriptor
            )
        except ZilliantConfigError as error:
            raise final(error) from None

    def _submit_or_attach(self, *, waiting_since: float | None) -> str:
        _ = self._submission  # a wrong argument is told before anything else happens
        with ZilliantHook(self._task.zilliant_conn_id) as hook:
            while True:
                self._try.check_time()
                self._check_killed()
                job, status = self._job_on_record(hook)
                if job is None:
                    try:
                        job = self._submit(hook)
                        if waiting_since is not None:
                            telemetry.scope_was_busy(self._submission, since=waiting_since, until=job.at)
                    except ZilliantScopeBusyError as busy:
                        waiting_since = time.time() if waiting_since is None else waiting_since
                        self._wait_for_scope(busy, waiting_since)
                        hook.close()  # no POST on a connection that idled: it may be half closed by now
                        continue
                self._task.job_id = job.job_id
                with self._accepted():
                    self._check_killed()
                    if self._task.do_xcom_push:
                        self._ti.xcom_push(key="job_id", value=job.job_id)
                    return self._complete(hook, job, status)

    def _job_on_record(self, hook: ZilliantHook) -> tuple[Job | None, JobStatus | None]:
        """The job of an earlier try to attach to, and its status; or nothing, if this try is to submit."""
        record = self._ledger.read()
        if record is None:
            return None, None
        max_tries = self._ti.max_tries
        may_resubmit = self._task.on_unknown_submission == "resubmit"
        decision = decide(record, max_tries=max_tries, may_resubmit=may_resubmit)
        if decision is Next.STOP:
            raise self._unresolved(
                f"An earlier try of this task (try {record.try_number}) was about to submit {self._submission} at "
                f"{_iso(record.at)}, and no outcome is on record: its worker died, or the answer was lost. Perhaps "
                "nothing was sent; perhaps a job is running.",
                attempted_at=_instant(record.at),
            )
        if decision is Next.SUBMIT or isinstance(record, Intent):
            was_cleared = is_from_before_a_clear(record, max_tries)
            self._task.log.warning(
                "Try %s was about to submit at %s, with no outcome on record; submitting again, as %s.",
                record.try_number,
                _iso(record.at),
                "the task was cleared" if was_cleared else "on_unknown_submission='resubmit'",
            )
            return None, None
        status = self._look_at(hook, record)
        if decide_after_look(record, status, max_tries=max_tries) is Next.ATTACH:
            self._task.log.info("Attaching to job %s, which try %s submitted.", record.job_id, record.try_number)
            return record, status
        told = "is not known to Zilliant any more" if status is None else f"closed: {status.close_status}"
        self._task.log.info("Job %s of try %s %s; submitting anew.", record.job_id, record.try_number, told)
        return None, None

    def _look_at(self, hook: ZilliantHook, record: Job) -> JobStatus | None:
        """The status of the job on record, or ``None`` if Zilliant certainly does not know it any more."""
        try:
            return hook.look_at(record.job_id, accepted_at=record.at)
        except ZilliantNotFoundError as error:
            is_young = time.time() - record.at < waiting.NOT_FOUND_GRACE
            if is_young or error.message.startswith(PAGE):
                raise  # not found yet, or by something that is not Zilliant's API: no reason to submit a second job
            return None

    def _submit(self, hook: ZilliantHook) -> Job:
        """One POST, between its intent and its outcome in the ledger."""
        # Before the intent: a Connection or a login that fails, or a worker that dies here, leaves nothing behind.
        base_url = hook.prepare()
        ti = self._ti
        tries = ti.try_number, ti.max_tries if self._ledger.remembers else 0
        self._task.log.info("Submitting %s to %s.", self._submission, base_url)
        began = time.time()
        try:
            self._ledger.write(Intent(*tries, time.time()))
            job_id = hook.submit(self._submission)
        except ZilliantSubmissionUnknownError as error:
            telemetry.submitted(self._submission, "unknown", began=began, ended=time.time())
            if self._task.on_unknown_submission == "resubmit":
                self._task.log.warning("on_unknown_submission='resubmit': the task's retries will submit again.")
                raise
            raise self._unresolved(str(error), attempted_at=error.attempted_at) from error
        except BaseException as error:
            self._forget()  # whatever it was, no job came of it: the hook is certain
            outcome: Literal["busy", "refused"] = "busy" if isinstance(error, ZilliantScopeBusyError) else "refused"
            telemetry.submitted(self._submission, outcome, began=began, ended=time.time())
            if isinstance(error, ZilliantBadRequestError):
                raise final(error) from None
            raise
        job = Job(*tries, time.time(), job_id)
        self._task.job_id = job_id
        self._task.log.info("Zilliant accepted %s as job %s.", self._submission, job_id)
        try:
            self._ledger.write(job)
        except Exception:
            # The intent still stands, so a retry stops instead of submitting; this try knows the job and goes on.
            self._task.log.exception("Job %s runs, but could not be recorded in the task's state.", job_id)
        telemetry.submitted(self._submission, "accepted", began=began, ended=job.at, job_id=job_id)
        return job

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        """From here on there is a job: where nothing remembers it, a retry would submit a second one.

        So a task that ends here for any other reason than the job's own end is not retried then.
        """
        try:
            yield
        except (TaskDeferred, ZilliantJobFailedError):
            raise
        except BaseException as error:
            if self._ledger.remembers:
                raise
            told = error if isinstance(error, ZilliantError) else ZilliantError(f"{type(error).__name__}: {error}")
            if isinstance(error, AirflowTaskTimeout):
                told = ZilliantTimeoutError(str(error))
            named = f" of job {self._task.job_id}" if self._task.job_id is not None else ""
            raise final(
                told,
                f"{told} Nothing remembers the submission{named} (that takes Airflow 3.3 and durable=True), and a "
                "retry would submit again, so this task is not retried. Look at the job in Zilliant: if it ends well, "
                "mark this task as success; clearing it submits again.",
            ) from error

    def _forget(self) -> None:
        try:
            self._ledger.clear()
        except Exception:
            # The task's own error matters more; with the intent on record, a retry stops and asks.
            self._task.log.exception("The task's state could not be cleared, although no job was queued.")

    def _unresolved(self, what: str, *, attempted_at: pendulum.DateTime | None) -> ZilliantSubmissionUnknownError:
        at = attempted_at.to_iso8601_string() if attempted_at is not None else "then"
        error = ZilliantSubmissionUnknownError(
            f"{what} {_LOOK.format(submission=self._submission, at=at)}",
            workflow=self._submission.workflow,
            scope=self._submission.scope,
            attempted_at=attempted_at,
        )
        return final(error)

    def _wait_for_scope(self, busy: ZilliantScopeBusyError, waiting_since: float) -> None:
        """Defers, or sleeps one interval and returns; or raises what ``on_scope_busy`` asks for."""
        if self._task.on_scope_busy == "fail":
            raise busy
        if self._task.on_scope_busy == "skip":
            raise AirflowSkipException(f"Skipped, because the scope is busy and on_scope_busy='skip'. {busy}")
        now = time.time()
        scope_ends_at = waiting_since + self._task.scope_timeout if self._task.scope_timeout is not None else None
        end_time = waiting.earliest(scope_ends_at, self._try.ends_at)
        if waiting.has_passed(end_time, now):
            raise self._scope_timed_out(waiting_since) from busy
        since = f"The scope of {self._submission} is busy, for {now - waiting_since:.0f} s so far"
        if not self._task.deferrable:
            due = waiting.pause(now - waiting_since, self._task.poll_interval)
            rest, ends_first = waiting.rest_before_try(end_time, now, due)
            self._task.log.info("%s; %s in about %.0f s.", since, "giving up" if ends_first else "trying again", rest)
            self._sleep(rest)
            if ends_first:
                raise self._scope_timed_out(waiting_since) from busy
            return
        from airflow_provider_zilliant.triggers.zilliant import ZilliantScopeTrigger

        self._check_killed()
        self._task.log.info("%s; waiting in the triggerer for this task's turn to try again.", since)
        self._task.defer(
            trigger=ZilliantScopeTrigger(
                zilliant_conn_id=self._task.zilliant_conn_id,
                scope=self._submission.scope,
                waiting_since=waiting_since,
                poll_interval=self._task.poll_interval,
                end_time=end_time,
                deferred_at=now,
                resume=asdict(self._try),
            ),
            method_name=self._task.resume_submission.__name__,
            timeout=waiting.backstop(end_time, now),
        )

    def _scope_timed_out(self, waiting_since: float) -> BaseException:
        limit = self._task.scope_timeout
        if limit is None or (self._try.ends_at is not None and self._try.ends_at <= waiting_since + limit):
            return AirflowTaskTimeout(
                f"execution_timeout ran out while the scope of {self._submission} was busy; no job was submitted by "
                "this try."
            )
        return ZilliantTimeoutError(
            f"The scope of {self._submission} has been busy since {_iso(waiting_since)}, longer than scope_timeout "
            f"({limit:g} s). No job was submitted by this try; look in Zilliant for the job that holds the scope."
        )

    def _complete(self, hook: ZilliantHook, job: Job, status: JobStatus | None) -> str:
        """Returns the jobId, at once or when the job is COMPLETED; ``status`` is what is known of an earlier job."""
        if not self._task.wait_for_completion:
            return job.job_id
        if status is not None and status.is_closed:
            return self._completed(waiting.event_of(status))
        now = time.time()
        end_time = waiting.earliest(
            job.at + self._task.timeout if self._task.timeout is not None else None, self._try.ends_at
        )
        if not self._task.deferrable:
            event = hook.watch(
                job.job_id,
                began=job.at,
                accepted_at=job.at,
                poll_interval=self._task.poll_interval,
                end_time=end_time,
                before_first_look=waiting.pause(now - job.at, self._task.poll_interval),
                sleep=self._sleep,
            )
            return self._completed(event)
        from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger

        self._task.log.info("Waiting in the triggerer until job %s is closed.", job.job_id)
        self._task.defer(
            trigger=ZilliantJobTrigger(
                zilliant_conn_id=self._task.zilliant_conn_id,
                job_id=job.job_id,
                scope=self._submission.scope,
                poll_interval=self._task.poll_interval,
                end_time=end_time,
                accepted_at=job.at,
                deferred_at=now,
                resume=asdict(self._try),
            ),
            method_name=self._task.resume_completion.__name__,
            timeout=waiting.backstop(end_time, now),
        )
        raise AssertionError("defer raises")

    def _completed(self, event: object) -> str:
        told = event if isinstance(event, Mapping) else {}
        if told.get("status") == "timeout":
            self._try.check_time()
        job = told.get("job")
        if told.get("status") == "closed" and isinstance(job, Mapping) and self._task.do_xcom_push:
            self._ti.xcom_push(key="job_status", value={k: v for k, v in job.items() if k != "jobId"})
        try:
            status = waiting.closed_job(event, about=str(self._submission))
        except ZilliantJobFailedError as error:
            if error.status is not None:
                telemetry.closed(self._submission, error.status)
            raise
        telemetry.closed(self._submission, status)
        self._task.log.info("Job %s is COMPLETED.", status.job_id)
        return status.job_id

    def _sleep(self, seconds: float) -> None:
        """Sleeps in short steps: Airflow's kill signal does not end a sleep, and a killed task must end."""
        wakes_at = time.monotonic() + seconds
        while (left := wakes_at - time.monotonic()) > 0:
            self._check_killed()
            time.sleep(min(left, 1.0))

    def _check_killed(self) -> None:
        if self._task.killed:
            runs_on = f" Job {self._task.job_id} runs on in Zilliant." if self._task.job_id is not None else ""
            raise ZilliantError(f"This task was killed.{runs_on}")


def _try_of(event: Mapping[str, Any]) -> Try | None:
    """The try that was deferred, as its trigger hands it back; ``None`` where the event does not tell."""
    resume = event.get("resume")
    if not isinstance(resume, Mapping):
        return None
    number, ends_at = resume.get("number"), resume.get("ends_at")
    if not isinstance(number, int) or not isinstance(ends_at, int | float | None):
        return None
    return Try(number, ends_at)


def _time_left(deferred: Try) -> AbstractContextManager[object]:
    """Airflow gives a resumed task its whole ``execution_timeout`` again; this gives it what is left."""
    deferred.check_time()
    if deferred.ends_at is None:
        return nullcontext()
    limit: AbstractContextManager[object] = time_limit(max(1, int(deferred.ends_at - time.time())))  # type: ignore[no-untyped-call]
    return limit


def _instant(at: float) -> pendulum.DateTime:
    return pendulum.from_timestamp(at)


def _iso(at: float) -> str:
    return _instant(at).to_iso8601_string()
