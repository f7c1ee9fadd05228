"""Publish several regions: over scopes of their own, and over one scope that they must share.

Regions with scopes of their own run side by side. Those that share a scope get in each other's way:
Zilliant refuses a second job of a scope with 409 while the first is in progress. Each task then
waits in the triggerer, where it holds no worker slot, and submits when the scope is free.
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
