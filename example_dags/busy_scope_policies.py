"""When the scope is busy: wait (the default), fail, or skip.

``nightly_refresh`` holds the scope. By default, another task would wait for it. ``skip`` suits a refresh
that adds nothing while one is running: it is skipped, and so are the tasks after it.
``fail`` suits a task that is useless if it is late: it fails at once, and its alert says why.
"""

import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

with DAG(
    "busy_scope_policies",
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1),
    default_args={"workflow_automation_id": "RefreshData", "scope": "data"},
    tags=["zilliant"],
):
    nightly_refresh = ZilliantRunWorkflowOperator(
        task_id="nightly_refresh",
        parameters={"sandbox_seconds": "20"},  # for the embedded Zilliant: how long the job runs
    )
    refresh_unless_running = ZilliantRunWorkflowOperator(task_id="refresh_unless_running", on_scope_busy="skip")
    refresh_now_or_never = ZilliantRunWorkflowOperator(task_id="refresh_now_or_never", on_scope_busy="fail")

    nightly_refresh >> [refresh_unless_running, refresh_now_or_never]
