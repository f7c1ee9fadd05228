"""After the costs have landed, publish the prices; then notify the ERP.

Two Dags: one loads costs and updates an asset (a dataset, on Airflow 2); that asset triggers the
other. The ERP is notified when the prices are published, not when Zilliant accepts the job: hence
``wait_for_completion``.
"""

import datetime

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

costs = Asset("erp://costs")
start = datetime.datetime(2026, 1, 1)

with DAG("load_costs", schedule=None, start_date=start, tags=["zilliant"]):

    @task(outlets=[costs])
    def load_costs():
        """Stands for whatever loads the costs into your warehouse."""
        print("Loaded the costs of 1,204 products.")

    load_costs()

with DAG("prices_after_costs", schedule=[costs], start_date=start, catchup=False, tags=["zilliant"]):

    @task
    def choose_price_list():
        """The result becomes an argument of the workflow."""
        return "base-2026"

    publish = ZilliantRunWorkflowOperator(
        task_id="publish",
        workflow_automation_id="PublishListPrices",
        scope="list-prices",
        parameters={"priceList": choose_price_list(), "requestedBy": "{{ run_id }}"},
        wait_for_completion=True,
    )

    @task
    def tell_the_erp(job_id):
        """Runs once the prices are published; the publishing task returns the jobId."""
        print(f"Dear ERP: Zilliant job {job_id} has published new list prices.")

    tell_the_erp(publish.output)
