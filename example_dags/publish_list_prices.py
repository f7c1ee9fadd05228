"""Publish list prices: the smallest useful Dag.

It waits in the triggerer until the prices are published, and fails if the job does not complete.
Without ``wait_for_completion``, the task would be green as soon as Zilliant accepts the job,
however the job ends.
"""

import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

with DAG("publish_list_prices", schedule=None, start_date=datetime.datetime(2026, 1, 1), tags=["zilliant"]):
    ZilliantRunWorkflowOperator(
        task_id="publish",
        workflow_automation_id="PublishListPrices",
        scope="list-prices",
        wait_for_completion=True,
    )
