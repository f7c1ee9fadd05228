"""A Dag in the UI of Airflow 3.3: triggered, watched while it is deferred, and read when it has ended."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Page, expect

from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.sandbox.engine import OAUTH_HOST
from tests.harness.pages import Connections, Task
from tests.harness.private_airflow import PrivateAirflow
from tests.harness.scenes import job_that_runs_on


def test_a_dag_triggered_in_the_ui_is_deferred_and_ends_and_shows_its_job(
    page: Page, airflow: PrivateAirflow, zilliant: Sandbox, connections: Connections
):
    zilliant.zilliant.jobs.clear()
    connections.add("zilliant_default")
    address = {"host": f"http://{zilliant.host}", "port": str(zilliant.port)}
    connections.fill({**address, "password": zilliant.connection()["password"]}, {"oauth_host": OAUTH_HOST})
    connections.save("zilliant_default")

    airflow.wait_until(lambda: airflow.known("publish_list_prices"), "Airflow knows the Dag", 90)
    task = Task(page, airflow.url)
    task.trigger("publish_list_prices", "publish")
    job = job_that_runs_on(airflow, zilliant)
    task.wait_for("Deferred")

    task.tab("Storage")
    task.tab("XCom")
    expect(task.told("job_id")).to_contain_text(job.job_id)
    task.wait_for("Deferred")

    job.closed_at = time.time()
    task.wait_for("Success")
    page.reload()  # the list of XComs does not follow by itself
    expect(task.told("return_value")).to_contain_text(job.job_id)
    expect(task.told("job_status")).to_contain_text("COMPLETED")

    task.tab("Rendered Templates")
    expect(task.told("workflow_automation_id")).to_contain_text("PublishListPrices")
    expect(task.told("scope")).to_contain_text(re.compile(r"list\s*-\s*prices"))
    expect(task.told("zilliant_conn_id")).to_contain_text("zilliant_default")
