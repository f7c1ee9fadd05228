"""As many tasks over one scope as the run's conf says."""

import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

with DAG("one_scope", schedule=None, start_date=datetime.datetime(2026, 1, 1)):

    @task
    def parameters(dag_run=None):
        return [{"number": number, "sandbox_seconds": 4} for number in range(dag_run.conf["count"])]

    ZilliantRunWorkflowOperator.partial(
        task_id="publish",
        workflow_automation_id="P",
        scope="{{ dag_run.conf.get('scope') }}",
        wait_for_completion=True,
    ).expand(parameters=parameters())
