"""Publish several regions: each with its own scope, and all with one shared scope.

Regions with their own scopes run side by side. Regions that share a scope collide: Zilliant refuses
a second job with 409 while the first is in progress. Each refused task then queues up in the
triggerer, without a worker slot, and submits when the scope is free.
"""

import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

REGIONS = ["us", "eu", "apac"]

with DAG("publish_regions", schedule=None, start_date=datetime.datetime(2026, 1, 1), tags=["zilliant"]):
    ZilliantRunWorkflowOperator.partial(
        task_id="publish_side_by_side",
        workflow_automation_id="PublishListPrices",
        wait_for_completion=True,
    ).expand_kwargs([{"scope": region, "parameters": {"region": region}} for region in REGIONS])

    ZilliantRunWorkflowOperator.partial(
        task_id="publish_one_by_one",
        workflow_automation_id="RefreshMargins",
        scope="margins",
        wait_for_completion=True,
    ).expand(parameters=[{"region": region} for region in REGIONS])
