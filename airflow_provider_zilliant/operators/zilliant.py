"""``ZilliantRunWorkflowOperator``: one job workflow as one task.

This module holds the arguments alone. Airflow parses every Dag file again and again, so whatever only
a running task needs is imported when it runs (:mod:`airflow_provider_zilliant.operators.attempt`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_zilliant import arguments
from airflow_provider_zilliant.exceptions import ZilliantConfigError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_zilliant.operators.attempt import Attempt

#: The method with which Airflow resumes a task whose trigger failed, cannot be imported, or ended too late.
FAILED_WAIT = "__fail__"


class ZilliantRunWorkflowOperator(BaseOperator):
    """Submits a job workflow to Zilliant and returns its jobId.

    The jobId is pushed to XCom ``job_id`` the moment Zilliant accepts the job, before any wait. The
    task waits for a busy scope and, if you ask for it, for the job's completion in the triggerer, where
    it holds no worker slot. Zilliant's ``POST /v1/JobWorkflow/Authorized`` runs a second job when it is
    sent a second time, so what may have been accepted is not sent again unless you say so.

    :param workflow_automation_id: which workflow to run. (templated)
    :param scope: concurrency scope; ``None`` for Zilliant's own serial queue. (templated)
    :param parameters: arguments of the workflow, text to text; finite numbers are sent as their
        decimal text. (templated)
    :param descriptor: workflow descriptor identifier; defaults to ``PLATFORM_CUSTOM_WORKFLOW``. (templated)
    :param zilliant_conn_id: id of the Airflow Connection; defaults to ``zilliant_default``. (templated)
    :param on_scope_busy: what to do while another job of the scope is in progress: ``"wait"``,
        ``"fail"`` with :class:`ZilliantScopeBusyError`, or ``"skip"`` the task.
    :param scope_timeout: longest wait for a busy scope, counted from the first refusal: timedelta or
        seconds, ``None`` for no limit.
    :param wait_for_completion: also wait until the job is closed, and fail unless it COMPLETED.
        Without it the task is green as soon as the job is queued, which says nothing about its success.
    :param timeout: longest wait for completion of one try, counted from acceptance or, in a try that attaches to a
        job, from there: timedelta or seconds, ``None`` for no limit.
    :param poll_interval: seconds between polls, or between tries while the scope is busy. ``None``: a
        tenth of the time waited so far, at least 5 s and at most 60 s; the first after 8 s, because
        Airflow's LocalExecutor may fail a task that is resumed sooner after its deferral.
    :param deferrable: wait in the triggerer; ``False``: the same waits on the worker.
    :param durable: remember the submission (in the task's state on Airflow 3.3 and later, in a Variable
        before), so that a retry attaches to its job. ``False``: a try that loses sight of its job is not
        retried.
    :param on_unknown_submission: what to do when it is unknown whether Zilliant accepted: ``"fail"``
        without retries, or ``"resubmit"``: the task's retries submit again.
    :param request_timeout: seconds to wait for a connection, and for each piece of a reply.
    :param on_clear: what a clear does while an earlier job is open, or has COMPLETED without the task
        ending green: ``"ask"`` (fail with a question; clearing once more submits), ``"attach"`` to the
        job, or ``"submit"`` a second one.
    :raises ValueError: when the Dag is parsed, if an argument is wrong.
    :raises ZilliantConfigError: an argument or the Connection is wrong; nothing was sent.
    :raises ZilliantScopeBusyError: the scope is busy, with ``on_scope_busy="fail"``.
    :raises ZilliantSubmissionUnknownError: a job may be running; the message says what to check.
    :raises ZilliantEarlierJobError: an earlier job is on record, and submitting could publish twice.
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
        descriptor: str = arguments.DEFAULT_DESCRIPTOR,
        zilliant_conn_id: str = arguments.DEFAULT_CONN_ID,
        on_scope_busy: Literal["wait", "fail", "skip"] = "wait",
        scope_timeout: timedelta | float | None = timedelta(hours=24),
        wait_for_completion: bool = False,
        timeout: timedelta | float | None = timedelta(hours=24),
        poll_interval: float | None = None,
        deferrable: bool = True,
        durable: bool = True,
        on_unknown_submission: Literal["fail", "resubmit"] = "fail",
        request_timeout: float = 60.0,
        on_clear: Literal["ask", "attach", "submit"] = "ask",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        arguments.check_choice("on_scope_busy", on_scope_busy, ("wait", "fail", "skip"))
        arguments.check_choice("on_unknown_submission", on_unknown_submission, ("fail", "resubmit"))
        arguments.check_choice("on_clear", on_clear, ("ask", "attach", "submit"))
        for name, flag in (
            ("wait_for_completion", wait_for_completion),
            ("deferrable", deferrable),
            ("durable", durable),
        ):
            arguments.check_choice(name, flag, (True, False))
        if workflow_automation_id == "":
            raise ZilliantConfigError("workflow_automation_id: empty; expected the id of a workflow automation")
        self.workflow_automation_id = workflow_automation_id
        self.scope = scope
        self.parameters = parameters
        self.descriptor = descriptor
        self.zilliant_conn_id = zilliant_conn_id
        self.on_scope_busy = on_scope_busy
        self.scope_timeout = arguments.parse_seconds("scope_timeout", scope_timeout)
        self.wait_for_completion = wait_for_completion
        self.timeout = arguments.parse_seconds("timeout", timeout)
        self.poll_interval = arguments.parse_poll_interval(poll_interval)
        self.deferrable = deferrable
        self.durable = durable
        self.on_unknown_submission = on_unknown_submission
        self.request_timeout = arguments.parse_request_timeout(request_timeout)
        self.on_clear = on_clear
        #: Whether Airflow has asked the running task to end, and the job that it has by then.
        self.killed = False
        self.job_id: str | None = None

    def execute(self, context: Context) -> str:
        """Submits, or attaches to what an earlier try submitted; waits as asked; returns the jobId."""
        return self._attempt(context).begin()

    def resume_submission(self, context: Context, event: object = None) -> str:
        """Continues where :class:`ZilliantScopeTrigger` ended: the scope may be free."""
        return self._attempt(context).resume_submission(event)

    def resume_completion(self, context: Context, event: object = None) -> str:
        """Continues where :class:`ZilliantJobTrigger` ended: the job is closed, or the wait is over."""
        return self._attempt(context).resume_completion(event)

    def pre_execute(self, context: Context) -> None:
        """Airflow 2.11: ends a try whose ``execution_timeout`` ran out while it was deferred.

        Airflow would end it before any of this class's methods run, and retry it whatever it has submitted.
        """
        super().pre_execute(context)
        method = getattr(context["ti"], "next_method", None)
        if method in (FAILED_WAIT, self.resume_completion.__name__):
            self._attempt(context).check_time_to_resume(waits_for_job=method != FAILED_WAIT)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Airflow's entry after a deferral; also where the trigger failed, or ended too late."""
        if next_method != FAILED_WAIT:
            return super().resume_execution(next_method, next_kwargs, context)
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except Exception as error:
            raise self._attempt(context).lose_wait(error) from error

    def on_kill(self) -> None:
        """Logs which job continues (the API has no cancel), and prevents any further submission."""
        self.killed = True
        if self.job_id is not None:
            self.log.warning(
                "Airflow ends this task: it was cleared, marked or killed, or its time ran out. "
                "Job %s continues in Zilliant: the API cannot cancel it.",
                self.job_id,
            )

    def get_openlineage_facets_on_complete(self, task_instance: object) -> Any:
        """The run facet ``zilliant_job``, which the OpenLineage provider asks for, even when the task failed."""
        from airflow_provider_zilliant.observability.lineage import lineage

        return lineage(self.job_id, self.workflow_automation_id, self.scope or None)

    def _attempt(self, context: Context) -> Attempt:
        from airflow_provider_zilliant.operators.attempt import Attempt

        return Attempt(self, context)
