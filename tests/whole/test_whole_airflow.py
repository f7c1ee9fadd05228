"""A whole Airflow: what crosses processes, and every example as it is."""

from __future__ import annotations

import signal
import time
import uuid

import pytest

from airflow_provider_zilliant.sandbox import Sandbox
from tests.harness.private_airflow import PrivateAirflow


def states(tasks) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task in tasks:
        found.setdefault(task["task_id"], []).append(task["state"])
    return found


def hold(zilliant: Sandbox, scope: str, seconds: float) -> None:
    """Occupies the scope, as a job of somebody else does."""
    parameters = {"WORKFLOW_AUTOMATION_ID": "Other", "sandbox_seconds": str(seconds)}
    zilliant.zilliant.submit({"descriptor": "D", "scope": scope, "parameters": parameters})


def posts(zilliant: Sandbox, scope: str) -> list[int]:
    return [
        request["status"]
        for request in zilliant.zilliant.requests
        if request["method"] == "POST" and request["body"].get("scope") == scope
    ]


@pytest.fixture
def scope() -> str:
    return f"scope-{uuid.uuid4()}"


def test_a_busy_scope_is_waited_for_in_the_triggerer_and_a_worker_submits(whole_airflow, zilliant, scope):
    airflow: PrivateAirflow = whole_airflow
    hold(zilliant, scope, 12)
    run_id = airflow.trigger("one_submission", {"scope": scope, "seconds": 0})

    def deferred():
        found = {task["task_id"]: task for task in airflow.tasks("one_submission", run_id)}
        return found if {task["state"] for task in found.values()} == {"deferred"} else None

    tasks = airflow.wait_until(deferred, "both tasks are deferred", 60)
    for task in tasks.values():
        assert task["trigger"]["classpath"].endswith("ZilliantScopeTrigger")
        assert airflow.xcom(task, "job_id") is None
    pool = airflow.get("/api/v2/pools/default_pool")
    assert (pool["running_slots"], pool["queued_slots"], pool["deferred_slots"]) == (0, 0, 2)

    # The workers are children of the scheduler. With all of them stopped, the triggers fire, and nothing is sent.
    airflow.processes.kill("scheduler", signal.SIGSTOP)
    sent = posts(zilliant, scope)
    time.sleep(8)
    assert posts(zilliant, scope) == sent
    airflow.processes.kill("scheduler", signal.SIGCONT)

    tasks = airflow.wait_for_run("one_submission", run_id)
    assert states(tasks) == {"submit": ["success"], "submit_and_wait": ["success"]}
    jobs = {job["jobId"] for job in zilliant.zilliant.job_records() if job["workflow"] == "P" and job["scope"] == scope}
    assert {airflow.xcom(task, "job_id") for task in tasks} == jobs
    assert posts(zilliant, scope).count(202) == len(jobs) == 2


def test_tasks_of_one_scope_stand_in_line(whole_airflow, zilliant, scope):
    airflow: PrivateAirflow = whole_airflow
    count = 6
    run_id = airflow.trigger("one_scope", {"scope": scope, "count": count})
    tasks = [task for task in airflow.wait_for_run("one_scope", run_id, 240) if task["task_id"] == "publish"]
    assert [task["state"] for task in tasks] == ["success"] * count
    assert posts(zilliant, scope).count(202) == count
    assert len(posts(zilliant, scope)) <= 2 * count - 1


def test_the_jobid_is_among_the_xcoms_while_the_task_still_waits(whole_airflow, zilliant, scope):
    airflow: PrivateAirflow = whole_airflow
    run_id = airflow.trigger("one_submission", {"scope": scope, "seconds": 6})

    def waiting():
        for task in airflow.tasks("one_submission", run_id):
            trigger = task.get("trigger") or {}
            if task["state"] == "deferred" and trigger.get("classpath", "").endswith("ZilliantJobTrigger"):
                return airflow.xcom(task, "job_id")
        return None

    job_id = airflow.wait_until(waiting, "a task waits for its job", 60)
    assert job_id in zilliant.zilliant.jobs
    tasks = airflow.wait_for_run("one_submission", run_id)
    assert {task["state"] for task in tasks} == {"success"}


@pytest.mark.parametrize("dag_id", ["publish_list_prices", "publish_regions"])
def test_the_examples_publish(whole_airflow, zilliant, dag_id):
    airflow: PrivateAirflow = whole_airflow
    tasks = airflow.wait_for_run(dag_id, airflow.trigger(dag_id))
    job_ids = [airflow.xcom(task, "job_id") for task in tasks]
    assert {task["state"] for task in tasks} == {"success"}
    assert len(set(job_ids)) == len(tasks)
    assert {zilliant.zilliant.status(job_id)["closeStatus"] for job_id in job_ids} == {"COMPLETED"}


def test_the_costs_asset_triggers_the_prices_and_the_erp_is_told(whole_airflow):
    airflow: PrivateAirflow = whole_airflow
    airflow.wait_until(lambda: airflow.known("prices_after_costs"), "Airflow knows the Dag", 60)
    airflow.wait_for_run("load_costs", airflow.trigger("load_costs"))
    runs = airflow.wait_until(
        lambda: airflow.get("/api/v2/dags/prices_after_costs/dagRuns")["dag_runs"], "the asset triggers a run", 60
    )
    tasks = airflow.wait_for_run("prices_after_costs", runs[0]["dag_run_id"])
    assert states(tasks) == {"choose_price_list": ["success"], "publish": ["success"], "tell_the_erp": ["success"]}


def test_the_policies_skip_and_fail(whole_airflow):
    airflow: PrivateAirflow = whole_airflow
    tasks = airflow.wait_for_run("busy_scope_policies", airflow.trigger("busy_scope_policies"))
    assert states(tasks) == {
        "nightly_refresh": ["success"],
        "refresh_unless_running": ["skipped"],
        "refresh_now_or_never": ["failed"],
    }
