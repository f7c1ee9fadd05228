"""One publishing task whose arguments come with the run's conf, and which tells the pid of its worker."""

import datetime
import os

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator


class Telling(ZilliantRunWorkflowOperator):
    """Takes ``deferrable`` and ``wait`` from the run's conf."""

    def execute(self, context):
        with open(os.environ["WORKER_PIDS"], "a") as file:
            file.write(f"{os.getpid()}\n")
        conf = context["dag_run"].conf
        self.deferrable, self.wait_for_completion = conf["deferrable"], conf["wait"]
        return super().execute(context)


with DAG(
    "remembering",
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1),
    render_template_as_native_obj=True,
):
    Telling(
        task_id="publish",
        workflow_automation_id="P",
        scope="{{ dag_run.conf['scope'] }}",
        parameters={"sandbox_seconds": "{{ dag_run.conf['seconds'] }}", "run": "{{ run_id }}"},
        retries=1,
        retry_delay=datetime.timedelta(seconds=1),
    )
