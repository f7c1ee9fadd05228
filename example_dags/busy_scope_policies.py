"""When the scope is busy: wait (the default), fail, or skip.

``nightly_refresh`` holds the scope. Publishing would wait it out. A refresh that somebody asks for
meanwhile can say that one is running already: it is skipped, and so is what depends on it alone. A
task that must not come late fails at once, and its alert says why.
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
        parameters={"sandbox_seconds": "20"},  # how long the embedded Zilliant lets this job run
    )
    refresh_unless_running = ZilliantRunWorkflowOperator(task_id="refresh_unless_running", on_scope_busy="skip")
    refresh_now_or_never = ZilliantRunWorkflowOperator(task_id="refresh_now_or_never", on_scope_busy="fail")

    nightly_refresh >> [refresh_unless_running, refresh_now_or_never]
