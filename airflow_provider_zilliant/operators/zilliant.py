"""``ZilliantRunWorkflowOperator``: one job workflow as one task."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import (
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseOperator,
    TaskDeferred,
)
from airflow.providers.common.compat.sdk import (
    timeout as time_limit,
)

from airflow_provider_zilliant import waiting
from airflow_provider_zilliant.api.http import PAGE, shorten
from airflow_provider_zilliant.api.jobs import DEFAULT_DESCRIPTOR, JobStatus, Submission, submission_of
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
    import pendulum
    from airflow.providers.common.compat.sdk import Context

_LOOK = (
    "Look in Zilliant for a job of {submission} from about {at}. If there is one, it publishes (or has published): "
    "wait for its end and mark this task as success. If there is none, clear this task: clearing submits again."
)


@dataclass(frozen=True)
class _Try:
    """The task's present try; it travels with a deferral and comes back in the event.

    :param number: its number.
    :param ends_at: when ``execution_timeout`` ends it, deferred time included, in epoch seconds.
    """

    number: int
    ends_at: float | None

    def is_over(self, context: Context) -> bool:
        """Whether this is a later try already, which begins at the beginning.

        Airflow 3.0 retries a task that failed after a deferral in the same method, with the same event.
        """
        return bool(self.number < context["ti"].try_number)

    def check_time(self) -> None:
        if waiting.has_passed(self.ends_at, time.time()):
            raise AirflowTaskTimeout("execution_timeout ran out, the time spent deferred included")


class ZilliantRunWorkflowOperator(BaseOperator):
    """Submits a job workflow to Zilliant and returns its jobId.

    The jobId is pushed to XCom ``job_id`` the moment that Zilliant accepts the job, before any
    wait. A busy scope and, if wanted, the job's completion are waited for in the triggerer, where
    no worker slot is held. Zilliant's ``POST /v1/JobWorkflow/Authorized`` queues a second job when
    it is sent a second time, so whatever may have been accepted is not sent again unless you say so.

    :param workflow_automation_id: which workflow to run. (templated)
    :param scope: concurrency scope; ``None`` for the environment's serial queue. (templated)
    :param parameters: arguments of the workflow, text to text; finite numbers are sent as their
        decimal text. (templated)
    :param descriptor: workflow descriptor identifier. (templated)
    :param zilliant_conn_id: id of the Airflow Connection. (templated)
    :param on_scope_busy: what to do while another job of the scope is in progress: ``"wait"``,
        ``"fail"`` with :class:`ZilliantScopeBusyError`, or ``"skip"`` the task.
    :param scope_timeout: longest wait for a busy scope, counted from the first refusal: timedelta or
        seconds, ``None`` for no limit.
    :param wait_for_completion: also wait until the job is closed, and fail unless it COMPLETED.
        Without it the task is green as soon as the job is queued, which says nothing of its success.
    :param timeout: longest wait for completion, counted from acceptance: timedelta or seconds,
        ``None`` for no limit.
    :param poll_interval: seconds between looks, or between tries while the scope is busy. ``None``: a
        tenth of the time waited so far, at least 5 s and at most 60 s.
    :param deferrable: wait in the triggerer; ``False``: the same waits on the worker.
    :param durable: remember the submission in Airflow's task state, so that a retry attaches to its
        job. Needs Airflow 3.3; before, it has no effect.
    :param on_unknown_submission: what to do when it is unknown whether Zilliant accepted: ``"fail"``
        without retries, or ``"resubmit"``: let the task's retries submit again.
    :raises ValueError: when the Dag is parsed, if an argument is wrong.
    :raises ZilliantConfigError: an argument or the Connection is wrong; nothing was sent.
    :raises ZilliantScopeBusyError: the scope is busy, with ``on_scope_busy="fail"``.
    :raises ZilliantSubmissionUnknownError: a job may be running; the message says what to check.
    :raises ZilliantJobFailedError: the job closed, but not as COMPLETED.
    :raises ZilliantTimeoutError: ``scope_timeout`` or ``timeout`` ran out.
    """

    template_fields: Sequence[str] = (
        "workflow_automation_id",
        "scope",
        "parameters",
        "descriptor",
        "zilliant_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    ui_color = "#e7f0fd"

    def __init__(
        self,
        *,
        workflow_automation_id: str,
        scope: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        descriptor: str = DEFAULT_DESCRIPTOR,
        zilliant_conn_id: str = ZilliantHook.default_conn_name,
        on_scope_busy: Literal["wait", "fail", "skip"] = "wait",
        scope_timeout: timedelta | float | None = timedelta(hours=24),
        wait_for_completion: bool = False,
        timeout: timedelta | float | None = timedelta(hours=24),
        poll_interval: float | None = None,
        deferrable: bool = True,
        durable: bool = True,
        on_unknown_submission: Literal["fail", "resubmit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_literal("on_scope_busy", on_scope_busy, ("wait", "fail", "skip"))
        _check_literal("on_unknown_submission", on_unknown_submission, ("fail", "resubmit"))
        for name, flag in (
            ("wait_for_completion", wait_for_completion),
            ("deferrable", deferrable),
            ("durable", durable),
        ):
            _check_literal(name, flag, (True, False))
        if workflow_automation_id == "":
            raise ZilliantConfigError("workflow_automation_id: is empty; expected is the id of a workflow automation")
        self.workflow_automation_id = workflow_automation_id
        self.scope = scope
        self.parameters = parameters
        self.descriptor = descriptor
        self.zilliant_conn_id = zilliant_conn_id
        self.on_scope_busy = on_scope_busy
        self.scope_timeout = waiting.seconds_of("scope_timeout", scope_timeout)
        self.wait_for_completion = wait_for_completion
        self.timeout = waiting.seconds_of("timeout", timeout)
        self.poll_interval = waiting.poll_interval_of(poll_interval)
        self.deferrable = deferrable
        self.durable = durable
        self.on_unknown_submission = on_unknown_submission
        self._killed = False
        self._job_id: str | None = None

    def execute(self, context: Context) -> str:
        """Submits, or attaches to what an earlier try submitted; waits as asked; returns the jobId."""
        return self._run(context)

    def resume_submission(self, context: Context, event: object = None) -> str:
        """Goes on where :class:`ZilliantScopeTrigger` ended: the scope may be free."""
        told = event if isinstance(event, Mapping) else {}
        since = told.get("waiting_since")
        status = told.get("status")
        this_try = _try_of(told)
        if this_try is None or status not in ("retry", "timeout") or not isinstance(since, int | float):
            raise ZilliantError(
                f"The wait for the scope of {self._submission()} ended with an event that means nothing here "
                f"({shorten(repr(event))}). No job was submitted by this try."
            )
        if this_try.is_over(context):
            return self._run(context)
        if status == "timeout":
            raise self._scope_timed_out(this_try, self._submission(), since)
        with _time_left(this_try):
            return self._submit_or_attach(context, this_try, waiting_since=since)

    def resume_completion(self, context: Context, event: object = None) -> str:
        """Goes on where :class:`ZilliantJobTrigger` ended: the job is closed, or the wait is over."""
        told = event if isinstance(event, Mapping) else {}
        this_try = _try_of(told)
        if this_try is not None and this_try.is_over(context):
            return self._run(context)
        job_id = told.get("job_id")
        self._job_id = job_id if isinstance(job_id, str) else None
        with self._accepted(self._ledger(context)):
            return self._completed(context, event, this_try)

    def on_kill(self) -> None:
        """The API has no cancel, so all that is left is to say what runs on."""
        self._killed = True
        if self._job_id is not None:
            self.log.warning(
                "This task was killed. Job %s runs on in Zilliant: the API cannot cancel it.", self._job_id
            )

    def _run(self, context: Context) -> str:
        limit = self.execution_timeout
        ends_at = time.time() + limit.total_seconds() if limit is not None else None
        return self._submit_or_attach(context, _Try(context["ti"].try_number, ends_at), waiting_since=None)

    def _ledger(self, context: Context) -> Ledger:
        # Airflow before 3.3 has no task state: then nothing is remembered.
        return Ledger(context.get("task_state_store") if self.durable else None)

    def _submit_or_attach(self, context: Context, this_try: _Try, *, waiting_since: float | None) -> str:
        submission = self._submission()
        ledger = self._ledger(context)
        with ZilliantHook(self.zilliant_conn_id) as hook:
            while True:
                this_try.check_time()
                self._check_killed()
                job, status = self._job_on_record(context, hook, ledger, submission)
                if job is None:
                    try:
                        job = self._submit(context, hook, ledger, submission)
                    except ZilliantScopeBusyError as busy:
                        waiting_since = time.time() if waiting_since is None else waiting_since
                        self._wait_for_scope(busy, submission, this_try, waiting_since)
                        hook.close()  # no POST on a connection that idled: it may be half closed by now
                        continue
                self._job_id = job.job_id
                with self._accepted(ledger):
                    self._check_killed()
                    if self.do_xcom_push:
                        context["ti"].xcom_push(key="job_id", value=job.job_id)
                    return self._complete(context, hook, submission, this_try, job, status)

    def _submission(self) -> Submission:
        try:
            return submission_of(
                self.workflow_automation_id,
                scope=self.scope,
                parameters=self.parameters,
                descriptor=self.descriptor,
            )
        except ZilliantConfigError as error:
            raise final(error) from None

    def _job_on_record(
        self, context: Context, hook: ZilliantHook, ledger: Ledger, submission: Submission
    ) -> tuple[Job | None, JobStatus | None]:
        """The job of an earlier try to attach to, and its status; or nothing, if this try is to submit."""
        record = ledger.read()
        if record is None:
            return None, None
        max_tries = context["ti"].max_tries
        may_resubmit = self.on_unknown_submission == "resubmit"
        decision = decide(record, max_tries=max_tries, may_resubmit=may_resubmit)
        if decision is Next.STOP:
            raise self._unresolved(
                submission,
                f"An earlier try of this task (try {record.try_number}) was about to submit {submission} at "
                f"{_iso(record.at)}, and no outcome is on record: its worker died, or the answer was lost. Perhaps "
                "nothing was sent; perhaps a job is running.",
                attempted_at=_instant(record.at),
            )
        if decision is Next.SUBMIT or isinstance(record, Intent):
            was_cleared = is_from_before_a_clear(record, max_tries)
            self.log.warning(
                "Try %s was about to submit at %s, with no outcome on record; submitting again, as %s.",
                record.try_number,
                _iso(record.at),
                "the task was cleared" if was_cleared else "on_unknown_submission='resubmit'",
            )
            return None, None
        status = self._look_at(hook, record)
        if decide_after_look(record, status, max_tries=max_tries) is Next.ATTACH:
            self.log.info("Attaching to job %s, which try %s submitted.", record.job_id, record.try_number)
            return record, status
        told = "is not known to Zilliant any more" if status is None else f"closed: {status.close_status}"
        self.log.info("Job %s of try %s %s; submitting anew.", record.job_id, record.try_number, told)
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

    def _submit(self, context: Context, hook: ZilliantHook, ledger: Ledger, submission: Submission) -> Job:
        """One POST, between its intent and its outcome in the ledger."""
        # Before the intent: a Connection or a login that fails, or a worker that dies here, leaves nothing behind.
        base_url = hook.prepare()
        ti = context["ti"]
        tries = ti.try_number, ti.max_tries if ledger.remembers else 0
        self.log.info("Submitting %s to %s.", submission, base_url)
        try:
            ledger.write(Intent(*tries, time.time()))
            job_id = hook.submit(submission)
        except ZilliantSubmissionUnknownError as error:
            if self.on_unknown_submission == "resubmit":
                self.log.warning("on_unknown_submission='resubmit': the task's retries will submit again.")
                raise
            raise self._unresolved(submission, str(error), attempted_at=error.attempted_at) from error
        except BaseException as error:
            self._forget(ledger)  # whatever it was, no job came of it: the hook is certain
            if isinstance(error, ZilliantBadRequestError):
                raise final(error) from None
            raise
        job = Job(*tries, time.time(), job_id)
        self._job_id = job_id
        self.log.info("Zilliant accepted %s as job %s.", submission, job_id)
        try:
            ledger.write(job)
        except Exception:
            # The intent still stands, so a retry stops instead of submitting; this try knows the job and goes on.
            self.log.exception("Job %s runs, but could not be recorded in the task's state.", job_id)
        return job

    @contextmanager
    def _accepted(self, ledger: Ledger) -> Iterator[None]:
        """From here on there is a job: where nothing remembers it, a retry would submit a second one.

        So a task that ends here for any other reason than the job's own end is not retried then.
        """
        try:
            yield
        except (TaskDeferred, ZilliantJobFailedError):
            raise
        except BaseException as error:
            if ledger.remembers:
                raise
            told = error if isinstance(error, ZilliantError) else ZilliantError(f"{type(error).__name__}: {error}")
            if isinstance(error, AirflowTaskTimeout):
                told = ZilliantTimeoutError(str(error))
            named = f" of job {self._job_id}" if self._job_id is not None else ""
            raise final(
                told,
                f"{told} Nothing remembers the submission{named} (that takes Airflow 3.3 and durable=True), and a "
                "retry would submit again, so this task is not retried. Look at the job in Zilliant: if it ends well, "
                "mark this task as success; clearing it submits again.",
            ) from error

    def _forget(self, ledger: Ledger) -> None:
        try:
            ledger.clear()
        except Exception:
            # The task's own error matters more; with the intent on record, a retry stops and asks.
            self.log.exception("The task's state could not be cleared, although no job was queued.")

    def _unresolved(
        self, submission: Submission, what: str, *, attempted_at: pendulum.DateTime | None
    ) -> ZilliantSubmissionUnknownError:
        at = attempted_at.to_iso8601_string() if attempted_at is not None else "then"
        error = ZilliantSubmissionUnknownError(
            f"{what} {_LOOK.format(submission=submission, at=at)}",
            workflow=submission.workflow,
            scope=submission.scope,
            attempted_at=attempted_at,
        )
        return final(error)

    def _wait_for_scope(
        self, busy: ZilliantScopeBusyError, submission: Submission, this_try: _Try, waiting_since: float
    ) -> None:
        """Defers, or sleeps one interval and returns; or raises what ``on_scope_busy`` asks for."""
        if self.on_scope_busy == "fail":
            raise busy
        if self.on_scope_busy == "skip":
            raise AirflowSkipException(f"Skipped, because the scope is busy and on_scope_busy='skip'. {busy}")
        now = time.time()
        scope_ends_at = waiting_since + self.scope_timeout if self.scope_timeout is not None else None
        end_time = waiting.earliest(scope_ends_at, this_try.ends_at)
        if waiting.has_passed(end_time, now):
            raise self._scope_timed_out(this_try, submission, waiting_since) from busy
        since = f"The scope of {submission} is busy, for {now - waiting_since:.0f} s so far"
        if not self.deferrable:
            due = waiting.pause(now - waiting_since, self.poll_interval)
            rest, ends_first = waiting.rest_before_try(end_time, now, due)
            self.log.info("%s; %s in about %.0f s.", since, "giving up" if ends_first else "trying again", rest)
            self._sleep(rest)
            if ends_first:
                raise self._scope_timed_out(this_try, submission, waiting_since) from busy
            return
        from airflow_provider_zilliant.triggers.zilliant import ZilliantScopeTrigger

        self._check_killed()
        self.log.info("%s; waiting in the triggerer for this task's turn to try again.", since)
        self.defer(
            trigger=ZilliantScopeTrigger(
                zilliant_conn_id=self.zilliant_conn_id,
                scope=submission.scope,
                waiting_since=waiting_since,
                poll_interval=self.poll_interval,
                end_time=end_time,
                deferred_at=now,
                resume=asdict(this_try),
            ),
            method_name=self.resume_submission.__name__,
            timeout=waiting.backstop(end_time, now),
        )

    def _scope_timed_out(self, this_try: _Try, submission: Submission, waiting_since: float) -> BaseException:
        limit = self.scope_timeout
        if limit is None or (this_try.ends_at is not None and this_try.ends_at <= waiting_since + limit):
            return AirflowTaskTimeout(
                f"execution_timeout ran out while the scope of {submission} was busy; no job was submitted by this try."
            )
        return ZilliantTimeoutError(
            f"The scope of {submission} has been busy since {_iso(waiting_since)}, longer than scope_timeout "
            f"({limit:g} s). No job was submitted by this try; look in Zilliant for the job that holds the scope."
        )

    def _complete(
        self,
        context: Context,
        hook: ZilliantHook,
        submission: Submission,
        this_try: _Try,
        job: Job,
        status: JobStatus | None,
    ) -> str:
        """Returns the jobId, at once or when the job is COMPLETED; ``status`` is what is known of an earlier job."""
        if not self.wait_for_completion:
            return job.job_id
        if status is not None and status.is_closed:
            return self._completed(context, waiting.event_of(status), this_try)
        now = time.time()
        end_time = waiting.earliest(job.at + self.timeout if self.timeout is not None else None, this_try.ends_at)
        if not self.deferrable:
            event = hook.watch(
                job.job_id,
                began=job.at,
                accepted_at=job.at,
                poll_interval=self.poll_interval,
                end_time=end_time,
                before_first_look=waiting.pause(now - job.at, self.poll_interval),
                sleep=self._sleep,
            )
            return self._completed(context, event, this_try)
        from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger

        self.log.info("Waiting in the triggerer until job %s is closed.", job.job_id)
        self.defer(
            trigger=ZilliantJobTrigger(
                zilliant_conn_id=self.zilliant_conn_id,
                job_id=job.job_id,
                scope=submission.scope,
                poll_interval=self.poll_interval,
                end_time=end_time,
                accepted_at=job.at,
                deferred_at=now,
                resume=asdict(this_try),
            ),
            method_name=self.resume_completion.__name__,
            timeout=waiting.backstop(end_time, now),
        )
        raise AssertionError("defer raises")

    def _completed(self, context: Context, event: object, this_try: _Try | None) -> str:
        told = event if isinstance(event, Mapping) else {}
        if told.get("status") == "timeout" and this_try is not None:
            this_try.check_time()
        job = told.get("job")
        if told.get("status") == "closed" and isinstance(job, Mapping) and self.do_xcom_push:
            context["ti"].xcom_push(key="job_status", value={k: v for k, v in job.items() if k != "jobId"})
        status = waiting.closed_job(event, about=str(self._submission()))
        self.log.info("Job %s is COMPLETED.", status.job_id)
        return status.job_id

    def _sleep(self, seconds: float) -> None:
        """Sleeps in short steps: Airflow's kill signal does not end a sleep, and a killed task must end."""
        wakes_at = time.monotonic() + seconds
        while (left := wakes_at - time.monotonic()) > 0:
            self._check_killed()
            time.sleep(min(left, 1.0))

    def _check_killed(self) -> None:
        if self._killed:
            runs_on = f" Job {self._job_id} runs on in Zilliant." if self._job_id is not None else ""
            raise ZilliantError(f"This task was killed.{runs_on}")


def _check_literal(name: str, value: object, allowed: Sequence[object]) -> None:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}; not {value!r}")


def _try_of(event: Mapping[str, Any]) -> _Try | None:
    """The try that was deferred, as its trigger hands it back; ``None`` where the event does not tell."""
    resume = event.get("resume")
    if not isinstance(resume, Mapping):
        return None
    number, ends_at = resume.get("number"), resume.get("ends_at")
    if not isinstance(number, int) or not isinstance(ends_at, int | float | None):
        return None
    return _Try(number, ends_at)


def _time_left(this_try: _Try) -> AbstractContextManager[object]:
    """Airflow gives a resumed task its whole ``execution_timeout`` again; this gives it what is left."""
    this_try.check_time()
    if this_try.ends_at is None:
        return nullcontext()
    limit: AbstractContextManager[object] = time_limit(max(1, int(this_try.ends_at - time.time())))  # type: ignore[no-untyped-call]
    return limit


def _instant(at: float) -> pendulum.DateTime:
    import pendulum

    return pendulum.from_timestamp(at)


def _iso(at: float) -> str:
    return _instant(at).to_iso8601_string()
