"""One submission whose arguments come with the run's conf."""

import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

with DAG(
    "one_submission",
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1),
    default_args={"retries": 2, "retry_delay": datetime.timedelta(seconds=1)},
    render_template_as_native_obj=True,
):
    for wait in (False, True):
        ZilliantRunWorkflowOperator(
            task_id="submit_and_wait" if wait else "submit",
            workflow_automation_id="{{ dag_run.conf.get('workflow', 'P') }}",
            scope="{{ dag_run.conf.get('scope') }}",
            parameters={"sandbox_seconds": "{{ dag_run.conf.get('seconds', 1) }}", "run": "{{ run_id }}"},
            wait_for_completion=wait,
        )
