"""Retry, clear and kill in a whole Airflow: what the task remembers, and what it says of the job that runs on."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import pytest

from tests.harness.private_airflow import PrivateAirflow


@pytest.fixture
def scope() -> str:
    return f"scope-{uuid.uuid4()}"


def the_task(airflow: PrivateAirflow, run_id: str, task_id: str = "publish", dag_id: str = "remembering") -> dict:
    return next(task for task in airflow.tasks(dag_id, run_id) if task["task_id"] == task_id)


def start(airflow: PrivateAirflow, dag_id: str = "remembering", **conf: object) -> str:
    return airflow.trigger(dag_id, {"deferrable": True, "wait": True, **conf})


def until(airflow: PrivateAirflow, run_id: str, state: str, dag_id: str = "remembering") -> dict:
    def reached():
        task = the_task(airflow, run_id, dag_id=dag_id)
        return task if task["state"] == state else None

    return airflow.wait_until(reached, f"the task is {state}", 60)


def until_the_run_has_ended(airflow: PrivateAirflow, run_id: str, state: str, dag_id: str = "remembering") -> None:
    """Before a task is cleared: of a run that is just ending, Airflow marks the end over the clearing."""
    airflow.wait_for_run(dag_id, run_id, 60)
    assert the_task(airflow, run_id, dag_id=dag_id)["state"] == state


def jobs(zilliant, scope: str) -> list[dict]:
    return [job for job in zilliant.zilliant.job_records() if job["scope"] == scope]


def clear(airflow: PrivateAirflow, run_id: str, dag_id: str = "remembering") -> None:
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["publish"], "only_failed": False}
    airflow.send("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)


def set_state(airflow: PrivateAirflow, run_id: str, state: str, dag_id: str = "remembering") -> None:
    airflow.send("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/publish", {"new_state": state})


def told(airflow: PrivateAirflow, words: str) -> list[Path]:
    return [path for path in airflow.logs() if words in path.read_text(errors="replace")]


def test_clearing_a_succeeded_task_submits_anew(whole_airflow, zilliant, scope):
    run_id = start(whole_airflow, scope=scope, seconds=0)
    until_the_run_has_ended(whole_airflow, run_id, "success")
    clear(whole_airflow, run_id)
    whole_airflow.wait_until(lambda: len(jobs(zilliant, scope)) == 2, "it is submitted anew", 60)
    task = until(whole_airflow, run_id, "success")
    assert whole_airflow.xcom(task, "job_id") == jobs(zilliant, scope)[1]["jobId"]


def test_clearing_a_task_whose_job_is_open_attaches_to_it(whole_airflow, zilliant, scope):
    run_id = start(whole_airflow, scope=scope, seconds=25, wait=False)
    until_the_run_has_ended(whole_airflow, run_id, "success")
    clear(whole_airflow, run_id)
    whole_airflow.wait_until(
        lambda: the_task(whole_airflow, run_id)["try_number"] == 2, "the cleared task runs again", 60
    )
    task = until(whole_airflow, run_id, "success")
    assert [job["jobId"] for job in jobs(zilliant, scope)] == [whole_airflow.xcom(task, "job_id")]


def test_clearing_after_an_unknown_outcome_submits_again(whole_airflow, zilliant, scope):
    zilliant.zilliant.order_fault({"fault": "drop", "method": "POST", "path": "/v1/JobWorkflow"})
    run_id = start(whole_airflow, scope=scope, seconds=0)
    until_the_run_has_ended(whole_airflow, run_id, "failed")
    assert jobs(zilliant, scope) == []
    clear(whole_airflow, run_id)
    until(whole_airflow, run_id, "success")
    assert len(jobs(zilliant, scope)) == 1


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("how", ["failed", "cleared"])
def test_a_task_that_is_stopped_while_its_job_runs_names_the_job(whole_airflow, zilliant, scope, deferrable, how):
    run_id = start(whole_airflow, scope=scope, seconds=30, deferrable=deferrable)
    whole_airflow.wait_until(lambda: jobs(zilliant, scope), "the job is accepted", 60)
    until(whole_airflow, run_id, "deferred" if deferrable else "running")
    (job,) = jobs(zilliant, scope)
    if deferrable:  # between deferring and the trigger's start there is nobody who could say anything
        looks = f"/v1/JobWorkflow/Authorized/{job['jobId']}/Status"
        whole_airflow.wait_until(
            lambda: any(seen["path"] == looks for seen in zilliant.zilliant.requests),
            "the trigger looks at the job",
            60,
        )
    words = f"ob {job['jobId']} continues in Zilliant" if not deferrable else f"waits for job {job['jobId']} was killed"
    if how == "failed":
        set_state(whole_airflow, run_id, "failed")
    else:
        clear(whole_airflow, run_id)
    files = whole_airflow.wait_until(lambda: told(whole_airflow, words), "the log names the job", 60)
    assert len(files) >= 1
    if how == "failed":
        assert the_task(whole_airflow, run_id)["state"] == "failed"
    else:
        until(whole_airflow, run_id, "success")
    assert len(jobs(zilliant, scope)) == 1, "a cleared task attaches to the job that runs on"


def test_a_worker_that_is_told_to_end_does_not_turn_green_and_its_retry_attaches(whole_airflow, zilliant, scope):
    run_id = start(whole_airflow, scope=scope, seconds=8, deferrable=False)
    whole_airflow.wait_until(lambda: jobs(zilliant, scope), "the job is accepted", 60)
    until(whole_airflow, run_id, "running")
    (job,) = jobs(zilliant, scope)
    pids = [int(line) for line in Path(os.environ["WORKER_PIDS"]).read_text().splitlines() if line]
    os.kill(pids[-1], signal.SIGTERM)
    task = until(whole_airflow, run_id, "success")
    assert task["try_number"] == 2
    assert [found["jobId"] for found in jobs(zilliant, scope)] == [job["jobId"]]
    assert told(whole_airflow, f"ob {job['jobId']} continues in Zilliant")
