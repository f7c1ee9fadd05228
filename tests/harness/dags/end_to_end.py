"""Two tasks on one scope, both of which wait for their jobs: one meets a busy scope, and both are deferred."""

import datetime
import os

from airflow.providers.common.compat.sdk import DAG

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
