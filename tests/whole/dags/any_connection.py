"""One submission through the Connection that the run's conf names."""

import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

with DAG("any_connection", schedule=None, start_date=datetime.datetime(2026, 1, 1)):
    ZilliantRunWorkflowOperator(
        task_id="publish",
        workflow_automation_id="P",
        scope="{{ dag_run.conf['scope'] }}",
        parameters={"sandbox_seconds": "{{ dag_run.conf['seconds'] }}"},
        zilliant_conn_id="{{ dag_run.conf['conn_id'] }}",
        wait_for_completion=True,
        retries=1,
        retry_delay=datetime.timedelta(seconds=1),
    )
