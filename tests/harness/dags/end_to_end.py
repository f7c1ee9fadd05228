"""Two tasks on one scope, both of which wait for their jobs: one meets a busy scope, and both are deferred.

And histories of tasks in which Airflows differ: ``execution_timeout`` during a deferral, and a Variable's answer.
"""

import datetime
import os

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator


class Noting(ZilliantRunWorkflowOperator):
    """Leaves a line wherever a worker is about to submit: no other process runs these methods."""

    def execute(self, context):
        self.note(context)
        return super().execute(context)

    def resume_submission(self, context, event=None):
        self.note(context)
        return super().resume_submission(context, event)

    def note(self, context):
        with open(context["dag_run"].conf["notes"], "a") as file:
            file.write(f"{self.task_id} {os.getpid()}\n")


with DAG("end_to_end", schedule=None, start_date=datetime.datetime(2026, 1, 1)):
    for name in ("one", "other"):
        Noting(
            task_id=name,
            workflow_automation_id="EndToEnd",
            scope="{{ dag_run.conf['scope'] }}",
            parameters={"sandbox_seconds": "8", "task": name},
            zilliant_conn_id="zilliant_end_to_end",
            wait_for_completion=True,
            poll_interval=2,
        )


COMMON = {
    "workflow_automation_id": "EndToEnd",
    "zilliant_conn_id": "zilliant_end_to_end",
    "wait_for_completion": True,
    "retries": 1,
    "retry_delay": datetime.timedelta(seconds=1),
}

with DAG("histories", schedule=None, start_date=datetime.datetime(2026, 1, 1)):
    for durable in (True, False):
        name = "late" if durable else "late_and_forgetful"
        ZilliantRunWorkflowOperator(
            task_id=name,
            parameters={"sandbox_seconds": "600", "task": name, "run": "{{ run_id }}"},
            execution_timeout=datetime.timedelta(seconds=12),
            durable=durable,
            **COMMON,
        )

    @task
    def answer(run_id=None):
        """As a person would who found the job in Zilliant; from Airflow 3.3 on, by the REST API."""
        from airflow_provider_zilliant import compat
        from airflow_provider_zilliant.variables import VariableStore

        with ZilliantHook("zilliant_end_to_end") as hook:
            told = {"sandbox_seconds": "600", "task": "answer", "run": run_id}
            job_id = hook.run_workflow("EndToEnd", parameters=told)
        if not compat.TASK_STATE_IS_KEPT:
            try:
                from airflow.sdk import Variable
            except ImportError:
                from airflow.models import Variable
            name = VariableStore("histories", "answered", -1, run_id).variable_name("zilliant_job_id")
            Variable.set(name, job_id)

    answer() >> ZilliantRunWorkflowOperator(
        task_id="answered",
        parameters={"sandbox_seconds": "600", "task": "answered", "run": "{{ run_id }}"},
        **{**COMMON, "wait_for_completion": False},
    )
